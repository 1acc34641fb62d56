"""The cuboid baseline: every mask becomes a box in its mean colour; what a scene looks like before any network."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scenewright.geometry.color import linear_from_srgb
from scenewright.progress import SILENT, Progress
from scenewright.systems.baselines.cuboid.placement import box_from_mask
from scenewright.systems.baselines.floor_scene import floor_scene
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.systems.system import Views
from scenewright.types import Camera, Mask, Mesh, OrientedBox, PBRMaterial, Scene, SceneObject

__all__ = ["CuboidSystem", "box_mesh", "mean_colour", "upright"]

_CORNERS = [[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]
_FACES = [
    *([0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]),
    *([2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]),
]


class CuboidSystem:
    """Every mask becomes a box on the floor; has no weights and no randomness."""

    name = "cuboid"

    def __init__(self, *, floor_z: float = 0.0) -> None:
        self.floor_z = floor_z

    def generate(
        self, views: Views, *, seed: int = 0, options: GenerateOptions = DEFAULT, progress: Progress = SILENT
    ) -> Scene:
        """See `System.generate`; `seed` changes nothing, and an unknown camera is assumed (`assumed_camera`)."""
        return floor_scene(self.name, views, self._box, seed=seed, options=options, floor_z=self.floor_z)

    def weights_sha256(self) -> dict[str, str]:
        """There are no weights."""
        return {}

    def _box(self, image: Image.Image, mask: Mask, camera: Camera) -> SceneObject:
        box = box_from_mask(mask, camera, floor_z=self.floor_z)
        part = box_mesh(box.size, mean_colour(image, mask))
        return SceneObject("box", (part,), world_from_object=upright(box))


def box_mesh(size: tuple[float, float, float], colour: tuple[float, float, float]) -> Mesh:
    """A closed box of the given size around the origin; `colour` is linear."""
    return Mesh(
        vertices=torch.tensor(_CORNERS) * torch.tensor(size),
        faces=torch.tensor(_FACES),
        material=PBRMaterial(base_color_factor=(*colour, 1.0)),
    )


def upright(box: OrientedBox) -> Tensor:
    """`world_from_object` of a box mesh: the box's turn and centre, no scale."""
    matrix = torch.eye(4)
    c, s = torch.cos(torch.tensor(box.yaw)), torch.sin(torch.tensor(box.yaw))
    matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1] = c, -s, s, c
    matrix[:3, 3] = torch.tensor(box.centre)
    return matrix


def mean_colour(image: Image.Image, mask: Mask) -> tuple[float, float, float]:
    """Mean linear colour of the picture inside the mask."""
    pixels = torch.from_numpy(np.array(image.convert("RGB").crop(mask.box))[mask.within(mask.box)])
    linear = linear_from_srgb(pixels.float() / 255).mean(0)
    return float(linear[0]), float(linear[1]), float(linear[2])
