"""From a name to a verified file: local folder, then hub cache, then hub download, decided from the argument.

A source is a local folder when it is a `Path`, exists as a folder, or is written like a path (`./x`, `/x`, `~/x`,
`a/b/c`); otherwise it must read `owner/repository` and means the hub. There is no falling back from one meaning to
the other, so the one error that is raised names what was really tried.
"""

import hashlib
import logging
import os
import re
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import getproxies

from scenewright.errors import WeightsError
from scenewright.weights.record import WeightsRecord
from scenewright.weights.trust import check_trusted

__all__ = [
    "allow_unlisted_repositories",
    "cached_file",
    "downloads_forbidden",
    "fetch",
    "find_file",
    "hub_cache",
    "hub_is_offline",
    "is_local_source",
    "list_files",
    "refuse_download",
    "refuse_unlisted",
    "sha256_of",
    "verify",
]

logger = logging.getLogger(__name__)
Progress = Callable[[int, int], None]
_CHUNK = 1 << 22
_CONNECT_S = 5.0
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_UNLISTED: list[bool] = []
_KNOWN_HASHES: dict[tuple[Path, int, int], str] = {}


def is_local_source(source: str | Path) -> bool:
    """Whether `source` means a folder on this machine rather than a hub repository."""
    if isinstance(source, Path) or os.path.isdir(os.path.expanduser(source)):  # of any length, unlike Path.is_dir
        return True
    return source.startswith((".", "/", "~", "\\")) or "\\" in source or source.count("/") != 1


def fetch(
    record: WeightsRecord,
    source: str | Path | None = None,
    *,
    cache_dir: str | Path | None = None,
    offline: bool = False,
    endpoint: str | None = None,
    check_hash: bool = True,
    progress: Progress | None = None,
) -> Path:
    """The verified weight file of `record`, downloaded to the hub cache when it is nowhere else.

    Args:
        source: a local folder laid out like the published repository, another hub repository of that layout, or None
            for the record's own.
        cache_dir: hub cache folder; None is the hub library's own default.
        offline: never touch the network.
        endpoint: address of the hub; None is the hub library's own default.
        check_hash: read the whole file once and compare its SHA-256 with the record's, or where that has none with the
            one first seen on this machine (about a second per gigabyte); the size is compared in any case.
        progress: called with (bytes hashed, bytes in total).

    Raises:
        WeightsError: not found, no network, access refused, or wrong size or hash.
    """
    if source is None and not _REPOSITORY.fullmatch(record.repository):
        where = f"download '{record.file}' from {record.url}" if record.url else f"get '{record.file}'"
        raise WeightsError(f"'{record.name}' is not on the hub; {where} and give the folder that holds it.")
    revision = record.revision if source is None or source == record.repository else "main"
    path = find_file(
        record.repository if source is None else source,
        record.file,
        revision=revision,
        cache_dir=cache_dir,
        offline=offline,
        endpoint=endpoint,
    )
    verify(path, record, check_hash=check_hash, progress=progress)
    place = record.repository if source is None else source
    if check_hash and record.sha256 is None and not is_local_source(place):
        check_trusted(path, f"{place}@{revision}/{record.file}", sha256_of(path, progress), hub_cache(cache_dir))
    return path


