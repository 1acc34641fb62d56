"""`scenewright render`: a picture or a turntable of a scene file, headless."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.options import Device, out_option

__all__ = ["render"]


def render(
    scene: Annotated[Path, typer.Argument(help="The scene or model file to draw.")],
    out: Annotated[
        Path | None, out_option("Write the still picture here (.png, .jpg; SCENE_render.png where nothing is given).")
    ] = None,
    turntable: Annotated[Path | None, typer.Option(help="Write a turntable here (.gif, .webp or .mp4).")] = None,
    size: Annotated[int, typer.Option(help="Width and height in pixels.", min=16, max=8192)] = 768,
    view: Annotated[
        str,
        typer.Option(
            help="Look from three-quarter, front, back, left, right, top, camera (the file's), or YAW,PITCH in degrees."
        ),
    ] = "three-quarter",
    frames: Annotated[int, typer.Option(help="Number of pictures in the turntable.", min=2, max=720)] = 36,
    background: Annotated[str, typer.Option(help="Background: grey, white, black or transparent (stills).")] = "grey",
    ground: Annotated[bool, typer.Option(help="Draw a soft shadow on the ground.")] = True,
    fov: Annotated[float, typer.Option(help="Field of view in degrees.", min=2, max=120)] = 30.0,
    device: Device = "cpu",
) -> None:
    """Draw a scene: a still with --out, a turntable with --turntable, or both."""
    from scenewright.cli.progress import progress_bar
    from scenewright.errors import InputError
    from scenewright.io.atomic import check_writable
    from scenewright.io.images import save_image
    from scenewright.io.scene_file import load_scene
    from scenewright.machine import choose_device
    from scenewright.rendering.preview import ANIMATION_SUFFIXES, preview_turntable, save_animation
    from scenewright.rendering.still import preview_style
    from scenewright.rendering.still import render as draw

    if turntable is not None and turntable.suffix.lower() not in ANIMATION_SUFFIXES:
        raise InputError(f"Expected --turntable to end in .gif, .webp or .mp4, got '{turntable.name}'.")
    if out is None and turntable is None:
        out = scene.absolute().with_name(f"{scene.stem}_render.png")
    check_writable(*(path for path in (out, turntable) if path is not None), inputs=[scene])
    opened, torch_device = load_scene(scene), choose_device(device)
    if out is not None:
        picture = draw(opened, view, size=size, background=background, ground=ground, fov_deg=fov, device=torch_device)
        typer.echo(f"wrote {save_image(picture, out)}")
    if turntable is not None:
        style = preview_style(size=size, background=background, ground=ground, fov_deg=fov)
        with progress_bar() as progress:
            pictures = preview_turntable(
                opened, frames, style=style, device=torch_device, progress=progress.stage("turntable")
            )
        typer.echo(f"wrote {save_animation(pictures, turntable)}")
