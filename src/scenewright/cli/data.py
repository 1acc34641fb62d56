"""`scenewright data`: import models, make training scenes, pack training assets."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.options import Seed, Workers, out_option
from scenewright.files import MAX_SEED

__all__ = ["data_app"]


data_app = typer.Typer(help="Import models, make training scenes, pack training assets.", no_args_is_help=True)


@data_app.command("make")
def make(
    recipe: Annotated[str, typer.Argument(help="A recipe file (.toml) or: floor, random, room, panorama, walk.")],
    out: Annotated[Path, out_option("Write the shards to this folder; run again to finish an interrupted one.")],
    workers: Workers = 1,
    pack: Annotated[list[Path] | None, typer.Option(help="Take models from this pack; repeatable.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Make so many scenes.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=MAX_SEED, help="Make other scenes of the recipe.")] = None,
    size: Annotated[int | None, typer.Option(help="Side or height of the pictures, in pixels.")] = None,
) -> None:
    """Make scenes with exact ground truth: the same recipe and seed give the same bytes."""
    from scenewright.cli.progress import progress_bar
    from scenewright.data.making import make_data
    from scenewright.data.recipes import load_recipe

    packs = tuple(str(path) for path in pack) if pack else None
    data_recipe = load_recipe(recipe, packs=packs, count=count, seed=seed, size=size)
    with progress_bar() as bar:
        summary = make_data(data_recipe, out, workers=workers, progress=bar.stage("shards"))
    shards = f"{summary.shards_made} shards made, {summary.shards_kept} kept"
    typer.echo(f"{summary.scenes} scenes in '{out}' ({shards}); look at sheet.jpg.")


@data_app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="A .sh3f catalogue, an archive, a model, or a folder of these.")],
    out: Annotated[Path, out_option("Write the model pack to this folder.")],
    creator: Annotated[str, typer.Option(help="Credit models that no catalogue credits to this maker.")] = "",
    licence: Annotated[str, typer.Option(help="The licence of models that no catalogue credits.")] = "",
) -> None:
    """Bring models into the canonical frame and metric size, refuse bad ones, and write a model pack with a report."""
    from scenewright.cli.progress import progress_bar
    from scenewright.data.asset import Credit
    from scenewright.data.catalogue import find_models
    from scenewright.data.importing import import_models

    entries = find_models(source, credit=Credit(creator=creator, licence=licence))
    with progress_bar() as bar:
        report = import_models(entries, out, progress=bar.stage("models"))
    counts = ", ".join(f"{number} {verdict}" for verdict, number in report.counts.items())
    typer.echo(f"{len(report.lines)} models: {counts}. See '{out / 'report.json'}'.")


@data_app.command("pack")
def pack_command(
    packs: Annotated[list[Path], typer.Argument(help="Model packs; only their training split is taken.")],
    out: Annotated[Path, out_option("Write the compact pack here (.tar).")],
    parametric: Annotated[int, typer.Option(min=0, help="Add so many members of our own families.")] = 500,
    seed: Seed = 0,
) -> None:
    """Write the compact training pack: voxels, quantised meshes and small textures of all training assets."""
    from scenewright.cli.progress import progress_bar
    from scenewright.data.compact_writing import write_compact_pack
    from scenewright.data.library import TrainingLibrary

    library = TrainingLibrary(packs)
    with progress_bar() as bar:
        summary = write_compact_pack(library, out, parametric=parametric, seed=seed, progress=bar.stage("assets"))
    left = f", {len(summary.left_out)} models left out" if summary.left_out else ""
    typer.echo(f"{summary.assets} assets, {summary.bytes / 1e6:.1f} MB in '{out}'{left}.")
