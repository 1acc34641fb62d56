"""A result of several files as one .zip, made when it is first asked for."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from scenewright.io.atomic import atomic_path

__all__ = ["bundled"]

_NAME = "scene.zip"


def bundled(folder: Path, files: Iterable[str]) -> Path:
    """The .zip of these files of the folder, beside it."""
    path = folder.parent / _NAME
    if not path.is_file():
        with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in files:
                archive.write(folder / name, name)
    return path
