"""The picture beside a scene: what went in, and what came out seen from the same camera and from above."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from scenewright.rendering.preview import preview_still
from scenewright.rendering.sheet import mask_overlay, picture_sheet, top_view
from scenewright.systems.assembly.views import SceneView
from scenewright.types import Scene

__all__ = ["comparison_picture"]


def comparison_picture(views: Sequence[SceneView], scene: Scene, cell: int = 384) -> Image.Image:
    """The picture, its masks, the scene from the same camera and from above, side by side; further views below."""
    rows: list[list[Any]] = [[view.image.convert("RGB"), mask_overlay(view.image, list(view.masks))] for view in views]
    cells = rows[0]
    labels = ["input", "masks"]
    if scene.camera is not None:
        cells.append(preview_still(scene, camera=scene.camera))
        labels.append("scene, same camera")
    cells.append(top_view(scene))
    return picture_sheet(rows, labels=(*labels, "from above"), cell=cell)
