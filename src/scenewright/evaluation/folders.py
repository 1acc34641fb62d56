"""Pairs of predicted and true scenes found in two folders.

A scene is `NAME.glb` (or .gltf, .ply, .obj, .stl), a folder `NAME` with one scene file (`gt`, `scene`, `scene_pred` or
`sample` are preferred where there are several), or a test scene (`scene.json`). Predictions are looked up by the
truth's name; a picture beside the truth is used for the report.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from scenewright.data.probe_scenes import read_test_scene
from scenewright.errors import InputError
from scenewright.evaluation.shapes import ShapeScene, shapes_from_file, shapes_from_test_scene
from scenewright.io.formats import readable_suffixes, suffixes
from scenewright.io.images import PICTURE_SUFFIXES
from scenewright.io.scene_file import load_scene
from scenewright.types import Camera, Scene

__all__ = ["ScenePair", "find_pairs"]

logger = logging.getLogger(__name__)

SCENE_SUFFIXES = tuple(suffix for suffix in readable_suffixes("meshes", "splats") if suffix not in suffixes("voxels"))
_PREFERRED = ("gt", "scene", "scene_pred", "sample")
_PICTURES = ("rgb", "scene", "image", "input")


@dataclass(frozen=True)
class ScenePair:
    """One true scene and its prediction; `prediction` is None where there is no file for it."""

    name: str
    truth: Path
    prediction: Path | None
    picture: Path | None

    def read_truth(self) -> ShapeScene:
        """
        Raises:
            InputError: the truth cannot be read.
        """
        if self.truth.is_dir():
            return shapes_from_test_scene(read_test_scene(self.truth, name=self.name))
        return shapes_from_file(self.truth, self.name)

    def read_scene(self) -> tuple[Scene, Camera | None]:
        """The truth with its materials, and the camera of its picture where that is known.

        Raises:
            InputError: the truth cannot be read.
        """
        if self.truth.is_dir():
            scene = read_test_scene(self.truth, name=self.name)
            return scene.truth, scene.camera
        scene_file = load_scene(self.truth)
        return scene_file, scene_file.camera

    def read_prediction(self) -> ShapeScene:
        """
        Raises:
            InputError: there is no prediction, or it cannot be read.
        """
        if self.prediction is None:
            raise InputError(
                f"There is no prediction for '{self.name}'; expected {self.name}.glb or {self.name}/*.glb."
            )
        return shapes_from_file(self.prediction, self.name)


def find_pairs(predictions: str | Path, truths: str | Path) -> list[ScenePair]:
    """All true scenes with their predictions, sorted by name.

    Raises:
        InputError: a folder does not exist, there is no true scene, or no prediction fits any of them.
    """
    predictions, truths = Path(predictions), Path(truths)
    for folder in (predictions, truths):
        if not folder.is_dir():
            raise InputError(f"Expected a folder of scenes, but '{folder}' is not a folder; check the path.")
    wanted = _scenes(truths, is_truth=True)
    if not wanted:
        raise InputError(f"No scene in '{truths}'; expected NAME.glb files, or folders with a GLB or a scene.json.")
    found = _scenes(predictions, is_truth=False)
    pairs = []
    for name, path in sorted(wanted.items()):
        prediction = found.get(name) or found.get(path.relative_to(truths).with_suffix("").as_posix())
        pairs.append(ScenePair(name, path, prediction, _picture(path, name)))
    if not any(pair.prediction for pair in pairs):
        examples = ", ".join(sorted(wanted)[:3])
        raise InputError(f"No prediction in '{predictions}' has the name of a true scene ({examples}, ...).")
    used = {pair.prediction for pair in pairs}
    unused = sorted(name for name, path in found.items() if path not in used)
    if unused:
        named = ", ".join(unused[:3]) + (", ..." if len(unused) > 3 else "")
        logger.warning("%d scenes of '%s' have no truth and are not scored: %s.", len(unused), predictions, named)
    return pairs


def _scenes(folder: Path, *, is_truth: bool) -> dict[str, Path]:
    scenes: dict[str, Path] = {}
    if is_truth:
        for path in [p.parent for depth in ("*/", "*/*/") for p in sorted(folder.glob(f"{depth}scene.json"))]:
            scenes[path.relative_to(folder).as_posix()] = path
        if scenes:
            return scenes
    files = [f for f in sorted(folder.rglob("*")) if f.suffix.lower() in SCENE_SUFFIXES and not f.name.startswith(".")]
    whole = set()
    for path in sorted({f.parent for f in files} - {folder}):
        chosen = _choose([f for f in files if f.parent == path])
        if chosen is not None:
            scenes[path.relative_to(folder).as_posix()] = chosen
            whole.add(path)
    for path in files:
        # A true scene counts once; a prediction may be asked for by its folder's name or its own.
        if not (is_truth and path.parent in whole):
            scenes.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return scenes


def _choose(files: list[Path]) -> Path | None:
    order = {stem: rank for rank, stem in enumerate(_PREFERRED)}
    ranked = sorted(files, key=lambda file: order.get(file.stem, len(order)))
    if not ranked or (len(ranked) > 1 and ranked[0].stem not in _PREFERRED):
        return None
    return ranked[0]


def _picture(truth: Path, name: str) -> Path | None:
    folder = truth if truth.is_dir() else truth.parent
    for stem in (Path(name).name, *_PICTURES):
        for suffix in PICTURE_SUFFIXES:
            if (folder / f"{stem}{suffix}").is_file():
                return folder / f"{stem}{suffix}"
    return None
