"""Cameras that people give, checked before any work is done with them."""

import torch

from scenewright.errors import InputError
from scenewright.types import Camera

__all__ = ["check_camera", "check_lens"]

_TOLERANCE = 5e-3
# Focal lengths in widths of the picture: from a fish eye's to a telescope's.
_FOCAL_RANGE = (0.1, 100.0)
_CENTRE_RANGE = (-1.0, 2.0)
_MAX_SIDE_PX = 1 << 20


def check_lens(focal: tuple[float, float], centre: tuple[float, float], size: tuple[int, int], name: str) -> None:
    """Checks focal lengths and centre in pixels against a picture of `size`, its width and height.

    Raises:
        InputError: no camera has them; `name` is how the message calls it.
    """
    width, height = size
    if not all(1 <= side <= _MAX_SIDE_PX for side in size):
        raise InputError(f"{name} belongs to a picture of {width}x{height}, which none has; export it again.")
    if min(focal) <= 0:
        raise InputError(
            f"{name} has the focal lengths {focal[0]:g} and {focal[1]:g}, which must be positive; OpenCV's cameras "
            "look along +z, with x to the right and y down."
        )
    for value, side in zip(focal, size, strict=True):
        if _FOCAL_RANGE[0] <= value / side <= _FOCAL_RANGE[1]:
            continue
        raise InputError(
            f"{name} has a focal length of {value:g} for a picture of {width}x{height}, which fits no lens; give it in "
            "pixels, not divided by the picture's size and not in millimetres."
        )
    places = [value / side for value, side in zip(centre, size, strict=True)]
    if not all(_CENTRE_RANGE[0] <= place <= _CENTRE_RANGE[1] for place in places):
        raise InputError(
            f"{name} has its centre at ({centre[0]:g}, {centre[1]:g}), far outside the picture of "
            f"{width}x{height}; give the camera of this picture, in pixels."
        )


def check_camera(camera: Camera, name: str = "The camera") -> Camera:
    """The camera, if it is one: numbers finite, lens in pixels, place a rotation and a shift.

    Raises:
        InputError: it is none; `name` is how the message calls it.
    """
    intrinsics, pose = camera.intrinsics_px.double(), camera.cam_from_world.double()
    if not bool(torch.isfinite(intrinsics).all() and torch.isfinite(pose).all()):
        raise InputError(f"{name} holds numbers that are not finite; export it again.")
    focal = intrinsics.diagonal()[:2].tolist()
    centre = intrinsics[:2, 2].tolist()
    below = intrinsics - torch.diag(intrinsics.diagonal())
    if intrinsics[2, 2] != 1 or below[1:, :2].any():
        raise InputError(f"{name} has no intrinsics of the form [[fx, s, cx], [0, fy, cy], [0, 0, 1]]; write them so.")
    check_lens((focal[0], focal[1]), (centre[0], centre[1]), (camera.width, camera.height), name)
    rotation = pose[:3, :3]
    size = float(torch.linalg.det(rotation).abs() ** (1 / 3))
    if not torch.equal(pose[3], torch.tensor([0.0, 0.0, 0.0, 1.0]).to(pose)):
        raise InputError(f"{name} has a cam_from_world whose last row is not 0 0 0 1; it may be transposed.")
    if size < 1e-9 or float((rotation @ rotation.T / size**2 - torch.eye(3).to(pose)).abs().max()) > _TOLERANCE:
        raise InputError(f"{name} has a cam_from_world that shears or flattens; give a rotation and a translation.")
    if float(torch.linalg.det(rotation)) < 0:
        raise InputError(
            f"{name} has a cam_from_world that mirrors; OpenCV's camera (x right, y down, z forward) and a world with "
            "z up are both right-handed."
        )
    if abs(size - 1) > _TOLERANCE:
        raise InputError(f"{name} has a cam_from_world that scales by {size:g}; give a world in metres, unscaled.")
    return camera
