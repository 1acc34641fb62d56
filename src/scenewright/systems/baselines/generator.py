"""The cuboid baseline behind the same call as `SceneGenerator`: what a scene looks like before any network.

A picture whose camera is not known gets an ordinary one: 50 degrees across, 1.5 m above the floor, looking down as far
as it must so that every mask ends on the floor.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

import scenewright
from scenewright.errors import InputError
from scenewright.systems.assembly.generator import (
    AS_PUBLISHED,
    GenerateOptions,
    checked_request,
    one_picture_only,
    settled,
)
from scenewright.systems.assembly.structures import StageProgress
from scenewright.systems.assembly.views import SceneView
from scenewright.systems.baselines.cuboid.system import CuboidSystem
from scenewright.types import Camera, Scene

__all__ = ["CuboidGenerator", "assumed_camera"]

_FOV, _HEIGHT_M, _PITCH = math.radians(50.0), 1.5, math.radians(20.0)
_BELOW_HORIZON = math.radians(6.0)


class CuboidGenerator:
    """Every mask becomes a box on the floor; needs no weights."""

    name = "cuboid"
    needs_camera = True

    def __init__(self, *, floor_z: float = 0.0) -> None:
        self.floor_z = floor_z

    def generate(
        self,
        image: Image.Image,
        masks: Sequence[Bool[Tensor, "H W"]] | Bool[Tensor, "N H W"],
        *,
        names: Sequence[str] | None = None,
        camera: Camera | None = None,
        further_views: Sequence[SceneView] = (),
        seed: int = 0,
        options: GenerateOptions = AS_PUBLISHED,
        progress: StageProgress | None = None,
    ) -> Scene:
        """As `SceneGenerator.generate`; metric only where the camera is given."""
        if further_views:
            raise InputError(one_picture_only(self.name, 1 + len(further_views)))
        request = checked_request(image, masks, names, camera, seed, options)
        seen = camera or assumed_camera(request.masks)
        made = CuboidSystem(floor_z=self.floor_z).generate(image, list(request.masks), camera=seen, seed=seed)
        notes = () if camera is not None else ("The camera is assumed, not known.",)
        provenance = {
            "generator": f"scenewright {scenewright.__version__}",
            "system": self.name,
            "weights_sha256": {},
            "seed": seed,
            "objects": list(request.names),
            "parameters": {"settle": options.settle},
            "notes": list(notes),
        }
        scene = Scene(
            tuple(replace(item, name=name) for item, name in zip(made.objects, request.names, strict=True)),
            cameras={"camera": seen},
            is_metric=camera is not None,
            notes=notes,
            provenance=provenance,
        )
        return settled(scene, floor_z=self.floor_z) if options.settle else scene

    def reroll(self, scene: Scene, wanted: Mapping[str, int], *args: object, **options: object) -> Scene:
        """Boxes follow from masks alone.

        Raises:
            InputError: always.
        """
        raise InputError("The cuboid baseline has no randomness, so there is nothing to roll again.")

    def weights_sha256(self) -> dict[str, str]:
        return {}


def assumed_camera(masks: Bool[Tensor, "N H W"]) -> Camera:
    """A level camera for a picture of which only the masks are known; every mask ends below its horizon."""
    height, width = masks.shape[1:]
    focal = width / 2 / math.tan(_FOV / 2)
    bottoms = [int(mask.any(1).nonzero().max()) + 1 for mask in masks if bool(mask.any())]
    highest = min(bottoms, default=height)
    # The ray through a mask's lowest pixel looks down by pitch + atan((v - cy) / f).
    pitch = max(_PITCH, _BELOW_HORIZON - math.atan((highest - height / 2) / focal))
    cos, sin = math.cos(pitch), math.sin(pitch)
    # Columns are world x (right), y (ahead), z (up); rows camera right, down, ahead.
    rotation = torch.tensor([[1.0, 0.0, 0.0], [0.0, -sin, -cos], [0.0, cos, -sin]])
    cam_from_world = torch.eye(4)
    cam_from_world[:3, :3] = rotation
    cam_from_world[:3, 3] = -rotation @ torch.tensor([0.0, 0.0, _HEIGHT_M])
    intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return Camera(intrinsics, cam_from_world, width, height)
