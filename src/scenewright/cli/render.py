"""`scenewright render`: a picture or a turntable of a scene file, headless."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.errors import InputError

__all__ = ["render"]

BACKGROUNDS = {"grey": (0.72, 0.72, 0.72), "white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0), "transparent": None}


def render(
    scene: Annotated[Path, typer.Argument(help="A .glb, .gltf, .ply, .obj or .stl file.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The still picture to write (.png, .jpg).")] = None,
    turntable: Annotated[Path | None, typer.Option(help="The turntable to write (.gif, .webp or .mp4).")] = None,
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=16, max=8192)] = 768,
    view: Annotated[
        str,
        typer.Option(
            help="three-quarter, front, back, left, right, top, camera (the file's), or YAW,PITCH in degrees."
        ),
    ] = "three-quarter",
    frames: Annotated[int, typer.Option(help="Pictures in the turntable.", min=2, max=720)] = 36,
    background: Annotated[str, typer.Option(help="grey, white, black or transparent (stills).")] = "grey",
    ground: Annotated[bool, typer.Option(help="Draw a soft shadow on the ground.")] = True,
    fov: Annotated[float, typer.Option(help="Field of view in degrees.", min=2, max=120)] = 30.0,
    device: Annotated[str, typer.Option(help="Where to draw: cpu, cuda, mps.")] = "cpu",
) -> None:
    """Draw a scene: a still with --out, a turntable with --turntable, or both."""
    from scenewright.io.images import save_image
    from scenewright.io.scene_file import load_scene
    from scenewright.rendering.preview import PreviewStyle, preview_still, preview_turntable, save_animation

    if background not in BACKGROUNDS:
        raise InputError(f"Expected --background {', '.join(BACKGROUNDS)}, got '{background}'.")
    if out is None and turntable is None:
        out = scene.with_suffix(".png")
    loaded = load_scene(scene)
    style = PreviewStyle(size=size, fov_deg=fov, background=BACKGROUNDS[background], has_ground=ground)
    if out is not None:
        camera, (yaw, pitch) = _view(view, loaded, size)
        picture = preview_still(loaded, yaw_deg=yaw, pitch_deg=pitch, camera=camera, style=style, device=device)
        save_image(picture, out)
        typer.echo(f"wrote {out}")
    if turntable is not None:
        from rich.progress import Progress

        if turntable.suffix.lower() not in (".gif", ".webp", ".mp4"):
            raise InputError(f"Expected --turntable to end in .gif, .webp or .mp4, got '{turntable.name}'.")
        with Progress(transient=True) as bar:
            task = bar.add_task("turntable", total=frames)
            pictures = preview_turntable(
                loaded, frames, style=style, device=device, progress=lambda done, _: bar.update(task, completed=done)
            )
        save_animation(pictures, turntable)
        typer.echo(f"wrote {turntable}")


def _view(view: str, scene, size: int):  # type: ignore[no-untyped-def]
    """(camera or None, (yaw, pitch) in degrees) that `--view` asks for."""
    from scenewright.geometry.camera.projection import scale_camera
    from scenewright.rendering.framing import NAMED_VIEWS

    if view == "camera":
        if scene.camera is None:
            raise InputError(
                "The file holds no camera, so --view camera cannot be drawn; use three-quarter or YAW,PITCH."
            )
        return scale_camera(scene.camera, size / max(scene.camera.width, scene.camera.height)), (0.0, 0.0)
    if view in NAMED_VIEWS:
        return None, NAMED_VIEWS[view]
    try:
        yaw, pitch = (float(part) for part in view.split(","))
    except ValueError:
        names = ", ".join(NAMED_VIEWS)
        raise InputError(f"Expected --view {names}, camera, or two numbers like -35,22; got '{view}'.") from None
    if not -89.95 <= pitch <= 89.95:
        raise InputError(f"Expected a pitch between -89.95 and 89.95 degrees, got {pitch}.")
    return None, (yaw, pitch)
