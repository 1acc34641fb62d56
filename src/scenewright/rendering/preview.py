"""Good-looking stills and turntables of a finished scene, with sensible light, ground and framing.

Frame: world, z up, metres or relative units; everything scales with the scene's size.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError, MissingExtraError
from scenewright.geometry.splat import splat_gaussians
from scenewright.io.atomic import atomic_path
from scenewright.io.gaussian_ply import merged_splats
from scenewright.io.images import image_of
from scenewright.progress import Advance, ignore
from scenewright.rendering.framing import frame_points, turntable
from scenewright.rendering.lights import STUDIO, Lights
from scenewright.rendering.render import RenderOptions, render, shadows_of
from scenewright.rendering.triangles import add_ground, pack_scene
from scenewright.types import Camera, Gaussians, Scene

__all__ = ["PreviewStyle", "preview_pictures", "preview_still", "preview_turntable", "save_animation"]

_USUAL_SIZES = (0.01, 1000.0)
ANIMATION_SUFFIXES = (".gif", ".webp", ".mp4")


@dataclass(frozen=True)
class PreviewStyle:
    """The looks of a preview: `background` is linear (None: transparent); `has_ground` adds a shadow on the ground."""

    size: int = 768
    fov_deg: float = 30.0
    background: tuple[float, float, float] | None = (0.72, 0.72, 0.72)
    has_ground: bool = True
    supersample: int = 2
    lights: Lights = STUDIO


DEFAULT_STYLE = PreviewStyle()


def preview_still(
    scene: Scene,
    *,
    yaw_deg: float = -35.0,
    pitch_deg: float = 22.0,
    camera: Camera | None = None,
    style: PreviewStyle = DEFAULT_STYLE,
    device: torch.device | str = "cpu",
) -> Image.Image:
    """One picture: from `camera` if given, else framed from the direction (yaw 0 sees the front, pitch looks down).

    Raises:
        InputError: the scene has neither triangles nor splats.
    """
    if camera is None:
        scene = _at_usual_size(scene)
        points = _points(scene)
        camera = frame_points(
            points, yaw_deg=yaw_deg, pitch_deg=pitch_deg, width=style.size, height=style.size, fov_deg=style.fov_deg
        )
    return next(preview_pictures(scene, [camera], style=style, device=device))


def preview_turntable(
    scene: Scene,
    frames: int = 36,
    *,
    style: PreviewStyle = DEFAULT_STYLE,
    device: torch.device | str = "cpu",
    progress: Advance = ignore,
) -> list[Image.Image]:
    """Pictures of one full turn around the scene; `progress(done, total)` is called after each."""
    scene = _at_usual_size(scene)
    cameras = turntable(_points(scene), frames, width=style.size, height=style.size, fov_deg=style.fov_deg)
    pictures = []
    for picture in preview_pictures(scene, cameras, style=style, device=device):
        pictures.append(picture)
        progress(len(pictures), frames)
    return pictures


def preview_pictures(
    scene: Scene, cameras: list[Camera], *, style: PreviewStyle = DEFAULT_STYLE, device: torch.device | str = "cpu"
) -> Iterator[Image.Image]:
    """One picture per camera; packing and shadows are shared. Scenes of splats alone are drawn as splats."""
    packed = pack_scene(scene)
    if not len(packed.faces):
        yield from _splat_pictures(_splats(scene), cameras, style, device)
        return
    size = float((packed.bounds()[1] - packed.bounds()[0]).norm())
    if style.has_ground:
        packed = add_ground(packed)
    packed = packed.to(device)
    shadows = shadows_of(packed, style.lights)
    options = RenderOptions(
        supersample=style.supersample, background=style.background, near=1e-3 * size or 1e-6, with_channels=False
    )
    for camera in cameras:
        yield render(packed, camera, shadows, options).image(transparent=style.background is None)


def save_animation(pictures: list[Image.Image], path: str | Path, *, seconds: float = 4.0) -> Path:
    """Write pictures as a looping `.gif` or `.webp`, or as `.mp4` (needs the extra `video`).

    Raises:
        InputError: another suffix, or no pictures.
        MissingExtraError: mp4 without the video encoder.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in ANIMATION_SUFFIXES:
        raise InputError(f"Expected an animation name ending in .gif, .webp or .mp4, got '{path.name}'.")
    if not pictures:
        raise InputError("Expected at least one picture to animate, got none.")
    if suffix == ".mp4":
        return _save_mp4(pictures, path, len(pictures) / seconds)
    frames = [picture.convert("RGB") for picture in pictures]
    if suffix == ".gif":
        # One palette for all frames: colours do not flicker from frame to frame.
        strip = Image.new("RGB", (frames[0].width, frames[0].height * min(len(frames), 8)))
        for i, frame in enumerate(frames[:: max(1, len(frames) // 8)][:8]):
            strip.paste(frame, (0, i * frame.height))
        palette = strip.quantize(256, method=Image.Quantize.MEDIANCUT)
        frames = [frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    duration = round(1000 * seconds / len(frames))
    with atomic_path(path) as temporary:
        frames[0].save(temporary, save_all=True, append_images=frames[1:], duration=duration, loop=0)
    return path


def _save_mp4(pictures: list[Image.Image], path: Path, fps: float) -> Path:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingExtraError("Writing .mp4 (a .gif or .webp needs nothing more)", "video") from error
    size = (pictures[0].width // 2 * 2, pictures[0].height // 2 * 2)  # the common pixel format wants even sizes
    with atomic_path(path) as temporary:
        writer = imageio_ffmpeg.write_frames(str(temporary), size, fps=fps, quality=8, macro_block_size=1)
        writer.send(None)
        for picture in pictures:
            writer.send(picture.convert("RGB").crop((0, 0, *size)).tobytes())
        writer.close()
    return path


def _at_usual_size(scene: Scene) -> Scene:
    """The scene, at the origin and of size 1 where it is so small, large or far that numbers would run out."""
    seen = [
        item.world_bounds().double().cpu()
        for item in scene.objects
        if any(len(part.vertices) for part in item.parts) or (item.splats is not None and len(item.splats.means))
    ]
    if not seen:
        return scene
    low, high = torch.stack([box[0] for box in seen]).amin(0), torch.stack([box[1] for box in seen]).amax(0)
    centre, size = (low + high) / 2, float((high - low).norm())
    is_usual = _USUAL_SIZES[0] <= size <= _USUAL_SIZES[1] and float(centre.norm()) <= _USUAL_SIZES[1] * size
    if is_usual or not 0 < size < float("inf"):  # also what is not a number, which is refused later
        return scene
    here_from_world = torch.eye(4, dtype=torch.float64) / size
    here_from_world[:3, 3] = -centre / size
    here_from_world[3, 3] = 1
    moved = [
        replace(item, world_from_object=(here_from_world @ item.world_from_object.double().cpu()).float())
        for item in scene.objects
    ]
    return replace(scene, objects=tuple(moved))


def _points(scene: Scene) -> Float[Tensor, "N 3"]:
    packed = pack_scene(scene)
    points = packed.vertices[packed.faces.flatten().unique().long()] if len(packed.faces) else _splats(scene).means
    if not bool(torch.isfinite(points).all()):
        raise InputError("The scene has coordinates that are not finite numbers; it was damaged before rendering.")
    return points


def _splats(scene: Scene) -> Gaussians:
    with_splats = replace(scene, objects=tuple(item for item in scene.objects if item.splats is not None))
    if not with_splats.objects:
        raise InputError("The scene has no triangles and no splats, so there is nothing to render.")
    return merged_splats(with_splats)


def _splat_pictures(
    splats: Gaussians, cameras: list[Camera], style: PreviewStyle, device: torch.device | str
) -> Iterator[Image.Image]:
    moved = Gaussians(**{name: value.to(device) for name, value in vars(splats).items()})
    for camera in cameras:
        drawn = splat_gaussians(moved, camera)
        color, alpha = drawn.rgb, drawn.alpha[..., None]
        if style.background is None:
            picture = torch.cat([color / alpha.clamp(min=1e-6), alpha], -1)
        else:
            # Splat colours are display colours already, so the backdrop is encoded before mixing.
            backdrop = torch.tensor(style.background, device=color.device).clamp(0, 1) ** (1 / 2.2)
            picture = color + (1 - alpha) * backdrop
        yield image_of(picture)
