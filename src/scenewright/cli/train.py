"""`scenewright train`: train or fine-tune one network by a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.options import Device, Offline, Seed, out_option

__all__ = ["train"]


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name or a .toml file (docs/training.md).")],
    data: Annotated[Path, typer.Option(help="Folder with the training samples.")],
    out: Annotated[Path, out_option("Write checkpoints, metrics, sheets and final weights to this folder.")],
    budget_minutes: Annotated[float | None, typer.Option(min=0, help="Stop and save after this time.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the newest checkpoint in --out, if there is one.")] = False,
    init_from: Annotated[
        list[str] | None, typer.Option(help="Start from these weights: FILE, or PART=FILE; may be repeated.")
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Change the recipe, e.g. train.batch_size=4; may be repeated.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    offline: Offline = False,
) -> None:
    """Train a network, or fine-tune it fully or with low-rank updates; interrupted runs go on with --resume.

    The same command runs under torchrun or `accelerate launch` on several devices.
    """
    import math
    from dataclasses import replace

    from scenewright.cli.progress import progress_bar
    from scenewright.recipes.running import find_recipe, trainer_of

    recipe_read = find_recipe(recipe, change or ())
    if init_from:
        settings = replace(recipe_read.run.train, init_from=tuple(init_from))
        recipe_read = replace(recipe_read, run=replace(recipe_read.run, train=settings))
    trainer = trainer_of(recipe_read, data, out, seed=seed, device=device)
    minutes = math.inf if budget_minutes is None else budget_minutes
    with progress_bar() as bar:
        result = trainer.fit(budget_minutes=minutes, resume=resume, progress=bar)
    if not result.weights:
        return  # one of several processes; the main one reports
    reasons = {"max_steps": "all steps done", "budget": "the time budget is spent", "stopped": "asked to stop"}
    typer.echo(f"Step {result.step:,}, loss {result.loss:.4f} ({reasons[result.reason]}).")
    for path in result.weights:
        typer.echo(f"Weights: {path}")
    if result.reason != "max_steps":
        typer.echo("Go on with the same command and --resume.")
