"""`scenewright demo`: the bundled picture with masks to a scene, a comparison picture and timings, offline."""

import resource
import sys
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]

NOTICE = (
    "No trained weights ship with this version: every mask becomes a box at its place (the 'cuboid' baseline).\n"
    "For a real object from a picture: scenewright object PICTURE (downloads the published TRELLIS weights)."
)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Passed to the system.")] = 0,
) -> None:
    """Turn the bundled picture into a scene: scene.glb and comparison.png."""
    begin = time.perf_counter()
    from scenewright.data.test_scenes import read_test_scene
    from scenewright.io.images import save_image
    from scenewright.rendering.preview import preview_still
    from scenewright.rendering.sheet import mask_overlay, picture_sheet, top_view
    from scenewright.systems.cuboid.system import CuboidSystem

    timings: dict[str, float] = {}

    def lap(stage: str) -> None:
        timings[stage] = time.perf_counter() - begin - sum(timings.values())

    lap("import")
    with as_file(files("scenewright") / "assets" / "living_room") as folder:
        given = read_test_scene(folder)
    assert given.image is not None
    assert given.camera is not None
    lap("read")
    scene = CuboidSystem(floor_z=given.floor_z_m).generate(given.image, given.masks, camera=given.camera, seed=seed)
    lap("generate")
    out.mkdir(parents=True, exist_ok=True)
    scene_path = scene.save(out / "scene.glb")
    lap("write")
    again = preview_still(scene, camera=given.camera)
    pictures = [given.image, mask_overlay(given.image, given.masks), again, top_view(scene)]
    sheet = picture_sheet([pictures], labels=("input", "masks", "scene, same camera", "from above"), cell=384)
    save_image(sheet, out / "comparison.png")
    lap("draw")
    typer.echo(NOTICE)
    typer.echo("  ".join(f"{stage} {seconds:.1f} s" for stage, seconds in timings.items()))
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    typer.echo(f"peak memory {kilobytes / 1024:.0f} MB")
    typer.echo(f"wrote {scene_path} ({len(scene.objects)} objects) and {out / 'comparison.png'}")
