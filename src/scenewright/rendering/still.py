"""`scenewright.render`: one picture of a scene from a named side, a direction, or the scene's own camera."""

import math
from pathlib import Path

import torch
from PIL import Image

from scenewright.errors import InputError
from scenewright.geometry.camera.projection import scale_camera
from scenewright.io.scene_file import load_scene
from scenewright.rendering.framing import NAMED_VIEWS
from scenewright.rendering.preview import PreviewStyle, preview_still
from scenewright.types import Camera, Scene

__all__ = ["BACKGROUNDS", "preview_style", "render"]

BACKGROUNDS = {"grey": (0.72, 0.72, 0.72), "white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0), "transparent": None}


def render(
    scene: Scene | str | Path,
    view: str = "three-quarter",
    *,
    size: int = 768,
    background: str = "grey",
    ground: bool = True,
    fov_deg: float = 30.0,
    device: torch.device | str = "cpu",
) -> Image.Image:
    """A picture of a scene in memory or in a file, `size` pixels wide and high.

    Args:
        view: three-quarter, front, back, left, right, top, camera (the scene's own), or "YAW,PITCH" in degrees; yaw 0
            sees the front, a positive pitch looks down.
        background: grey, white, black or transparent.
        ground: draws a soft shadow on the ground.
        fov_deg: field of view across the picture.

    Raises:
        InputError: the file cannot be read, the scene is empty, or there is no such view or background.
    """
    style = preview_style(size=size, background=background, ground=ground, fov_deg=fov_deg)
    opened = scene if isinstance(scene, Scene) else load_scene(scene)
    if view == "camera":
        return preview_still(opened, camera=_own_camera(opened, size), style=style, device=device)
    yaw_deg, pitch_deg = _direction(view)
    return preview_still(opened, yaw_deg=yaw_deg, pitch_deg=pitch_deg, style=style, device=device)


def preview_style(*, size: int, background: str, ground: bool, fov_deg: float) -> PreviewStyle:
    """The style of a preview with a background by name.

    Raises:
        InputError: there is no such background.
    """
    if background not in BACKGROUNDS:
        raise InputError(f"Expected a background out of {', '.join(BACKGROUNDS)}, got '{background}'.")
    return PreviewStyle(size=size, fov_deg=fov_deg, background=BACKGROUNDS[background], has_ground=ground)


def _own_camera(scene: Scene, size: int) -> Camera:
    """The scene's camera for a picture whose longer side is `size` pixels."""
    if scene.camera is None:
        raise InputError(
            "The scene has no camera, so the view 'camera' cannot be drawn; use three-quarter or YAW,PITCH."
        )
    return scale_camera(scene.camera, size / max(scene.camera.width, scene.camera.height))


def _direction(view: str) -> tuple[float, float]:
    """Yaw and pitch in degrees of a view by name or as two numbers."""
    if view in NAMED_VIEWS:
        return NAMED_VIEWS[view]
    try:
        yaw_deg, pitch_deg = (float(part) for part in view.split(","))
    except ValueError:
        names = ", ".join(NAMED_VIEWS)
        raise InputError(f"Expected a view out of {names}, camera, or two numbers like -35,22; got '{view}'.") from None
    if not math.isfinite(yaw_deg):
        raise InputError(f"Expected a yaw in degrees, got {yaw_deg}.")
    if not -89.95 <= pitch_deg <= 89.95:
        raise InputError(f"Expected a pitch between -89.95 and 89.95 degrees, got {pitch_deg}.")
    return yaw_deg, pitch_deg
