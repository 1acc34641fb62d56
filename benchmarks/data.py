"""CPU seconds of making data: scenes composed, pictures, on-the-fly samples, voxelisation and O-Voxel per asset.

    uv run python -m benchmarks data --pack PACK [--count 20] [--resolution 256]

PACK is a model pack or a compact pack. One thread and CPU time, which other work on the machine does not stretch; the
mean over `--count` after a warm-up. "images" are 256 x 256 with 2 x 2 samples a pixel, from composed floor scenes.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import MissingError, Report
from scenewright.data.composition import ComposedScene
from scenewright.data.floor_scenes import compose_floor_scene
from scenewright.data.ground_truth import prepare_scene
from scenewright.data.held_out import TrainingAsset
from scenewright.data.library import TrainingLibrary
from scenewright.data.occupancy import surface_occupancy
from scenewright.data.random_scenes import compose_random_scene
from scenewright.data.recipes import DataRecipe
from scenewright.data.rooms import compose_room
from scenewright.data.samples import sample_of
from scenewright.data.selection import Selector
from scenewright.errors import InputError
from scenewright.geometry.ovoxel.voxelize_object import object_to_ovoxel
from scenewright.rendering.render import RenderOptions, render, shadows_of


def mean_ms(function: Callable[[int], object], count: int) -> float:
    """CPU milliseconds of one call, mean over `count` after one for compilation."""
    function(0)
    begin = time.process_time()
    for number in range(count):
        function(number + 1)
    return (time.process_time() - begin) / count * 1000


Show = Callable[..., None]


def measure_scenes(show: Show, selector: Selector, count: int) -> None:
    """Composing, then pictures of the composed scenes."""
    rng = np.random.default_rng(0)
    scenes: list[ComposedScene] = []
    show("floor scene, composed", mean_ms(lambda _: scenes.append(compose_floor_scene(selector, rng, size=256)), count))
    show("random scene, composed", mean_ms(lambda _: compose_random_scene(selector, rng, views=4), count))
    show("furnished room, composed", mean_ms(lambda _: compose_room(selector, rng, views=4, panoramas=1), count))
    faces = float(np.mean([sum(placed.asset.num_faces for placed in scene.objects) for scene in scenes]))
    note = f"{faces:,.0f} faces a scene, {np.mean([len(scene.objects) for scene in scenes]):.1f} objects"
    prepared = [prepare_scene(scene, shadow_size=256) for scene in scenes]
    shadows = [shadows_of(item.packed, item.lights, threads=1) for item in prepared]
    options = RenderOptions(threads=1)

    def picture(number: int) -> None:
        index = number % len(scenes)
        render(prepared[index].packed, scenes[index].cameras[0], shadows[index], options)

    show("image, shadows ready", mean_ms(picture, 2 * count), note)
    show(
        "lamp shadows of a scene",
        mean_ms(lambda n: shadows_of(prepared[n % len(scenes)].packed, prepared[0].lights, threads=1), count),
    )
    recipe = DataRecipe("floor", size=256)
    show("sample of a shard, all files", mean_ms(lambda n: sample_of(scenes[n % len(scenes)], n, recipe), count))


def measure_assets(show: Show, library: TrainingLibrary, count: int, resolution: int) -> None:
    """Reading, admission and voxelisation of single assets."""
    ids = sorted(library.rows)
    ids = ids[:: max(1, len(ids) // (count + 1))]
    sources: list[TrainingAsset] = []

    def read(number: int) -> None:
        try:
            sources.append(library[ids[number % len(ids)]])
        except InputError:
            return

    show("model read and admitted", mean_ms(read, count))
    faces = f"{np.mean([source.asset.num_faces for source in sources]):,.0f} faces an asset"
    rng = np.random.default_rng(0)
    show("parametric object made", mean_ms(lambda _: library.random_parametric(rng), count))
    for side in (32, 64):
        show(
            f"surface occupancy, {side}^3",
            mean_ms(lambda n, r=side: surface_occupancy(sources[n % len(sources)].asset, r), count),
            faces,
        )
    show(
        f"O-Voxel, {resolution}^3, with materials",
        mean_ms(lambda n: object_to_ovoxel(sources[n % len(sources)].asset.parts, resolution), count),
        faces,
    )


PACK = Path(__file__).parents[1].parent / "shared/data/sh3d_pack_v1.zip"
QUICK = {"count": 1, "resolution": 32}


def section(report: Report, *, pack: Path = PACK, count: int = 20, resolution: int = 256) -> None:
    """Prints a row for each thing that is made."""
    if not pack.exists():
        raise MissingError(f"a model pack or a compact pack (--pack; '{pack}' is not there)")
    torch.set_num_threads(1)
    report.table("what", "CPU ms", "per second", "")
    taken: dict[str, float] = {}

    def show(name: str, milliseconds: float, note: str = "") -> None:
        taken[name] = milliseconds
        report.row(name, f"{milliseconds:.2f}", f"{1000 / milliseconds:.1f}", note)

    library = TrainingLibrary([str(pack)])
    measure_assets(show, library, count, resolution)
    measure_scenes(show, Selector(library), count)
    report.ratio("sample / its image", taken["sample of a shard, all files"] / taken["image, shadows ready"])
    report.ratio("scene composed / its image", taken["floor scene, composed"] / taken["image, shadows ready"])
