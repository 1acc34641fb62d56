"""`scenewright reconstruct`: how well trained autoencoders give models back."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.options import Json, Offline, write_json

__all__ = ["reconstruct"]

_UNITS = {"voxel_iou": (100, "%"), "f": (100, "%"), "f_voxel": (100, "%"), "color_psnr": (1, "dB")}


def reconstruct(
    pack: Annotated[Path, typer.Argument(help="Model pack, a zip or folder with index.csv.")],
    shape: Annotated[Path | None, typer.Option(help="Run that trained a shape autoencoder.")] = None,
    texture: Annotated[Path | None, typer.Option(help="Run that trained a texture autoencoder.")] = None,
    split: Annotated[str, typer.Option(help="Measure these models of the pack: train, val, test, or all.")] = "test",
    resolution: Annotated[int, typer.Option(min=16, max=1024, help="Side of the voxel grid.")] = 64,
    limit: Annotated[int, typer.Option(min=0, help="Only so many models (0: all).")] = 0,
    json: Json = None,
    picture: Annotated[Path | None, typer.Option(help="Draw truth and reconstruction of some models here.")] = None,
    offline: Offline = False,
) -> None:
    """Measure autoencoders on models: every model to latents and back."""
    from functools import partial

    from scenewright.cli.progress import progress_bar
    from scenewright.data.model_pack import ModelPack
    from scenewright.errors import InputError
    from scenewright.evaluation.reconstruction import load_autoencoders, reconstruct_models, record, sheet, summary
    from scenewright.io.atomic import check_writable
    from scenewright.io.images import save_image
    from scenewright.machine import machine_facts

    check_writable(*(path for path in (json, picture) if path is not None and str(path) != "-"))
    autoencoders = load_autoencoders(shape, texture)
    models = ModelPack(pack)
    ids = sorted(name for name, row in models.rows.items() if split in (row.split, "all"))[: limit or None]
    if not ids:
        known = ", ".join(sorted({row.split for row in models.rows.values()})) or "none"
        raise InputError(f"'{pack}' has no model of the split '{split}'; it has {known}.")
    with progress_bar() as bar:
        reconstructions, problems = reconstruct_models(
            [partial(models.read, name) for name in ids],
            autoencoders,
            resolution,
            progress=bar.stage("models"),
        )
    if not reconstructions:
        raise InputError(f"None of {len(ids)} models of '{pack}' could be measured: {problems[0]}")
    for sentence in problems:
        typer.echo(f"left out: {sentence}", err=True)
    typer.echo(f"{len(reconstructions)} models of the split '{split}' at {resolution}^3")
    for name, row in summary(reconstructions).items():
        factor, unit = _UNITS.get(name, (1, ""))
        mean, low, high, median, worst = (row[key] * factor for key in ("mean", "low", "high", "median", "worst"))
        typer.echo(
            f"  {name:16} {mean:.4g} {unit} (95 %: {low:.4g} to {high:.4g}), median {median:.4g}, worst {worst:.4g}"
        )
    if json is not None:
        facts = {"pack": pack.name, "split": split, "resolution": resolution, "machine": machine_facts()}
        write_json(record(reconstructions, problems, facts), json)
    if picture is not None:
        save_image(sheet(reconstructions), picture)
