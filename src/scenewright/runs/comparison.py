"""The picture beside a scene: what went in, and what came out seen from the same camera and from above."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from scenewright.encoders.masks.object_masks import resized_nearest
from scenewright.geometry.camera.projection import scale_camera
from scenewright.rendering.preview import preview_still
from scenewright.rendering.sheet import TALLEST, mask_overlay, picture_sheet, top_view
from scenewright.types import Camera, Scene, View

__all__ = ["comparison_picture"]

_CELL = 384
_CUT = 0.85
"""Height at which a room is cut to look into it from above, as a share of its own."""


def comparison_picture(views: Sequence[View], scene: Scene) -> Image.Image:
    """The picture, its masks, the scene from the same camera and from above, side by side; further views below.

    Nothing is drawn at more than twice the size at which it is shown.
    """
    pictures = [_reduced(view.image) for view in views]
    rows: list[list[Any]] = [[picture] for picture in pictures]
    labels = ["input"]
    if views[0].objects is not None:
        labels.append("masks")
        for row, view, picture in zip(rows, views, pictures, strict=True):
            row.append(mask_overlay(picture, _masks(view, picture.size)))
    cells = rows[0]
    if scene.camera is not None:
        cells.append(preview_still(scene, camera=_reduced_camera(scene.camera)))
        labels.append("scene, same camera")
    cells.append(top_view(scene, cut_height_m=None if scene.room is None else _CUT * scene.room.height))
    return picture_sheet(rows, labels=(*labels, "from above"), cell=_CELL)


def _share(width: int, height: int) -> Fraction:
    """The part of a picture's size that is worth drawing, at most 1."""
    return min(Fraction(1), Fraction(2 * _CELL, width), Fraction(2 * _CELL * TALLEST, height))


def _reduced(image: Image.Image) -> Image.Image:
    share = _share(image.width, image.height)
    if share == 1:
        return image
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    return image.resize(size, Image.Resampling.BOX)


def _masks(view: View, size: tuple[int, int]) -> list[Bool[Tensor, "height width"]]:
    """The view's masks at (width, height)."""
    regions = () if view.objects is None else view.objects.regions
    return [torch.from_numpy(resized_nearest(mask.dense().numpy(), size[::-1])) for mask in regions]


def _reduced_camera(camera: Camera) -> Camera:
    share = _share(camera.width, camera.height)
    return camera if share == 1 else scale_camera(camera, float(share))
