"""The upright box on the floor whose outline fills the bounding rectangle of a mask, for a known camera.

The lowest pixels of the mask are taken to touch the floor; the box faces the camera's heading. Its width follows from
the left and right edge of the mask, its height from the top edge, and its depth, which one mask does not show, is set
to a share of its width. The result is found by a few fixed-point rounds, because a deeper box shows its far edge.

Frame: z-up world, camera OpenCV. Legend: H, W the picture's size.
"""

import numpy as np

from scenewright.errors import InputError
from scenewright.types import Camera, Mask, OrientedBox

__all__ = ["box_from_mask"]

_ROUNDS = 12
_MAX_DISTANCE = 50.0
_MIN_SIZE = 0.02


def box_from_mask(mask: Mask, camera: Camera, *, floor_z: float = 0.0) -> OrientedBox:
    """The box for one mask: its x runs across the view, its y along it and as long, `yaw` turns x to the view's right.

    A mask whose lowest pixels look above the horizon is placed at the far end of the range (50 units).

    Raises:
        InputError: the mask is empty, its size is not the camera's, or the camera is not above the floor.
    """
    if mask.shape != (camera.height, camera.width):
        size = f"{mask.width}x{mask.height}"
        raise InputError(f"Expected a mask of {camera.width}x{camera.height} pixels, the camera's size, got {size}.")
    if not mask.area:
        raise InputError("Expected a mask with at least one pixel, got an empty one; drop it from the list.")
    cam_from_world = camera.cam_from_world.detach().double().cpu().numpy()
    origin = -cam_from_world[:3, :3].T @ cam_from_world[:3, 3]
    if origin[2] <= floor_z:
        raise InputError(f"Expected a camera above the floor (z = {floor_z:g}), got one at z = {origin[2]:g}.")

    left, top, right, bottom = (float(side) for side in mask.box)
    lowest = mask.within((mask.box[0], mask.box[3] - 1, mask.box[2], mask.box[3]))[0]
    foot = left + float(np.flatnonzero(lowest).mean()) + 0.5
    forward = cam_from_world[2, :3]
    heading = forward[:2] if np.hypot(*forward[:2]) > 1e-6 else -cam_from_world[1, :2]
    heading = heading / np.hypot(*heading)
    across = np.array([heading[1], -heading[0]])

    def slopes(u: float, v: float) -> tuple[float, float]:
        """Sideways and upward travel of a pixel's ray per unit along the heading."""
        pixel = np.linalg.solve(camera.intrinsics_px.detach().double().cpu().numpy(), np.array([u, v, 1.0]))
        ray = cam_from_world[:3, :3].T @ pixel
        ahead = max(float(ray[:2] @ heading), 1e-6)
        return float(ray[:2] @ across) / ahead, float(ray[2]) / ahead

    middle = (top + bottom) / 2
    side_low, side_high = sorted((slopes(left, middle)[0], slopes(right, middle)[0]))
    fall, rise = slopes(foot, bottom)[1], slopes((left + right) / 2, top)[1]
    drop = float(origin[2]) - floor_z
    near = min(drop / -fall, _MAX_DISTANCE) if fall < 0 else _MAX_DISTANCE

    width = _MIN_SIZE
    low = high = 0.0
    for _ in range(_ROUNDS):
        far = near + width
        # Of the two corners on each side, the one that sticks out in the picture decides.
        low = max(side_low * near, side_low * far) if side_low < 0 else side_low * far
        high = min(side_high * near, side_high * far) if side_high > 0 else side_high * far
        width = max(high - low, _MIN_SIZE)
    far = near + width
    height = max(drop + min(rise * near, rise * far), _MIN_SIZE)
    ahead, sideways = (near + far) / 2, (low + high) / 2
    ground = origin[:2] + ahead * heading + sideways * across
    return OrientedBox(
        (float(ground[0]), float(ground[1]), floor_z + height / 2),
        (width, width, height),
        float(np.arctan2(across[1], across[0])),
    )
