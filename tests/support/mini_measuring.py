"""How well structures are guessed from pictures: F-scores of single objects of test scenes in their own cubes.

The true cube (turned to the camera, centred on the object, its longest side 1) is given, so this measures shape alone;
whole scenes are measured by `scenewright evaluate`. Distances are in units of half the cube's side, as in the published
protocols (tau 0.1 of a cube of side 2).

Legend: N objects, M voxels, R resolution.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor

from scenewright.data.probe_scenes import find_test_scenes, read_test_scene
from scenewright.systems.mini.pictures import ScenePictures, cut_out_pictures
from scenewright.types import Mask, ObjectMasks

__all__ = ["TruePoints", "f_score", "test_objects"]


@dataclass(frozen=True)
class TruePoints:
    """One object of a test scene: its name, its own small picture, and its surface in its own cube of side 2."""

    name: str
    picture: Float[Tensor, "4 P P"]
    points: Float[np.ndarray, "_ 3"]


def test_objects(folder: Path) -> Iterable[TruePoints]:
    """All objects of the single-view test scenes below a folder."""
    for path in find_test_scenes(folder):
        scene = read_test_scene(path)
        if scene.image is None or scene.camera is None:
            continue
        pictures: ScenePictures = cut_out_pictures(scene.image, ObjectMasks([Mask.of(mask) for mask in scene.masks]))
        x, y = torch.nn.functional.normalize(scene.camera.cam_from_world[2, :2].double(), dim=0).tolist()
        turn = np.array([[y, -x, 0], [x, y, 0], [0, 0, 1]])
        for item, picture in zip(scene.objects, pictures.own, strict=True):
            points = item.points.double().numpy() @ turn.T
            low, high = points.min(0), points.max(0)
            yield TruePoints(
                f"{scene.name}/{item.name}", picture, (points - (low + high) / 2) / ((high - low).max() / 2)
            )


def f_score(occupied: Bool[Tensor, "R R R"], points: Float[np.ndarray, "_ 3"], tau: float = 0.1) -> float:
    """Harmonic mean of the shares of voxel middles near a point and of points near a voxel's middle."""
    coords = occupied.nonzero().double().numpy()
    if not len(coords):
        return 0.0
    middles = (coords + 0.5) / occupied.shape[0] * 2 - 1
    precision = float((cKDTree(points).query(middles)[0] < tau).mean())
    recall = float((cKDTree(middles).query(points)[0] < tau).mean())
    return 2 * precision * recall / max(precision + recall, 1e-9)
