"""The picture beside a scene: what went in, and what came out seen from the same camera and from above."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from scenewright.rendering.preview import preview_still
from scenewright.rendering.sheet import mask_overlay, picture_sheet, top_view
from scenewright.types import Scene, View

__all__ = ["comparison_picture"]


def comparison_picture(views: Sequence[View], scene: Scene) -> Image.Image:
    """The picture, its masks, the scene from the same camera and from above, side by side; further views below."""
    rows: list[list[Any]] = [[view.image] for view in views]
    labels = ["input"]
    if views[0].objects is not None:
        labels.append("masks")
        for row, view in zip(rows, views, strict=True):
            row.append(mask_overlay(view.image, [] if view.objects is None else list(view.objects.masks)))
    cells = rows[0]
    if scene.camera is not None:
        cells.append(preview_still(scene, camera=scene.camera))
        labels.append("scene, same camera")
    cells.append(top_view(scene))
    return picture_sheet(rows, labels=(*labels, "from above"), cell=384)
