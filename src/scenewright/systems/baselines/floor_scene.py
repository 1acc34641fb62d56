"""Shared by the baselines: a camera above a floor, and a scene of objects that stand on it, one for each mask.

A picture whose camera is not known gets an ordinary one: 50 degrees across, 1.5 m above the floor, looking down as far
as it must so that every mask ends on the floor. Frame: world z up, camera OpenCV.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

import scenewright
from scenewright.geometry.camera.projection import camera_center
from scenewright.systems.assembly.generator import settled
from scenewright.systems.options import GenerateOptions
from scenewright.systems.system import Views, masked_views
from scenewright.types import Camera, Mask, ObjectMasks, Scene, SceneObject

__all__ = ["assumed_camera", "floor_scene"]

_FOV, _HEIGHT_M, _PITCH = math.radians(50.0), 1.5, math.radians(20.0)
_BELOW_HORIZON = math.radians(6.0)


def floor_scene(
    system: str,
    views: Views,
    object_of: Callable[[Image.Image, Mask, Camera], SceneObject],
    *,
    seed: int,
    options: GenerateOptions,
    floor_z: float,
) -> Scene:
    """One object per mask of a single view, named after it; metric only where the camera is known.

    Args:
        system: the baseline's name.
        object_of: the object for a picture, a mask and a camera; its name does not matter.

    Raises:
        InputError: there are several views or no masks.
    """
    (view,) = masked_views(views, system)
    assert view.objects is not None
    masks, known = view.objects, view.camera
    lens = known.intrinsics_px if isinstance(known, Camera) else None
    is_placed = isinstance(known, Camera) and float(camera_center(known)[2]) > floor_z
    camera = known if isinstance(known, Camera) and is_placed else assumed_camera(masks, lens)
    notes: tuple[str, ...] = ()
    if not is_placed:
        notes = (f"The {'camera' if lens is None else 'place of the camera'} is assumed, not known.",)
    scene = Scene(
        tuple(
            replace(object_of(view.image, mask, camera), name=name, mask=mask)
            for name, mask in zip(masks.names, masks.regions, strict=True)
        ),
        cameras={"camera": camera},
        is_metric=is_placed,
        notes=notes,
        provenance={
            "generator": f"scenewright {scenewright.__version__}",
            "system": system,
            "weights_sha256": {},
            "seed": seed,
            "objects": list(masks.names),
            "parameters": {"settle": options.settle},
            "notes": list(notes),
        },
    )
    return settled(scene, floor_z=floor_z) if options.settle else scene


def assumed_camera(masks: ObjectMasks, intrinsics_px: Float[Tensor, "3 3"] | None = None) -> Camera:
    """A level camera for a picture of which only the masks, and perhaps the lens, are known.

    Every mask ends below its horizon.
    """
    height, width = masks.regions[0].shape
    if intrinsics_px is None:
        focal, middle = width / 2 / math.tan(_FOV / 2), height / 2
        intrinsics_px = torch.tensor([[focal, 0, width / 2], [0, focal, middle], [0, 0, 1.0]])
    else:
        focal, middle = intrinsics_px[1, 1:].tolist()
    bottoms = [mask.box[3] for mask in masks.regions if mask.area]
    highest = min(bottoms, default=height)
    # The ray through a mask's lowest pixel looks down by pitch + atan((v - cy) / f).
    pitch = max(_PITCH, _BELOW_HORIZON - math.atan((highest - middle) / focal))
    cos, sin = math.cos(pitch), math.sin(pitch)
    # Columns are world x (right), y (ahead), z (up); rows camera right, down, ahead.
    rotation = torch.tensor([[1.0, 0.0, 0.0], [0.0, -sin, -cos], [0.0, cos, -sin]])
    cam_from_world = torch.eye(4)
    cam_from_world[:3, :3] = rotation
    cam_from_world[:3, 3] = -rotation @ torch.tensor([0.0, 0.0, _HEIGHT_M])
    return Camera(intrinsics_px, cam_from_world, width, height)
