"""`scenewright demo`: the bundled picture with masks to a scene and a comparison picture, offline."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.options import Seed, Settle, out_option

__all__ = ["demo"]

NO_WEIGHTS = (
    "No trained weights ship with this version: every mask becomes a box at its place (the 'cuboid' baseline).\n"
    "With the published weights: scenewright generate PHOTO --masks MASKS --weights published (downloads several GB)."
)


def demo(
    out: Annotated[Path, out_option("Write scene and picture to this folder.")] = Path("demo"),
    system: Annotated[
        str | None, typer.Option(help="Generate with this system and its shipped weights; by default the best of them.")
    ] = None,
    seed: Seed = 0,
    settle: Settle = False,
) -> None:
    """Turn the bundled picture into a scene: scene.glb and comparison.png."""
    import time

    begin = time.perf_counter()
    from scenewright.cli.generate import run_and_write
    from scenewright.cli.progress import starting

    with starting():
        from scenewright.io.atomic import check_writable, make_folder
        from scenewright.runs.manifest import GenerateSettings
        from scenewright.systems.loading import choose_weights, shipped_systems
        from scenewright.systems.registry import DEFAULT_SYSTEM

    name = system or (DEFAULT_SYSTEM if DEFAULT_SYSTEM in shipped_systems() else "cuboid")
    weights = name if name == "cuboid" else "mini"
    typer.echo(NO_WEIGHTS if name == "cuboid" and system is None else choose_weights(name, weights).notice)
    make_folder(out)
    with as_file(files("scenewright") / "assets" / "living_room") as folder:
        settings = GenerateSettings(
            image=str(folder / "rgb.jpg"),
            masks=(str(folder / "instances.png"),),
            camera=str(folder / "scene.json"),
            system=name,
            weights=weights,
            seed=seed,
            settle=settle,
        )
        scene, comparison = out / "scene.glb", out / "comparison.png"
        check_writable(scene, comparison, out / "scene.json")
        run_and_write(settings, scene, comparison=comparison)
    typer.echo(f"{time.perf_counter() - begin:.1f} s in all")
