"""`scenewright object`: one picture (or several of the same thing) to a textured object."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scenewright.errors import InputError

__all__ = ["object_command"]


class MultiImage(StrEnum):
    stochastic = "stochastic"
    multidiffusion = "multidiffusion"


def object_command(
    images: Annotated[list[Path], typer.Argument(help="A picture of one object, or several of the same one.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .glb to write.")] = Path("object.glb"),
    splats: Annotated[Path | None, typer.Option(help="Also write the Gaussians to this .ply.")] = None,
    weights: Annotated[
        str, typer.Option(help="A folder in the published layout, or a hub repository.")
    ] = "microsoft/TRELLIS-image-large",
    seed: Annotated[int, typer.Option(help="The same seed gives the same object.", min=0)] = 0,
    steps: Annotated[int | None, typer.Option(help="Steps of both samplers; published: 25.", min=1)] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance strength of both; published: 5.", min=0)] = None,
    multi_image: Annotated[MultiImage, typer.Option(help="How several pictures are combined.")] = MultiImage.stochastic,
    faces: Annotated[int, typer.Option(help="Face budget.", min=4)] = 30_000,
    texture_size: Annotated[int, typer.Option(help="Side of the texture in texels.", min=16, max=8192)] = 1024,
    remove_background: Annotated[bool, typer.Option(help="Cut the object out of opaque pictures.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    offline: Annotated[bool, typer.Option(help="Never download.")] = False,
) -> None:
    """Make a textured 3D object from a picture (TRELLIS)."""
    from dataclasses import replace

    from scenewright.backbones.trellis1.pretrained import Trellis1
    from scenewright.cli.device import choose_device, choose_dtype
    from scenewright.cli.progress import stage_progress
    from scenewright.io.images import load_image
    from scenewright.io.scene_file import save_scene
    from scenewright.systems.single_object.trellis1 import (
        TRELLIS1_FINISH,
        ObjectOptions,
        load_image_encoder,
        object_from_pictures,
    )

    _check_outputs(out, splats)
    pictures = [load_image(path) for path in images]
    remover = _remover_if_needed(pictures, images, remove_background)
    place = choose_device(device)
    with stage_progress() as progress:
        networks = Trellis1.from_pretrained(
            weights,
            device=place,
            dtype=choose_dtype(dtype, place),
            offline=offline,
            report=lambda line: progress(line, 0.0),
        )
        encoder = load_image_encoder(networks, device=place, offline=offline)
        options = ObjectOptions(
            seed=seed,
            structure_sampler=networks.structure_sampler.overridden(steps=steps, guidance_strength=guidance),
            slat_sampler=networks.slat_sampler.overridden(steps=steps, guidance_strength=guidance),
            multi_image=multi_image.value,
            finish=replace(TRELLIS1_FINISH, max_faces=faces, texture_size=texture_size),
        )
        scene = object_from_pictures(pictures, networks, encoder, options, remove_background=remover, progress=progress)
    typer.echo(f"wrote {save_scene(scene, out)}")
    if splats is not None:
        typer.echo(f"wrote {save_scene(scene, splats)}")


def _check_outputs(out: Path, splats: Path | None) -> None:
    """Before minutes of work: the names must be ones that can be written."""
    if out.suffix.lower() != ".glb":
        raise InputError(f"Expected --out to end in .glb, got '{out.name}'.")
    if splats is not None and splats.suffix.lower() != ".ply":
        raise InputError(f"Expected --splats to end in .ply, got '{splats.name}'.")
    for path in (out, splats):
        if path is not None and not path.absolute().parent.is_dir():
            raise InputError(f"The folder of '{path}' does not exist; create it first.")


def _remover_if_needed(pictures, paths, is_wanted):
    """A background remover where a picture has no cut-out, before any network is loaded."""
    from scenewright.encoders.background import background_remover
    from scenewright.encoders.preprocess.crop import has_cut_out, with_alpha

    opaque = [path for path, picture in zip(paths, pictures, strict=True) if not has_cut_out(with_alpha(picture))]
    if not opaque:
        return None
    if not is_wanted:
        raise InputError(f"'{opaque[0]}' is opaque everywhere; give a cut-out (PNG with alpha).")
    return background_remover()
