"""Scenes to generate and score: picture, masks and truth, from our test scenes or as others prepare theirs.

* Our test scenes: `rgb.jpg`, `instances.png`, `gt.glb` with `gt_points.npz`; the camera is known.
* 3D-FUTURE as SceneGen prepares it, a folder per scene: `scene.jpg`, `0_mask.png`, `1_mask.png`, ..., one GLB.
* 3D-FRONT as MIDI prepares it: `3D-FRONT-RENDER/HOUSE/ROOM/render_0000.*` with `semantic_0000.png` beside it; all GLB
  files in `3D-FRONT-SCENE/HOUSE/ROOM` are one object each (or `ROOM.glb` holds all). The same with `-TEST-`.
* Any folder: a picture (rgb, scene, image or input), masks (`masks/`, `masks.json`, `*_mask.png`, or a label picture
  such as `masks.png`) and `gt.glb`, `scene.glb`, or the only GLB there.

GLB files are y up and become z up; the truth's names need not be the masks' (see `matching`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from scenewright.data.probe_scenes import find_test_scenes, read_test_scene
from scenewright.encoders.masks import load_masks
from scenewright.errors import InputError
from scenewright.evaluation.shapes import ShapeScene, shapes_from_scene, shapes_from_test_scene
from scenewright.files import read_json, reading
from scenewright.io.images import PICTURE_SUFFIXES, load_image
from scenewright.io.scene_file import load_scene
from scenewright.types import Camera, Scene

__all__ = ["SceneSource", "SourceScene", "find_sources", "load_truth"]

_PICTURE_STEMS = ("rgb", "scene", "image", "input")
_LABEL_STEMS = ("instances", "rgb_mask", "masks", "mask", "seg", "segmentation", "idmap", "semantic")
_TRUTH_STEMS = ("gt", "scene", "ground_truth")
_FRONT_RENDERS = ("3D-FRONT-TEST-RENDER", "3D-FRONT-RENDER")


@dataclass(frozen=True)
class SourceScene:
    """One scene, read. `mask_names` name the masks; `camera` only where it is known. `truth` is z up."""

    name: str
    image: Image.Image
    masks: list[Bool[Tensor, "H W"]]
    mask_names: tuple[str, ...]
    truth: Scene
    shapes: ShapeScene
    camera: Camera | None = None


@dataclass(frozen=True)
class SceneSource:
    """The files of a scene: `files` decide whether a kept record still fits; `read` opens it (in any process)."""

    name: str
    files: tuple[Path, ...]
    read: Callable[[], SourceScene]


def find_sources(root: str | Path) -> list[SceneSource]:
    """All scenes below `root`, sorted by name.

    Raises:
        InputError: `root` is no folder, or there is no scene with a picture, masks and a truth.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"Expected a folder of test scenes, but '{root}' is not a folder; check the path.")
    if any(True for depth in ("", "*/", "*/*/") for _ in root.glob(f"{depth}scene.json")):
        folders = [folder for folder in find_test_scenes(root) if _kind(folder) in ("single_view", None)]
        sources = [_test_scene(root, folder) for folder in folders]
    else:
        sources = _front_rooms(root) or _folders(root)
    if not sources:
        raise InputError(
            f"No scene below '{root}' has a picture, masks and a true GLB; give test scenes with a scene.json, or "
            "folders with rgb.jpg, masks.png and gt.glb."
        )
    return sources


def load_truth(path: Path) -> Scene:
    """The scene of a file, or of a folder of files that hold one object each, named after the files.

    Raises:
        InputError: a file cannot be read.
    """
    if path.is_file():
        return load_scene(path)
    objects = []
    for file in sorted(path.glob("*.glb")):
        loaded = load_scene(file).objects
        several = len(loaded) > 1
        objects += [replace(o, name=f"{file.stem}_{o.name}" if several else file.stem) for o in loaded]
    return Scene(tuple(objects))


def _kind(folder: Path) -> str | None:
    """The kind that the scene names; None where its file is damaged, which is to be told when the scene is read."""
    try:
        with reading(folder / "scene.json", "a test scene", "restore it"):
            return str(read_json(folder / "scene.json", dict).get("kind", ""))
    except InputError:
        return None


def _test_scene(root: Path, folder: Path) -> SceneSource:
    name = folder.relative_to(root).as_posix() if folder != root else folder.name

    return SceneSource(name, (folder,), partial(_read_test_scene, folder, name))


def _read_test_scene(folder: Path, name: str) -> SourceScene:
    scene = read_test_scene(folder, name=name)
    if scene.image is None:
        raise InputError(f"Test scene '{folder}' has no picture; give single-view scenes.")
    names = tuple(item.name for item in scene.objects)
    return SourceScene(name, scene.image, scene.masks, names, scene.truth, shapes_from_test_scene(scene), scene.camera)


def _front_rooms(root: Path) -> list[SceneSource]:
    sources = []
    for renders in (root / name for name in _FRONT_RENDERS if (root / name).is_dir()):
        scenes = root / renders.name.replace("RENDER", "SCENE")
        for picture in sorted(renders.glob("*/*/render_*")):
            number = picture.stem.removeprefix("render_")
            room = scenes / picture.parent.relative_to(renders)
            truth = next((path for path in (room.with_name(f"{room.name}.glb"), room) if path.exists()), None)
            labels = next(iter(sorted(picture.parent.glob(f"semantic_{number}.*"))), None)
            if truth is not None and labels is not None:
                name = picture.with_suffix("").relative_to(renders).as_posix()
                sources.append(_files(name, picture, labels, truth))
    return sources


def _folders(root: Path) -> list[SceneSource]:
    sources = []
    for folder in [root, *sorted(path for path in root.rglob("*") if path.is_dir())]:
        picture = _first(folder, _PICTURE_STEMS, PICTURE_SUFFIXES)
        truth = _first(folder, _TRUTH_STEMS, (".glb", ".gltf"))
        if truth is None:
            only = list(folder.glob("*.glb"))
            truth = only[0] if len(only) == 1 else None
        masks = _masks_of(folder)
        if picture is not None and truth is not None and masks is not None:
            name = folder.relative_to(root).as_posix() if folder != root else folder.name
            sources.append(_files(name, picture, masks, truth))
    return sources


def _masks_of(folder: Path) -> Path | None:
    for path in (folder / "masks", folder / "masks.json"):
        if path.exists():
            return path
    if any(folder.glob("*_mask.png")) and not (folder / "rgb_mask.png").exists():
        return folder
    return _first(folder, _LABEL_STEMS, (".png", ".webp", ".bmp"))


def _files(name: str, picture: Path, masks: Path, truth: Path) -> SceneSource:
    return SceneSource(name, (picture, masks, truth), partial(_read_files, name, picture, masks, truth))


def _read_files(name: str, picture: Path, masks: Path, truth: Path) -> SourceScene:
    image = load_image(picture)
    found = load_masks(masks, (image.height, image.width), image_name=picture.name)
    scene = load_truth(truth)
    if not scene.objects:
        raise InputError(f"'{truth}' holds no object; export the true scene's meshes into it.")
    shapes = shapes_from_scene(scene, name)
    return SourceScene(name, image, [mask.dense() for mask in found.regions], found.names, scene, shapes, scene.camera)


def _first(folder: Path, stems: tuple[str, ...], suffixes: tuple[str, ...]) -> Path | None:
    paths = (folder / f"{stem}{suffix}" for stem in stems for suffix in suffixes)
    return next((path for path in paths if path.is_file()), None)
