"""The camera that sees placed objects where their masks are: for scenes of systems that predict no camera.

A level pinhole camera (no roll) with square pixels and its centre in the middle of the picture is fitted so that the
rectangle around each object's projection agrees with the rectangle around its mask. Eight headings are tried and the
best few refined; sides of a mask that touch the picture's border count only as far as the object falls short of them.
Occluded objects are outliers to a robust loss. With few objects a weak prior decides: 50 degrees across, looking down
by 20.

Legend: O objects, S sampled points of each. Frame: world z up, camera OpenCV.
"""

import logging
import math
from collections.abc import Sequence

import numpy as np
import scipy
import torch
from jaxtyping import Float

from scenewright.systems.assembly.outline import has_geometry, level_axes, outline_points
from scenewright.types import Camera, SceneObject

__all__ = ["fit_camera"]

logger = logging.getLogger(__name__)

_MAX_POINTS = 200
_PRIOR_FOV, _PRIOR_PITCH, _PRIOR_WEIGHT = math.radians(50.0), math.radians(20.0), 0.02
_REFINED_STARTS = 4


def fit_camera(
    objects: Sequence[SceneObject],
    size: tuple[int, int],
    *,
    intrinsics_px: Float[torch.Tensor, "3 3"] | None = None,
) -> Camera | None:
    """The fitted camera; None where no object has both geometry and a mask.

    Args:
        size: (height, width) of the picture the masks belong to.
        intrinsics_px: where they are known, only position and direction are fitted.
    """
    seen = [item for item in objects if item.mask is not None and item.mask.area and has_geometry(item)]
    if not seen:
        return None
    problem = _Problem(seen, size, intrinsics_px)
    starts = [
        problem.start(yaw, pitch)
        for yaw in np.arange(8) * math.pi / 4
        for pitch in (math.radians(10), _PRIOR_PITCH, 0.7)
    ]
    starts.sort(key=problem.cost)
    found = [
        scipy.optimize.least_squares(
            problem.residuals, start, loss="soft_l1", f_scale=0.05, max_nfev=60, diff_step=1e-4
        )
        for start in starts[:_REFINED_STARTS]
    ]
    best = min(found, key=lambda solution: float(solution.cost))
    logger.info("Fitted a camera with a mean error of %.1f %% of the picture's width.", 100 * problem.error(best.x))
    return problem.camera(best.x)


class _Problem:
    """Unknowns: yaw, pitch, log distance to the scene's middle, sideways and upward offset, log focal length."""

    def __init__(
        self, objects: Sequence[SceneObject], size: tuple[int, int], intrinsics_px: torch.Tensor | None
    ) -> None:
        self.height, self.width = size
        clouds = [outline_points(item, _MAX_POINTS) for item in objects]
        self.points = np.concatenate(clouds)
        self.starts = np.cumsum([0, *(len(cloud) for cloud in clouds)])[:-1]
        low, high = self.points.min(0), self.points.max(0)
        self.middle, self.radius = (low + high) / 2, max(float(np.linalg.norm(high - low)) / 2, 1e-6)
        self.rectangles = np.array([item.mask.box for item in objects if item.mask is not None]) / self.width
        edge = 1.5 / self.width
        limits = np.array([self.width, self.height]) / self.width
        self.touches_low = self.rectangles[:, :2] <= edge
        self.touches_high = self.rectangles[:, 2:] >= limits - edge
        self.fixed = None if intrinsics_px is None else intrinsics_px.double().numpy()

    def start(self, yaw: float, pitch: float) -> np.ndarray:
        focal = 0.5 / math.tan(_PRIOR_FOV / 2)
        # As near as shows the scene's sphere on as much of the picture as the masks take.
        extent = self.rectangles[:, 2:].max(0) - self.rectangles[:, :2].min(0)
        distance = self.radius * (2 * self._focal(math.log(focal)) / max(float(extent.max()), 0.1) + 0.3)
        return np.array([yaw, pitch, math.log(distance / self.radius), 0.0, 0.0, math.log(focal)])

    def residuals(self, unknowns: np.ndarray) -> np.ndarray:
        difference = self._differences(unknowns)
        prior = [
            _PRIOR_WEIGHT * (unknowns[1] - _PRIOR_PITCH) / 0.3,
            _PRIOR_WEIGHT * (unknowns[5] - math.log(0.5 / math.tan(_PRIOR_FOV / 2))) / 0.3,
            *(_PRIOR_WEIGHT * unknowns[3:5] / 0.3),
        ]
        return np.concatenate([difference.ravel(), prior])

    def cost(self, unknowns: np.ndarray) -> float:
        return float(np.abs(self._differences(unknowns)).mean())

    error = cost

    def camera(self, unknowns: np.ndarray) -> Camera:
        rotation, origin = self._pose(unknowns)
        cam_from_world = np.eye(4)
        cam_from_world[:3, :3], cam_from_world[:3, 3] = rotation, -rotation @ origin
        intrinsics = self._intrinsics(unknowns)
        return Camera(
            intrinsics_px=torch.from_numpy(intrinsics).float(),
            cam_from_world=torch.from_numpy(cam_from_world).float(),
            width=self.width,
            height=self.height,
        )

    def _differences(self, unknowns: np.ndarray) -> np.ndarray:
        """Projected minus wanted rectangle (left, top, right, bottom), in picture widths."""
        rotation, origin = self._pose(unknowns)
        seen = (self.points - origin) @ rotation.T
        intrinsics = self._intrinsics(unknowns)
        depth = np.maximum(seen[:, 2], 0.05 * self.radius)
        pixels = seen[:, :2] / depth[:, None] * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2]
        pixels = np.clip(pixels / self.width, -3, 4)
        low = np.minimum.reduceat(pixels, self.starts) - self.rectangles[:, :2]
        high = np.maximum.reduceat(pixels, self.starts) - self.rectangles[:, 2:]
        # Beyond the border of the picture nobody sees where an object ends.
        low = np.where(self.touches_low, np.maximum(low, 0), low)
        high = np.where(self.touches_high, np.minimum(high, 0), high)
        return np.concatenate([low, high], 1)

    def _pose(self, unknowns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """cam_from_world rotation, and the camera's position."""
        yaw, pitch, log_distance, right, up = unknowns[:5]
        axes = level_axes(yaw, pitch)
        across, down, forward = axes
        distance = self.radius * math.exp(min(log_distance, 6.0))
        origin = self.middle - distance * forward + self.radius * (right * across - up * down)
        return axes, origin

    def _intrinsics(self, unknowns: np.ndarray) -> np.ndarray:
        if self.fixed is not None:
            return self.fixed
        focal = self.width * math.exp(float(np.clip(unknowns[5], -1.5, 2.5)))
        return np.array([[focal, 0, self.width / 2], [0, focal, self.height / 2], [0, 0, 1.0]])

    def _focal(self, log_focal: float) -> float:
        return math.exp(log_focal) if self.fixed is None else float(self.fixed[0, 0]) / self.width
