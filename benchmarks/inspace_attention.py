"""InSpace's cross-attention at full width: by the faces a token sees, against all faces, and a dense mask.

    uv run python -m benchmarks inspace_attention [--camera 0.1 -0.15 0.03] [--stages coarse]

Coarse: 4096 voxels with the soft bias. Detail: the parts of a made room, the room and its layout by whole faces and
twelve assets by the patches of their boxes. 6 x 1029 image tokens, 12 heads of 128. Processor time of one thread, so
that other work on the machine counts little; forms take turns. The share of pairs that rows read is what their time
should be of full attention's.
"""

import time
from functools import partial

import torch

from benchmarks.measure import Report, alternate
from scenewright.sparse.attention import Sequences
from scenewright.systems.inspace.asset_views import FaceTokens
from scenewright.systems.inspace.image_keys import intended_keys
from scenewright.systems.inspace.parts import room_parts
from scenewright.systems.inspace.view_attention import (
    Reading,
    ViewKeyValues,
    dense_readings,
    face_readings,
    key_set_readings,
)
from scenewright.systems.inspace.view_bias import voxel_view_bias

WIDTH, TOKENS, RESOLUTION = 128, 1029, 16


def coarse(camera: torch.Tensor) -> tuple[int, dict[str, list[Reading]]]:
    """Rows, and readings of every form."""
    bias = voxel_view_bias(camera[None], RESOLUTION)
    forms = {"by faces": face_readings(bias, TOKENS), "dense": dense_readings(list(bias.repeat_interleave(TOKENS, 2)))}
    return RESOLUTION**3, forms


def detail(camera: torch.Tensor) -> tuple[int, dict[str, list[Reading]]]:
    """As `coarse`, of a room of 64 x 52 x 26 cells with twelve pieces of furniture along its walls."""
    grid = torch.zeros(64, 64, 64, dtype=torch.bool)
    grid[:, 6:58, 10:12] = True
    grid[:2, 6:58, 10:36] = grid[-2:, 6:58, 10:36] = grid[:, 6:8, 10:36] = grid[:, 56:58, 10:36] = True
    boxes = []
    for number in range(12):
        x, y = 6 + 9 * (number % 6), 9 if number < 6 else 45
        grid[x : x + 7, y : y + 9, 12:20] = True
        boxes.append([(x + 3.5) / 64 - 0.5, (y + 4.5) / 64 - 0.5, 16 / 64 - 0.5, 7 / 64, 9 / 64, 8 / 64, 0.0])
    parts = room_parts(grid.nonzero().int(), torch.tensor(boxes))
    keys = intended_keys(parts, torch.tensor(boxes)[list(parts.boxes)], camera, FaceTokens())
    return len(parts.coords), {"by faces": key_set_readings([keys], TOKENS), "dense": dense_readings([keys.dense()])}


def measure(report: Report, stage: str, rows: int, forms: dict[str, list[Reading]], repeats: int, heads: int) -> None:
    """Adds a row: what every form costs."""
    keys = 6 * TOKENS
    forms["all faces"] = [Reading(torch.arange(rows), torch.arange(keys), is_run=True)]
    share = sum(len(reading.rows) * len(reading.keys) for reading in forms["by faces"]) / (rows * keys)
    q = torch.randn(rows, heads, WIDTH)
    k, v = torch.randn(2, heads, keys, WIDTH)
    calls = [partial(ViewKeyValues(k, v, tuple(r)).attend, q, Sequences((rows,))) for r in forms.values()]
    seconds = dict(zip(forms, alternate(calls, repeats, clock=time.process_time), strict=True))
    part = seconds["by faces"] / seconds["all faces"]
    times = (f"{seconds[name]:.2f}" for name in ("by faces", "dense", "all faces"))
    report.row(stage, rows, f"{share:.3f}", *times, f"{part:.2f}", f"**{part / share:.2f}**")
    report.ratio(f"{stage}: by faces / its share", part / share)


QUICK = {"repeats": 1, "heads": 1, "stages": ("coarse",)}


def section(
    report: Report,
    *,
    camera: tuple[float, ...] = (0.1, -0.15, 0.03),
    repeats: int = 3,
    heads: int = 12,
    stages: tuple[str, ...] = ("coarse", "detail"),
) -> None:
    """Prints a row for each stage; `camera` is its position in the cube."""
    torch.set_num_threads(1)
    columns = "by faces s", "dense s", "all faces s", "by faces / all faces", "over its share"
    report.table("stage", "rows", "pairs seen", *columns)
    for name in stages:
        measure(report, name, *{"coarse": coarse, "detail": detail}[name](torch.tensor(camera)), repeats, heads)