def find_file(
    source: str | Path,
    file: str,
    *,
    revision: str = "main",
    cache_dir: str | Path | None = None,
    offline: bool = False,
    endpoint: str | None = None,
) -> Path:
    """`file` of a local folder or a hub repository, unverified (configurations; weights go through `fetch`).

    Raises:
        WeightsError: not found, no network, or access refused.
    """
    if is_local_source(source):
        folder = Path(source).expanduser()
        if not os.path.isdir(folder):
            raise WeightsError(
                f"Weights folder '{folder}' does not exist; give a folder or a hub name 'owner/repository'."
            )
        try:
            found = sorted(path for path in folder.glob(file) if path.is_file())
        except Exception as error:  # glob has its own for every kind of name
            raise WeightsError(f"Expected a file inside '{folder}', got the name '{file[:200]}'.") from error
        if ".." in PurePosixPath(file).parts:
            raise WeightsError(f"'{file}' is outside the folder '{folder}', which is not read.")
        if len(found) != 1:
            count = f"{len(found)} such files" if found else "no such file"
            raise WeightsError(f"Expected '{file}' in the folder '{folder}', which holds {count}.")
        return found[0]
    repository = str(source)
    if not _REPOSITORY.fullmatch(repository):
        raise WeightsError(f"'{repository}' is neither a folder here nor a hub name 'owner/repository'.")
    if "*" in file:
        raise WeightsError(f"The name of '{file}' in {repository} is not known; download it and give the local folder.")
    if cached := cached_file(repository, file, revision=revision, cache_dir=cache_dir):
        return cached
    if offline or hub_is_offline():
        raise WeightsError(
            f"'{file}' of {repository} is not in the hub cache and downloading is off; "
            "go online once, or give a local folder."
        )
    return _download(repository, file, revision, cache_dir, endpoint)


def list_files(source: str | Path, *, offline: bool = False) -> list[str]:
    """Paths of all files of a local folder or a hub repository, for names that are not known beforehand.

    Offline, and where the hub cannot be reached, these are the files that the cache holds.

    Raises:
        WeightsError: the folder or the repository is not there.
    """
    if is_local_source(source):
        folder = Path(source).expanduser()
        if not os.path.isdir(folder):
            raise WeightsError(
                f"Weights folder '{folder}' does not exist; give a folder or a hub name 'owner/repository'."
            )
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    from huggingface_hub import HfApi, snapshot_download

    repository, reason = str(source), "downloading is off"
    if not (offline or hub_is_offline()):
        try:
            _check_reachable(None)
            return sorted(HfApi().list_repo_files(repository))
        except Exception as error:  # network errors come in many classes from below the hub library
            reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    try:
        folder = Path(snapshot_download(repository, local_files_only=True))
    except Exception as error:
        raise WeightsError(
            f"The files of {repository} cannot be listed ({reason}) and the hub cache holds none; "
            "go online once, or give a local folder."
        ) from error
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def hub_is_offline() -> bool:
    """Whether the hub's own variable, HF_HUB_OFFLINE, forbids downloads in this process."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


@contextmanager
def downloads_forbidden() -> Iterator[None]:
    """Inside, nothing is downloaded: not by this package, the hub library, nor processes that are started."""
    from huggingface_hub import constants

    variable, constant = os.environ.get("HF_HUB_OFFLINE"), constants.HF_HUB_OFFLINE
    os.environ["HF_HUB_OFFLINE"], constants.HF_HUB_OFFLINE = "1", True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = constant
        del os.environ["HF_HUB_OFFLINE"]
        if variable is not None:
            os.environ["HF_HUB_OFFLINE"] = variable


def refuse_download(kept: Path, what: str) -> None:
    """Refuses weights that another package would download, where downloads are forbidden.

    Args:
        kept: where that package keeps the file.

    Raises:
        WeightsError: so it is, and the file is not there.
    """
    if hub_is_offline() and not kept.is_file():
        raise WeightsError(f"{what} is not on this machine ('{kept}') and downloading is off; go online once.")


def allow_unlisted_repositories() -> None:
    """From now on files may name repositories that no record lists (`--allow-downloads`)."""
    _UNLISTED.append(True)


def refuse_unlisted(place: str | Path, listed: Collection[str], named_by: str) -> None:
    """Refuses a hub repository that a file names and no record lists: whose weights are these?

    Args:
        listed: repositories of records, and what the user named.

    Raises:
        WeightsError: so it is, and `allow_unlisted_repositories` was not called.
    """
    if not is_local_source(place) and str(place) not in listed and not _UNLISTED:
        raise WeightsError(
            f"{named_by} names the repository '{place}', which is none of those that `scenewright list` shows; "
            "nothing is taken from there unless you add --allow-downloads."
        )


def cached_file(
    repository: str, file: str, *, revision: str = "main", cache_dir: str | Path | None = None
) -> Path | None:
    """The file in the hub cache, or None; touches no network."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repository, file, cache_dir=cache_dir, revision=revision)
    except HFValidationError:  # not a name the hub could hold
        return None
    return Path(found) if isinstance(found, str) else None


