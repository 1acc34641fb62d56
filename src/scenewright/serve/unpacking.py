"""Archives of clients: plain files only, below a folder of ours, within limits checked before memory is taken."""

import re
import stat
import unicodedata
import zipfile
from pathlib import Path, PurePosixPath

from scenewright.errors import InputError
from scenewright.files import reading
from scenewright.io.archives import open_zip, zip_member
from scenewright.serve.limits import Limits

__all__ = ["unpacked"]

# A name inside an archive: files refer to each other by such names, so that they are kept.
_PART = re.compile(r"[\w(][\w ().,+@=-]{0,99}")


def unpacked(archive: Path, folder: Path, limits: Limits) -> Path:
    """The files of a zip, written below a new folder; returns the folder, or the only one inside it.

    Raises:
        InputError: it is no zip, holds links, names that leave the folder or that not every system can keep, or more
            than the limits allow.
    """
    with reading(archive, "a .zip of files", "pack plain files with deflate"), open_zip(archive) as content:
        members = [info for info in content.infolist() if not info.is_dir() and not _is_clutter(info.filename)]
        if not members:
            raise InputError("it holds no files")
        if len(members) > limits.members:
            raise InputError(f"it holds {len(members):,} files, more than {limits.members:,}")
        total = sum(info.file_size for info in members)
        if total > limits.unpacked_bytes:
            raise InputError(f"it unpacks to {total:,} bytes, more than {limits.unpacked_bytes:,}")
        targets = [_target(folder, info) for info in members]
        # Some systems take names for one that differ in case or in how accents are written.
        if len({unicodedata.normalize("NFC", str(target)).casefold() for target in targets}) < len(targets):
            raise InputError("it holds two files of one name")
        for info, target in zip(members, targets, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(zip_member(content, info))
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _is_clutter(name: str) -> bool:
    """Whether the file is one that a program for archives adds of its own."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or (bool(parts) and parts[-1] in (".DS_Store", "Thumbs.db", "desktop.ini"))


def _target(folder: Path, info: zipfile.ZipInfo) -> Path:
    name = info.filename
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise InputError(f"{name[:100]!r} is a link or a device, which is not unpacked")
    parts = name.split("/")
    if (
        len(name) > 400
        or len(parts) > 8
        or not all(_PART.fullmatch(part) and part.strip(" .") == part for part in parts)
    ):
        raise InputError(f"{name[:100]!r} is no plain name of a file inside the archive; rename it")
    target = folder.joinpath(*parts)
    if not target.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{name[:100]!r} is outside the archive's own folder")
    return target
