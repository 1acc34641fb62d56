"""The kinds of files that the studio opens, read: pictures, panoramas, captures, scenes with their manifests.

What comes through the browser is read by the same function in a limited process (`serve.limited`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from scenewright.errors import InputError
from scenewright.io.formats import readable, readable_suffixes
from scenewright.io.images import load_photograph
from scenewright.runs.choices import is_panorama, reads_capture
from scenewright.runs.edit import Step, is_edit, open_edit
from scenewright.runs.manifest import read_manifest
from scenewright.serve.limits import Limits
from scenewright.serve.unpacking import unpacked
from scenewright.types import Scene

__all__ = ["Kind", "Opened", "Result", "Source", "open_input", "read_result"]

Kind = Literal["picture", "panorama", "capture"]
_SCENES = readable_suffixes("meshes", "splats")


@dataclass(frozen=True)
class Source:
    """The input that scenes are made from: a picture, a panorama or a capture."""

    kind: Kind
    path: Path
    camera: Path | None = None


@dataclass(frozen=True)
class Result:
    """A scene, its file with the manifest beside it, and the steps that changed it since it was generated."""

    path: Path
    scene: Scene
    steps: tuple[Step, ...] = ()
    locked: frozenset[str] = frozenset()
    rerolled: str | None = None


@dataclass(frozen=True)
class Opened:
    """The content of a file: an input with its picture, which captures have not, or a scene with its input if known."""

    source: Source | None = None
    picture: Image.Image | None = None
    result: Result | None = None


def open_input(path: Path, folder: Path) -> Opened:
    """Reads a photograph, panorama, capture, scene, manifest, or a zip of a capture or scene.

    Args:
        path: absolute.
        folder: not there yet; receives what a zip holds.

    Raises:
        InputError: it is missing, damaged or none of these.
    """
    if path.suffix.lower() == ".zip":
        path = _content_of(unpacked(path, folder, Limits()))
    if path.suffix.lower() == ".json":
        path = path.with_suffix(".glb")
    if reads_capture(path):
        return Opened(Source("capture", path))
    if path.suffix.lower() in _SCENES:
        return _scene(path)
    if path.is_dir():
        raise InputError(f"The folder '{path.name}' is no capture; see the documentation of captures.")
    return Opened(Source("panorama" if is_panorama(path) else "picture", path), load_photograph(path))


def read_result(path: Path) -> Result:
    """The scene in a file, with the steps that its manifest names.

    Raises:
        InputError: it cannot be read.
    """
    if path.suffix.lower() != ".glb":
        return Result(path, readable(path).read(path))
    edited = open_edit(path)
    return Result(path, edited.scene, edited.steps, edited.locked)


def _scene(path: Path) -> Opened:
    result = read_result(path)
    if is_edit(path.with_suffix(".json")):
        path = Path(open_edit(path).base)
    try:
        settings = read_manifest(path.with_suffix(".json")).settings
    except InputError:
        return Opened(result=result)
    picture = Path(settings.image)
    if not picture.is_file():
        return Opened(result=result)
    source = Source("picture" if settings.masks else "panorama", picture)
    return Opened(source, load_photograph(picture), result)


def _content_of(folder: Path) -> Path:
    """The capture or scene that a zip held."""
    if reads_capture(folder):
        return folder
    return next((path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SCENES), folder)
