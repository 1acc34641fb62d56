"""`scenewright demo`: the bundled picture with masks to a scene and a comparison picture, offline."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]

NO_WEIGHTS = (
    "No trained weights ship with this version: every mask becomes a box at its place (the 'cuboid' baseline).\n"
    "With the published weights: scenewright generate PHOTO --masks MASKS --preset published (downloads several GB)."
)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("demo"),
    system: Annotated[
        str | None, typer.Option(help="What generates, with the weights that ship; by default the best of them.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same scene.", min=0)] = 0,
    settle: Annotated[bool, typer.Option(help="Rest objects on the floor and out of each other.")] = False,
) -> None:
    """Turn the bundled picture into a scene: scene.glb and comparison.png."""
    import time

    begin = time.perf_counter()
    from scenewright.cli.generate import summarise
    from scenewright.cli.progress import stage_progress
    from scenewright.errors import InputError
    from scenewright.runs.generate import run, save_run
    from scenewright.runs.inputs import read_inputs
    from scenewright.runs.manifest import GenerateSettings
    from scenewright.systems.loading import choose_preset, shipped_systems
    from scenewright.systems.registry import DEFAULT_SYSTEM

    chosen = system or (DEFAULT_SYSTEM if DEFAULT_SYSTEM in shipped_systems() else "cuboid")
    typer.echo(NO_WEIGHTS if chosen == "cuboid" and system is None else choose_preset(chosen, "mini").notice)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot make the folder '{out}': {error.strerror}.") from error
    with as_file(files("scenewright") / "assets" / "living_room") as folder, stage_progress() as progress:
        settings = GenerateSettings(
            image=str(folder / "rgb.jpg"),
            masks=(str(folder / "instances.png"),),
            camera=str(folder / "scene.json"),
            system=chosen,
            preset=chosen if chosen == "cuboid" else "mini",
            seed=seed,
            settle=settle,
        )
        inputs = read_inputs(settings)
        made = run(settings, inputs, progress=progress)
        progress.stage("draw")
        written = save_run(made, out / "scene.glb", comparison=out / "comparison.png", inputs=inputs)
    summarise(made, len(inputs.masks), written)
    typer.echo(f"{time.perf_counter() - begin:.1f} s in all")
