"""The retrieval baseline: the most similar stored model for every mask, placed as the cuboid baseline does."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from scipy.optimize import least_squares
from torch import Tensor

from scenewright.progress import SILENT, Progress
from scenewright.systems.baselines.cuboid.placement import box_from_mask
from scenewright.systems.baselines.floor_scene import floor_scene
from scenewright.systems.baselines.retrieval.cut_out import cut_out
from scenewright.systems.baselines.retrieval.library import FeatureFunction, ModelLibrary
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.systems.system import Views
from scenewright.types import Camera, Mask, Mesh, OrientedBox, Scene, SceneObject

__all__ = ["RetrievalSystem"]


_FITTED_VERTICES = 400
_MAX_LOG_RESIZE = 1.0


class RetrievalSystem:
    """Answers with stored models: `features` must be the function the library was built with."""

    name = "retrieval"

    def __init__(self, library: ModelLibrary, features: FeatureFunction, *, floor_z: float = 0.0) -> None:
        self.library = library
        self.features = features
        self.floor_z = floor_z

    def generate(
        self, views: Views, *, seed: int = 0, options: GenerateOptions = DEFAULT, progress: Progress = SILENT
    ) -> Scene:
        """See `System.generate`; `seed` changes nothing, and an unknown camera is assumed (`assumed_camera`).

        A model keeps its proportions; size and place on the floor are fitted to the mask's bounding rectangle.
        """
        return floor_scene(self.name, views, self._nearest, seed=seed, options=options, floor_z=self.floor_z)

    def weights_sha256(self) -> dict[str, str]:
        """There are no weights."""
        return {}

    def _nearest(self, image: Image.Image, mask: Mask, camera: Camera) -> SceneObject:
        box = box_from_mask(mask, camera, floor_z=self.floor_z)
        model, yaw, similarity = self.library.nearest(self.features(cut_out(image, mask)))
        parts = tuple(model.load())
        return SceneObject(
            model.name,
            parts,
            world_from_object=_fit(parts, box, yaw + _towards(box, camera), mask, camera, self.floor_z),
            confidence=max(0.0, min(1.0, similarity)),
            extras={"model": model.name},
        )


def _fit(parts: Sequence[Mesh], box: OrientedBox, turn: float, mask: Mask, camera: Camera, floor_z: float) -> Tensor:
    """`world_from_object` of a model turned by `turn`, sized and moved on the floor to fill the mask's rectangle."""
    vertices = torch.cat([part.vertices for part in parts]).double().cpu().numpy()
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    turned = vertices @ rotation.T
    low, high = turned.min(0), turned.max(0)
    foot = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    start = np.array([box.centre[0], box.centre[1], np.log(box.size[2] / max(high[2] - low[2], 1e-6))])
    shown = turned[:: max(1, len(turned) // _FITTED_VERTICES)] - foot
    wanted = [float(side) for side in mask.box]
    cam_from_world = camera.cam_from_world.detach().cpu().double().numpy()
    intrinsics = camera.intrinsics_px.detach().cpu().double().numpy()

    def misfit(guess: np.ndarray) -> np.ndarray:
        world = shown * np.exp(guess[2]) + np.array([guess[0], guess[1], floor_z])
        seen = (world @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]) @ intrinsics.T
        pixels = seen[:, :2] / np.maximum(seen[:, 2:], 1e-3)
        return np.concatenate([pixels.min(0), pixels.max(0)]) - wanted

    reach = max(box.size) + 0.5
    bounds = start - [reach, reach, _MAX_LOG_RESIZE], start + [reach, reach, _MAX_LOG_RESIZE]
    x, y, log_scale = least_squares(misfit, start, bounds=bounds, loss="soft_l1", f_scale=5.0, x_scale=[1, 1, 0.5]).x
    matrix = np.eye(4)
    matrix[:3, :3] = np.exp(log_scale) * rotation
    matrix[:3, 3] = np.array([x, y, floor_z]) - np.exp(log_scale) * foot
    return torch.from_numpy(matrix).float()


def _towards(box: OrientedBox, camera: Camera) -> float:
    """The turn that shows a model's front (-y) to the camera, for a model that stands in the box."""
    cam_from_world = camera.cam_from_world.detach().cpu().double()
    origin = -cam_from_world[:3, :3].T @ cam_from_world[:3, 3]
    return math.atan2(box.centre[1] - float(origin[1]), box.centre[0] - float(origin[0])) - math.pi / 2
