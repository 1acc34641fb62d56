"""Whole scenes to and from files: the suffix chooses the format, everything becomes one `Scene`."""

from pathlib import Path

from scenewright.io.formats import readable, writable
from scenewright.types import Scene

__all__ = ["load_scene", "save_scene"]


def save_scene(scene: Scene, path: str | Path) -> Path:
    """Write the scene to `path` in the format of its suffix (see `scenewright.io.formats`); returns the path.

    A warning names what the format does not keep.

    Raises:
        InputError: another suffix, a scene without what the format holds, or a folder that cannot be written.
    """
    return writable(path, scene).write(scene, Path(path))


def load_scene(path: str | Path) -> Scene:
    """The scene in a file, z up; formats without objects give one, named after the file.

    Raises:
        InputError: the file is missing, damaged, or of another kind.
    """
    return readable(path).read(Path(path))
