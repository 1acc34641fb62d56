"""Equirectangular panoramas, drawn through the six faces of a cube.

Colour is resampled bilinearly from padded faces, so no edge and no wrap shows. Masks and materials take the nearest
sample. Distance is interpolated as 1/depth, which is exactly linear over a plane, wherever the four neighbours belong
to one surface.

Frame: camera OpenCV, longitude 0 straight ahead (docs/conventions.md#cameras-and-images). Legend: S face size.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from scenewright.geometry.camera.cubemap import (
    CUBE_PAD,
    cube_face_rotations,
    cube_intrinsics,
    cubemap_to_equirect,
    equirect_rays,
    locate_on_cube,
)
from scenewright.io.images import image_of
from scenewright.rendering.lights import STUDIO, Lights, ShadowMaps
from scenewright.rendering.render import DEFAULT_OPTIONS, RenderOptions, render, shadows_of
from scenewright.rendering.triangles import TriangleScene, pack_scene
from scenewright.types import Camera, Scene

__all__ = ["PanoramaRendering", "render_panorama"]

SAME_SURFACE = 1.2  # neighbouring depths within this ratio are one surface


@dataclass(frozen=True)
class PanoramaRendering:
    """A panorama and its channels; as `Rendering`, but with `distance_m` along the ray (0: nothing hit)."""

    rgb: Float[Tensor, "height width 3"]
    alpha: Float[Tensor, "height width"]
    instance: Int[Tensor, "height width"]
    distance_m: Float[Tensor, "height width"]
    normal: Float[Tensor, "height width 3"]
    albedo: Float[Tensor, "height width 3"]
    metallic_roughness: Float[Tensor, "height width 2"]

    def image(self) -> Image.Image:
        """The colour picture as 8-bit RGB."""
        return image_of(self.rgb)


def render_panorama(
    scene: Scene | TriangleScene,
    cam_from_world: Float[Tensor, "4 4"],
    height: int,
    lights: Lights | ShadowMaps = STUDIO,
    options: RenderOptions = DEFAULT_OPTIONS,
) -> PanoramaRendering:
    """Draw everything around a point: `height` x 2 `height` pixels, the centre looking along the camera's +z.

    `scene`, `lights` and `options` as in `render`.
    """
    packed = pack_scene(scene) if isinstance(scene, Scene) else scene
    if isinstance(lights, Lights):
        lights = shadows_of(packed, lights, backend=options.backend, threads=options.threads)
    size = max(round(0.75 * height), 4)  # a little denser than the panorama's equator (2/pi of its height)
    intrinsics, padded = cube_intrinsics(size), size + 2 * CUBE_PAD
    faces = []
    for rotation in cube_face_rotations():
        turn = torch.eye(4)
        turn[:3, :3] = rotation
        camera = Camera(intrinsics, turn @ cam_from_world.detach().float().cpu(), padded, padded)
        faces.append(render(packed, camera, lights, replace(options, near=options.near / 2)))
    rays = equirect_rays(height, 2 * height).to(packed.vertices)
    face, pixel, along = locate_on_cube(rays, size)
    column, row = pixel.long().clamp(0, padded - 1).unbind(-1)

    def nearest(name: str) -> Tensor:
        return torch.stack([getattr(item, name) for item in faces])[face, row, column]

    color = torch.stack([torch.cat([item.rgb, item.alpha[..., None]], -1) for item in faces])
    color = cubemap_to_equirect(color, height)
    depth = torch.stack([item.depth_z_m for item in faces])
    return PanoramaRendering(
        color[..., :3],
        color[..., 3],
        nearest("instance"),
        _plane_depth(depth, face, pixel) / along,
        nearest("normal"),
        nearest("albedo"),
        nearest("metallic_roughness"),
    )


def _plane_depth(
    depth: Float[Tensor, "6 padded padded"], face: Int[Tensor, "height width"], pixel: Float[Tensor, "height width 2"]
) -> Float[Tensor, "height width"]:
    """Depth at positions on the faces: 1/depth bilinear within one surface, else that of the nearest pixel."""
    last = depth.shape[1] - 1
    low = (pixel - 0.5).floor()
    a, b = (pixel - 0.5 - low).unbind(-1)
    u, v = low.long().clamp(0, last - 1).unbind(-1)
    taps = torch.stack([depth[face, v, u], depth[face, v, u + 1], depth[face, v + 1, u], depth[face, v + 1, u + 1]])
    weights = torch.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    column, row = pixel.long().clamp(0, last).unbind(-1)
    nearest = depth[face, row, column]
    smooth = (taps.amin(0) > 0) & (taps.amax(0) < SAME_SURFACE * taps.amin(0))
    inverse = (weights / taps.clamp(min=1e-9)).sum(0)
    return torch.where(smooth, 1 / inverse, nearest)
