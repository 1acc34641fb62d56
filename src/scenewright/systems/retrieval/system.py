"""The retrieval baseline: the most similar stored model for every mask, placed as the cuboid baseline does."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.systems.cuboid.placement import FloorBox, box_from_mask
from scenewright.systems.cuboid.system import upright
from scenewright.systems.retrieval.library import FeatureFunction, ModelLibrary
from scenewright.types import Camera, Mesh, Scene, SceneObject

__all__ = ["RetrievalSystem", "crop_on_black"]


class RetrievalSystem:
    """Answers with stored models: `features` must be the function the library was built with."""

    name = "retrieval"
    needs_camera = True

    def __init__(self, library: ModelLibrary, features: FeatureFunction, *, floor_z: float = 0.0) -> None:
        self.library = library
        self.features = features
        self.floor_z = floor_z

    def generate(
        self, image: Image.Image, masks: Sequence[Bool[Tensor, "H W"]], *, camera: Camera | None = None, seed: int = 0
    ) -> Scene:
        """One stored model per mask, in the order of the masks; `seed` changes nothing.

        The model keeps its proportions: it is scaled to the height of the mask's box and centred on it.

        Raises:
            InputError: there is no camera, or a mask is empty.
        """
        if camera is None:
            raise InputError("The retrieval baseline needs the camera that took the picture; none was given.")
        objects = []
        for index, mask in enumerate(masks):
            box = box_from_mask(mask, camera, floor_z=self.floor_z)
            model, yaw, similarity = self.library.nearest(self.features(crop_on_black(image, mask)))
            parts = tuple(model.load())
            objects.append(
                SceneObject(
                    name=f"obj_{index + 1:02d}",
                    parts=parts,
                    world_from_object=_fit(parts, box, yaw),
                    mask=mask,
                    confidence=max(0.0, min(1.0, similarity)),
                    extras={"model": model.name},
                )
            )
        return Scene(tuple(objects), camera=camera, provenance={"system": self.name, "seed": seed})


def crop_on_black(image: Image.Image, mask: Bool[Tensor, "H W"], *, margin: float = 1.2) -> Image.Image:
    """The masked object on black, in a square crop `margin` times the longer side of its box."""
    rgb = image.convert("RGB").resize((mask.shape[1], mask.shape[0]))
    alpha = Image.fromarray(mask.cpu().numpy().astype("uint8") * 255)
    left, top, right, bottom = alpha.getbbox() or (0, 0, *alpha.size)
    half = max(1, round(margin * max(right - left, bottom - top) / 2))
    x, y = (left + right) // 2, (top + bottom) // 2
    return Image.composite(rgb, Image.new("RGB", rgb.size), alpha).crop((x - half, y - half, x + half, y + half))


def _fit(parts: Sequence[Mesh], box: FloorBox, yaw: float) -> Tensor:
    vertices = torch.cat([part.vertices for part in parts])
    turn = upright(replace(box, yaw=box.yaw + yaw))
    turned = vertices @ turn[:3, :3].T
    low, high = turned.amin(0), turned.amax(0)
    scale = box.size[2] / float((high - low)[2].clamp_min(1e-6))
    matrix = turn.clone()
    matrix[:3, :3] *= scale
    goal = torch.tensor([box.centre[0], box.centre[1], box.centre[2] - box.size[2] / 2])
    matrix[:3, 3] = goal - scale * torch.stack([(low + high)[0] / 2, (low + high)[1] / 2, low[2]])
    return matrix
