"""`scenewright prepare`: from model packs to the samples that recipes train on."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.options import Device, Offline, Seed, Workers, out_option

__all__ = ["prepare_app"]

prepare_app = typer.Typer(help="Make what recipes train on: voxels of models, then latents.", no_args_is_help=True)


@prepare_app.command("assets")
def assets(
    out: Annotated[Path, out_option("Write the samples to this folder; run again to finish an interrupted one.")],
    pack: Annotated[list[Path] | None, typer.Option(help="Take models from this pack; repeatable.")] = None,
    parametric: Annotated[int, typer.Option(min=0, help="Add so many objects of our own families.")] = 0,
    resolution: Annotated[int, typer.Option(min=16, max=1024, help="Side of the grid of shapes and materials.")] = 64,
    structure_resolution: Annotated[int, typer.Option(min=16, max=64, help="Side of the structure grid.")] = 64,
    num_views: Annotated[int, typer.Option(min=0, max=150, help="Draw so many pictures of each model.")] = 0,
    picture_size: Annotated[int, typer.Option(min=32, max=2048, help="Side of the pictures, in pixels.")] = 518,
    workers: Workers = 1,
    seed: Seed = 0,
) -> None:
    """Voxels, materials and pictures of every model: what the autoencoders train on."""
    from scenewright.cli.progress import progress_bar
    from scenewright.systems.single_object.preparation import AssetPreparation, prepare_assets

    packs = tuple(str(path) for path in pack or ())
    config = AssetPreparation(packs, parametric, resolution, structure_resolution, num_views, picture_size, seed)
    with progress_bar() as bar:
        train, validation = prepare_assets(
            config,
            out,
            workers=workers,
            progress=bar.stage("shards"),
        )
    typer.echo(f"{train} models to train on and {validation} to validate with in '{out}'.")


@prepare_app.command("latents")
def latents(
    source: Annotated[Path, typer.Argument(help="Folder of `scenewright prepare assets --num-views ...`.")],
    out: Annotated[Path, out_option("Write the samples to this folder.")],
    structure: Annotated[
        Path | None, typer.Option(help="Structure encoder: a run's folder, or a published .safetensors.")
    ] = None,
    shape: Annotated[Path | None, typer.Option(help="Shape encoder, likewise.")] = None,
    texture: Annotated[Path | None, typer.Option(help="Texture encoder, likewise; needs --shape.")] = None,
    statistics: Annotated[
        Path | None, typer.Option(help="statistics.json to normalise with (default: measure).")
    ] = None,
    image_encoder: Annotated[str, typer.Option(help="dinov2 (TRELLIS) or dinov3 (TRELLIS.2).")] = "dinov2",
    encoder_weights: Annotated[str | None, typer.Option(help="Its weight file or folder; default: published.")] = None,
    device: Device = "auto",
    offline: Offline = False,
) -> None:
    """Latents and condition tokens, one sample per picture: what the flows train on."""
    from scenewright.cli.progress import progress_bar
    from scenewright.machine import choose_device
    from scenewright.runs.latents import LatentPreparation, prepare_latents

    given = {"structure": structure, "shape": shape, "texture": texture, "statistics": statistics}
    paths = {name: None if path is None else str(path) for name, path in given.items()}
    preparation = LatentPreparation(
        str(source),
        **paths,
        image_encoder=image_encoder,  # type: ignore[arg-type]
        encoder_weights=encoder_weights,
    )
    with progress_bar() as bar:
        count = prepare_latents(preparation, out, device=choose_device(device), progress=bar.stage("models"))
    typer.echo(f"{count} samples in '{out}'.")
