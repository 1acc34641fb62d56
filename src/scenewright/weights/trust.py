"""Files whose publisher's hash nobody knows: trusted as they are first seen on this machine, refused once they change.

`scenewright_hashes.json` in the hub cache holds the SHA-256 of each such file. The hub's own name of a large file is
its SHA-256, which is compared, too: a download that was damaged is noticed before it is trusted.
"""

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from scenewright.errors import ScenewrightError, WeightsError
from scenewright.files import read_json, reading
from scenewright.io.atomic import write_bytes

__all__ = ["check_trusted", "trusted_hashes"]

logger = logging.getLogger(__name__)
_FILE = "scenewright_hashes.json"
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class _Note:
    """The content of the file: hashes by `owner/repository@revision/file`."""

    sha256: dict[str, str]


def check_trusted(path: Path, name: str, digest: str, cache: Path) -> None:
    """Compares a file of the hub cache with what was first seen, and notes it where this is the first time.

    Args:
        name: `owner/repository@revision/file`.
        digest: SHA-256 of the file.
        cache: the hub cache's folder.

    Raises:
        WeightsError: the file differs from the one first seen, or from its name on the hub.
    """
    from_hub = path.resolve().name
    if _SHA256.fullmatch(from_hub) and from_hub != digest:
        raise WeightsError(f"Weights '{path}' are damaged (SHA-256 {digest[:12]}...); delete them to fetch them again.")
    known = trusted_hashes(cache)
    if name in known:
        if known[name] != digest:
            raise WeightsError(
                f"Weights '{path}' changed since they were first used here (SHA-256 {digest[:12]}... instead of "
                f"{known[name][:12]}...); delete the file, or, to trust the new one, its line in '{cache / _FILE}'."
            )
        return
    try:
        write_bytes(cache / _FILE, json.dumps({"sha256": {**known, name: digest}}, indent=1, sort_keys=True).encode())
        noted = f"noted in '{cache / _FILE}'"
    except ScenewrightError as error:
        noted = f"which cannot be noted ({error})"
    logger.warning("No published hash of %s is known; trusted as it is, SHA-256 %s, %s.", name, digest, noted)


def trusted_hashes(cache: Path) -> dict[str, str]:
    """Hashes by name of all files that were trusted when they were first seen; none where the note is damaged."""
    path = cache / _FILE
    if not path.is_file():
        return {}
    with reading(path, "a note of trusted weights", "restore it, or delete it to trust all anew", error=WeightsError):
        return read_json(path, _Note).sha256
