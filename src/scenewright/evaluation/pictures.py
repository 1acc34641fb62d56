"""Pictures for the report: the input, and prediction and truth drawn from the same camera.

The camera is the test scene's own; where there is none, one that sees the whole truth from above its front. The
prediction is moved onto the truth by the alignment that was scored, so that the pictures show what the numbers mean.
"""

from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from scenewright.evaluation.scoring import SceneScore
from scenewright.geometry.camera.cameras import look_at
from scenewright.io.atomic import make_folder
from scenewright.io.images import save_image
from scenewright.rendering.lights import STUDIO
from scenewright.rendering.render import RenderOptions, render
from scenewright.types import Camera, Scene, SceneObject

__all__ = ["default_camera", "draw", "save_pictures"]

_SIDE = 320
# Coarser shadows than the studio's: they cost more than all else here.
_LIGHTS = replace(STUDIO, ambient=replace(STUDIO.ambient, occlusion_directions=12), shadow_size=512)


def save_pictures(
    work: Path,
    name: str,
    image: Image.Image | None,
    prediction: Scene,
    truth: Scene,
    score: SceneScore,
    *,
    camera: Camera | None = None,
) -> dict[str, str]:
    """Writes the pictures into `work` and returns their names there: input, prediction, truth."""
    camera = shrunk(camera or truth.camera or default_camera(truth), _SIDE)
    motion = torch.tensor(score.truth_from_prediction)
    moved = [replace(o, world_from_object=motion @ o.world_from_object.cpu().float()) for o in prediction.objects]
    drawn = {
        "prediction": draw(_shown(moved), camera),
        "truth": draw(_shown(truth.objects), camera),
    }
    if image is not None:
        small = image.convert("RGB")
        small.thumbnail((_SIDE, _SIDE))
        drawn["input"] = small
    names = {}
    for role, picture in drawn.items():
        names[role] = f"{name}_{role}.jpg"
        make_folder((work / names[role]).parent)
        save_image(picture, work / names[role])
    return names


def draw(objects: list[SceneObject], camera: Camera) -> Image.Image:
    """The objects in the studio light."""
    return render(Scene(tuple(objects)), camera, _LIGHTS, RenderOptions(with_channels=False)).image()


def default_camera(scene: Scene, *, side: int = _SIDE) -> Camera:
    """A square camera with a 40 degree view that sees the whole scene from above its front (-y)."""
    bounds = torch.stack([item.world_bounds() for item in scene.objects if item.parts])
    low, high = bounds[:, 0].amin(0), bounds[:, 1].amax(0)
    centre, radius = (low + high) / 2, float((high - low).norm()) / 2 or 1.0
    focal = side / 2 / 0.364
    distance = radius / 0.342
    eye = centre + distance * torch.nn.functional.normalize(torch.tensor([0.35, -1.0, 0.6]), dim=0)
    intrinsics = torch.tensor([[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1]])
    return Camera(intrinsics, look_at(eye, centre), side, side)


def shrunk(camera: Camera, side: int) -> Camera:
    """The same view with the longer side of the picture at `side` pixels."""
    factor = side / max(camera.width, camera.height)
    scale = torch.tensor([[factor], [factor], [1.0]])
    size = (round(camera.width * factor), round(camera.height * factor))
    return replace(camera, intrinsics_px=camera.intrinsics_px.cpu() * scale, width=size[0], height=size[1])


def _shown(objects: list[SceneObject] | tuple[SceneObject, ...]) -> list[SceneObject]:
    """Objects with meshes, without the parts of the room that would hide them."""
    return [item for item in objects if item.parts and not item.name.startswith(("wall", "ceiling", "opening", "lamp"))]
