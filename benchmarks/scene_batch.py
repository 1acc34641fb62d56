"""Mini's latent and decoding stages of several scenes in one packed batch, against scene by scene.

    uv run python -m benchmarks scene_batch [--scenes 4] [--repeats 3]

Scenes of one picture (two objects) under as many seeds, their structures sampled beforehand; then shape latents,
texture latents and decoding: once for the objects of all scenes together, once for each scene by itself, in turns, on
one thread as mini always computes. Every object has a generator of its own, so that only floating point can make a
difference; the table says how large it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.measure import Report, alternate
from scenewright.geometry.threads import one_torch_thread
from scenewright.runs.inputs import read_inputs
from scenewright.runs.manifest import GenerateSettings
from scenewright.systems.assembly.decoding import RawObject
from scenewright.systems.assembly.structures import PlacedStructures, SceneRequest
from scenewright.systems.mini.system import mini_system

PICTURES = Path(__file__).parents[1] / "tests" / "data" / "replay"
Decoded = list[RawObject | None]


def joined(structures: Sequence[PlacedStructures]) -> PlacedStructures:
    """The objects of several scenes as if they were of one, for the decoder, which reads no places."""
    first = structures[0]
    together = replace(
        first,
        coords=tuple(coords for scene in structures for coords in scene.coords),
        pictures=tuple(picture for scene in structures for picture in scene.pictures),
        tokens=torch.cat([scene.tokens for scene in structures], dim=1),
    )
    if first.solidity is not None:
        solidity = tuple(cells for scene in structures for cells in scene.solidity or ())
        together = replace(together, solidity=solidity)
    if first.stretches is not None:
        stretches = [scene.stretches for scene in structures if scene.stretches is not None]
        together = replace(together, stretches=torch.cat(stretches))
    return together


def difference(packed: Decoded, alone: Decoded) -> tuple[int, float]:
    """Objects of the same bytes, and the largest distance between two vertices of the same number, in cubes' sides."""
    same, largest = 0, 0.0
    for one, other in zip(packed, alone, strict=True):
        if one is None or other is None:
            same += one is other
            continue
        a, b = one.surface.vertices, other.surface.vertices
        same += torch.equal(a, b) and torch.equal(one.field.at(a), other.field.at(b))
        largest = max(largest, float((a - b).abs().max()) if a.shape == b.shape else float("inf"))
    return same, largest


QUICK = {"scenes": 2, "repeats": 1}


def section(report: Report, *, scenes: int = 4, repeats: int = 2) -> None:
    """Prints the seconds of both ways, and how far their results lie apart."""
    system = mini_system("scenegen")
    settings = GenerateSettings(str(PICTURES / "picture.png"), (str(PICTURES / "masks.png"),), "scenegen")
    views = read_inputs(settings).views
    with one_torch_thread():
        requests = [SceneRequest(views, seed=seed) for seed in range(scenes)]
        structures = [system.stage.sample_structures(request) for request in requests]
        together = joined(structures)
        owner = [(request, row) for request in requests for row in range(len(request.names))]
        results: dict[str, Decoded] = {}

        def generators(offset: int) -> Callable[[int, str], torch.Generator]:
            return lambda index, stage: owner[offset + index][0].generator(owner[offset + index][1], stage)

        def packed() -> None:
            results["packed"] = system.decoder.decode(together, generators(0))

        def alone() -> None:
            found: Decoded = []
            for scene in structures:
                found += system.decoder.decode(scene, generators(len(found)))
            results["alone"] = found

        times = alternate([packed, alone], repeats)
    same, largest = difference(results["packed"], results["alone"])
    report.table(
        *("scenes", "objects", "one batch s", "scene by scene s", "ratio"),
        *("objects of the same bytes", "largest distance"),
    )
    share = f"{times[0] / times[1]:.2f}"
    report.row(len(structures), len(owner), *(f"{s:.2f}" for s in times), share, same, f"{largest:.1e}")
    report.ratio("one batch / scene by scene", times[0] / times[1])
