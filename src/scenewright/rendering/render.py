"""Pictures of a scene from one camera: colour, coverage, masks, depth, normals and materials.

Colour is averaged over `supersample`^2 samples per pixel; masks, depth, normals and materials are sampled at the pixel
centre, so edges are never blends of two objects. Depth and masks see masked materials through their holes and count
blended ones (glass) as the object, except where fully transparent.

Frames: camera OpenCV, world z up; normals are in the world frame and face the camera (docs/conventions.md).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from scenewright.geometry.threads import run_bands
from scenewright.io.images import image_of
from scenewright.rendering import raster_numba, shade_numba, shade_torch
from scenewright.rendering.gbuffer import Backend, GBuffer, choose_backend, rasterize, rasterize_depth
from scenewright.rendering.lights import STUDIO, Lights, ShadowMaps, cast_shadows
from scenewright.rendering.triangles import CATCHER, TriangleScene, pack_scene
from scenewright.rendering.view import View, view_of_camera
from scenewright.types import Camera, Scene

__all__ = ["DEFAULT_OPTIONS", "RenderOptions", "Rendering", "render", "render_batch", "render_view", "shadows_of"]


@dataclass(frozen=True)
class RenderOptions:
    """Options of drawing.

    `background` is linear; None makes colour independent of it, for pictures with transparency. `near` is the nearest
    visible depth. `blend_layers` see-through surfaces are composited in front of the first opaque one. `threads` (CPU):
    None takes every core. `tone_map` off clips instead of rolling off. `with_channels` off skips everything but colour
    and coverage.
    """

    supersample: int = 2
    background: tuple[float, float, float] | None = (0.72, 0.72, 0.72)
    exposure: float = 1.0
    tone_map: bool = True
    near: float = 0.01
    blend_layers: int = 3
    backend: Backend = "auto"
    threads: int | None = None
    with_channels: bool = True


DEFAULT_OPTIONS = RenderOptions()


@dataclass(frozen=True)
class Rendering:
    """One picture and its channels, all of one size.

    `rgb` is sRGB-encoded in [0, 1]; `alpha` is the share of each pixel covered by the scene. `instance` is 0 where no
    object is; `depth_z_m` (0: nothing hit) is along the camera's z axis in scene units. `normal` is a unit vector in
    the world frame or zero; `albedo` is the linear base colour; `metallic_roughness` are in [0, 1].
    """

    rgb: Float[Tensor, "height width 3"]
    alpha: Float[Tensor, "height width"]
    instance: Int[Tensor, "height width"]
    depth_z_m: Float[Tensor, "height width"]
    normal: Float[Tensor, "height width 3"]
    albedo: Float[Tensor, "height width 3"]
    metallic_roughness: Float[Tensor, "height width 2"]

    def image(self, *, transparent: bool = False) -> Image.Image:
        """The colour picture as 8-bit RGB, or RGBA with `alpha` as its fourth channel."""
        channels = torch.cat([self.rgb, self.alpha[..., None]], -1) if transparent else self.rgb
        return image_of(channels)

    def mask(self, instance: int) -> Bool[Tensor, "height width"]:
        """The visible pixels of one object (numbered from 1)."""
        return self.instance == instance


def render(
    scene: Scene | TriangleScene,
    camera: Camera,
    lights: Lights | ShadowMaps = STUDIO,
    options: RenderOptions = DEFAULT_OPTIONS,
) -> Rendering:
    """Draw a scene from a camera.

    Args:
        scene: packed scenes skip the packing. Object i (from 0) of a `Scene` is instance i + 1; splats are left out.
        lights: `ShadowMaps` (from `shadows_of`) when several cameras share one lit scene.
    """
    packed = pack_scene(scene) if isinstance(scene, Scene) else scene
    return render_view(packed, view_of_camera(camera, near=options.near), lights, options)


def render_batch(
    scenes: Sequence[TriangleScene],
    cameras: Sequence[Camera],
    lights: Sequence[Lights | ShadowMaps],
    options: RenderOptions = DEFAULT_OPTIONS,
) -> list[Rendering]:
    """Draw many pictures at once, one CPU thread each: faster than one after another when pictures are small."""
    single = replace(options, threads=1)
    workers = options.threads or torch.get_num_threads()
    if workers <= 1:
        return [render(s, c, li, single) for s, c, li in zip(scenes, cameras, lights, strict=True)]
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(render, s, c, li, single) for s, c, li in zip(scenes, cameras, lights, strict=True)]
        return [job.result() for job in jobs]


def shadows_of(
    scene: TriangleScene, lights: Lights, *, backend: Backend = "auto", threads: int | None = None
) -> ShadowMaps:
    """The shadow maps of a scene, for reuse by several cameras."""

    def draw(scene: TriangleScene, view: View, selected: Tensor | None) -> Tensor:
        return rasterize_depth(scene, view, selected=selected, backend=backend, threads=threads)

    return cast_shadows(scene, lights, draw)


def render_view(scene: TriangleScene, view: View, lights: Lights | ShadowMaps, options: RenderOptions) -> Rendering:
    """Draw a packed scene through any projection of the rasteriser."""
    options = replace(options, backend=choose_backend(scene, options.backend))
    if isinstance(lights, Lights):
        lights = shadows_of(scene, lights, backend=options.backend, threads=options.threads)
    lights = lights.to(scene.vertices.device)
    factor = max(options.supersample, 1)
    fine = view.supersampled(factor)
    layers = _visible_layers(scene, fine, options)
    at_once = factor == 1 and len(layers) == 1 and options.with_channels
    if at_once:
        linear, alpha, extras = _shade(scene, fine, layers[0], lights, options, with_channels=True)
    else:
        linear, alpha = _composite(scene, fine, layers, lights, options)
    rgb, alpha = _resolve(linear, alpha, factor, options)
    if not options.with_channels:
        blank = torch.zeros_like(alpha)
        none = blank[..., None].expand(-1, -1, 3)
        return Rendering(rgb, alpha, blank.int(), blank, none, none, none[..., :2])
    if factor > 1:
        layers = _visible_layers(scene, view, replace(options, blend_layers=min(options.blend_layers, 1)))
    front = _front(layers)
    if not at_once:
        extras = _shade(scene, view, front, _dark(lights), options, with_channels=True)[2]
    instance, depth = _instances(scene, front, options), front.depth
    if bool((scene.bank.kinds[:, 0] == CATCHER).any()):
        is_shown = _is_shown(scene, front)
        extras, depth = extras * is_shown[..., None], depth * is_shown
    return Rendering(rgb, alpha, instance, depth, extras[..., 3:6], extras[..., :3], extras[..., 6:8])


def _instances(scene: TriangleScene, front: GBuffer, options: RenderOptions) -> Tensor:
    """Number of the object that each pixel shows; 0 for none and for shadow catchers."""
    if options.backend == "numba":
        columns = (front.face, scene.face_instance, scene.face_material, scene.bank.kinds)
        instance = torch.empty_like(front.face)
        raster_numba.instances_at(*(column.numpy() for column in columns), CATCHER, instance.numpy())
        return instance
    if not len(scene.faces):
        return torch.zeros_like(front.face)
    return torch.where(_is_shown(scene, front), scene.face_instance[front.face.clamp(min=0).long()], 0).int()


def _is_shown(scene: TriangleScene, front: GBuffer) -> Tensor:
    """Whether a pixel shows a surface that is no shadow catcher."""
    if not len(scene.faces):
        return torch.zeros_like(front.face, dtype=torch.bool)
    material = scene.face_material[front.face.clamp(min=0).long()].long()
    return (front.face >= 0) & (scene.bank.kinds[:, 0][material] != CATCHER)


def _visible_layers(scene: TriangleScene, view: View, options: RenderOptions) -> list[GBuffer]:
    """See-through layers from near to far, then the opaque one."""

    def draw(**limits: Tensor | None) -> GBuffer:
        return rasterize(scene, view, backend=options.backend, threads=options.threads, **limits)  # type: ignore[arg-type]

    is_blend = scene.bank.kinds[:, 0] == 2
    if not bool(is_blend.any()) or not len(scene.faces):
        return [draw()]
    blended = is_blend[scene.face_material.long()]
    opaque = draw(selected=~blended)
    layers: list[GBuffer] = []
    while len(layers) < options.blend_layers:
        behind = layers[-1].depth if layers else None
        if behind is not None:
            # Where the layer before found nothing there is nothing further: no limit there would find it again.
            behind = torch.where(layers[-1].face >= 0, behind, torch.finfo(behind.dtype).max)
        layer = draw(selected=blended, in_front_of=opaque.depth, behind=behind)
        if not bool((layer.face >= 0).any()):
            break
        layers.append(layer)
    return [*layers, opaque]


def _front(layers: list[GBuffer]) -> GBuffer:
    """The surface that each pixel centre sees first."""
    front = layers[-1]
    for layer in reversed(layers[:-1]):
        hit = layer.face >= 0
        front = GBuffer(
            torch.where(hit, layer.face, front.face),
            torch.where(hit[..., None], layer.barycentrics, front.barycentrics),
            torch.where(hit, layer.depth, front.depth),
        )
    return front


def _composite(
    scene: TriangleScene, view: View, layers: list[GBuffer], lights: ShadowMaps, options: RenderOptions
) -> tuple[Tensor, Tensor]:
    """Linear colour (multiplied by opacity) and opacity of all layers, far to near."""
    linear, alpha, _ = _shade(scene, view, layers[-1], lights, options)
    for layer in reversed(layers[:-1]):
        color, opacity, _ = _shade(scene, view, layer, lights, options)
        linear = color * opacity[..., None] + linear * (1 - opacity[..., None])
        alpha = opacity + alpha * (1 - opacity)
    return linear, alpha


def _shade(
    scene: TriangleScene,
    view: View,
    seen: GBuffer,
    lights: ShadowMaps,
    options: RenderOptions,
    *,
    with_channels: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Linear colour, opacity, and the eight material channels (a stub unless asked for)."""
    interleave = options.supersample if len(lights.dome) >= 4 * options.supersample**2 else 1
    if options.backend == "torch":
        center = view.center.to(scene.vertices)
        return shade_torch.shade_image(seen.face, seen.barycentrics, center, scene, lights, interleave)
    height, width = seen.face.shape
    rgb = np.empty((height, width, 3), dtype=np.float32)
    alpha = np.empty((height, width), dtype=np.float32)
    extras = np.empty((height, width, 8) if with_channels else (1, 1, 8), dtype=np.float32)
    columns = (scene.vertices, scene.vertex_normals, scene.uv, scene.colors, scene.faces, scene.face_material)
    mesh = tuple(value.numpy() for value in columns)
    bank = tuple(v.numpy() for v in (scene.bank.factors, scene.bank.kinds, scene.bank.textures, scene.bank.texels))
    maps = tuple(value.numpy() for value in vars(lights).values() if isinstance(value, Tensor))
    fixed = (view.center.numpy(), mesh, bank, maps, lights.radius, with_channels, interleave)

    def band(first: int, last: int) -> None:
        shade_numba.shade_rows(seen.face.numpy(), seen.barycentrics.numpy(), *fixed, first, last, rgb, alpha, extras)

    run_bands(band, height, options.threads)
    return torch.from_numpy(rgb), torch.from_numpy(alpha), torch.from_numpy(extras)


def _dark(lights: ShadowMaps) -> ShadowMaps:
    """No light at all: what is left of shading is the material channels."""
    dome = {name: getattr(lights, name)[:0] for name in ("dome", "dome_views", "dome_depths")}
    return replace(lights, suns=lights.suns[:0], points=lights.points[:0], **dome)


def _resolve(linear: Tensor, alpha: Tensor, factor: int, options: RenderOptions) -> tuple[Tensor, Tensor]:
    background, over = torch.tensor(options.background or (0.0, 0.0, 0.0)), options.background is not None
    how = (factor, options.exposure, options.tone_map)
    if options.backend == "torch":
        return shade_torch.resolve_image(linear, alpha, *how, background, over)
    height, width = linear.shape[0] // factor, linear.shape[1] // factor
    rgb = np.empty((height, width, 3), dtype=np.float32)
    coverage = np.empty((height, width), dtype=np.float32)
    source = (linear.contiguous().numpy(), alpha.contiguous().numpy())

    def band(first: int, last: int) -> None:
        shade_numba.resolve_rows(*source, *how, background.numpy(), over, first, last, rgb, coverage)

    run_bands(band, height, options.threads)
    return torch.from_numpy(rgb), torch.from_numpy(coverage)