def hub_cache(cache_dir: str | Path | None = None) -> Path:
    """The folder of the hub cache; None is the hub library's own default."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(cache_dir or HF_HUB_CACHE).expanduser()


def _check_reachable(endpoint: str | None) -> None:
    """Tells at once that there is no network; the hub library would try for half a minute.

    Raises:
        OSError: nothing answers at the hub's address.
    """
    from huggingface_hub.constants import ENDPOINT

    address = urlsplit(endpoint or ENDPOINT)
    if getproxies().get(address.scheme) or address.hostname is None:
        return
    port = address.port or (443 if address.scheme == "https" else 80)
    socket.create_connection((address.hostname, port), timeout=_CONNECT_S).close()


def _download(repository: str, file: str, revision: str, cache_dir: str | Path | None, endpoint: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        _check_reachable(endpoint)
    except OSError as error:
        raise WeightsError(
            f"'{file}' of {repository} is not in the hub cache and the hub cannot be reached "
            f"({error.strerror or error}); check the network, or give a local folder."
        ) from error
    logger.info("Downloading %s of %s", file, repository)
    try:
        return Path(hf_hub_download(repository, file, revision=revision, cache_dir=cache_dir, endpoint=endpoint))
    except GatedRepoError as error:
        raise WeightsError(
            f"{repository} is gated: accept its licence at https://huggingface.co/{repository}, "
            "then log in with `hf auth login`."
        ) from error
    except RevisionNotFoundError as error:
        raise WeightsError(f"{repository} has no revision '{revision}' on the hub.") from error
    except RepositoryNotFoundError as error:
        raise WeightsError(f"The hub has no repository '{repository}' (or it is private); check the name.") from error
    except RemoteEntryNotFoundError as error:
        raise WeightsError(f"{repository} has no file '{file}' on the hub.") from error
    except LocalEntryNotFoundError as error:
        raise WeightsError(
            f"'{file}' of {repository} is not in the hub cache and the hub cannot be reached; "
            "check the network, or give a local folder."
        ) from error
    except Exception as error:  # network and disk errors come in many classes from below the hub library
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise WeightsError(f"Downloading '{file}' of {repository} failed ({reason}); try again.") from error


def verify(path: Path, record: WeightsRecord, *, check_hash: bool = True, progress: Progress | None = None) -> None:
    """Compare the file's size, and its hash where one is known, with the record.

    Raises:
        WeightsError: they differ.
    """
    size = path.stat().st_size
    if record.size_bytes is not None and size != record.size_bytes:
        raise WeightsError(
            f"Weights '{path}' have {size:,} bytes instead of {record.size_bytes:,}; "
            "delete the file and fetch it again."
        )
    if record.sha256 is not None and check_hash:
        digest = sha256_of(path, progress)
        if digest != record.sha256:
            raise WeightsError(
                f"Weights '{path}' have SHA-256 {digest[:12]}... instead of {record.sha256[:12]}..., so they are not "
                f"the published '{record.name}'; delete the file and fetch it again."
            )


def sha256_of(path: Path, progress: Progress | None = None) -> str:
    """Hexadecimal SHA-256 of a file; a file that has not changed since is read only once per process."""
    status = path.stat()
    key = (path.resolve(), status.st_size, status.st_mtime_ns)
    if key not in _KNOWN_HASHES:
        digest, done = hashlib.sha256(), 0
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, status.st_size)
        _KNOWN_HASHES[key] = digest.hexdigest()
    return _KNOWN_HASHES[key]
