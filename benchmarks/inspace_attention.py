"""InSpace's cross-attention at full width: by the faces a token sees, against all faces, and a dense mask.

    uv run python -m benchmarks.inspace_attention [--camera 0.1 -0.15 0.03] [--stage coarse]

Coarse: 4096 voxels with the soft bias. Detail: the parts of a made room, the room and its layout by whole faces and
twelve assets by the patches of their boxes. 6 x 1029 image tokens, 12 heads of 128. Processor time of one thread, so
that other work on the machine counts little; forms take turns. The share of pairs that rows read is what their time
should be of full attention's.
"""

import argparse
import time

import torch

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

HEADS, WIDTH, TOKENS, RESOLUTION = 12, 128, 1029, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--camera", type=float, nargs=3, default=(0.1, -0.15, 0.03), help="position in the cube")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stage", choices=("coarse", "detail"), help="only this one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, make in (("coarse", coarse), ("detail", detail)):
        if arguments.stage in (None, name):
            measure(name, *make(torch.tensor(arguments.camera)), arguments.repeats)


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


def measure(stage: str, rows: int, forms: dict[str, list[Reading]], repeats: int) -> None:
    """Prints what every form costs."""
    keys = 6 * TOKENS
    forms["all faces"] = [Reading(torch.arange(rows), torch.arange(keys), is_run=True)]
    share = sum(len(reading.rows) * len(reading.keys) for reading in forms["by faces"]) / (rows * keys)
    q = torch.randn(rows, HEADS, WIDTH)
    k, v = torch.randn(2, HEADS, keys, WIDTH)
    seconds = dict.fromkeys(forms, 0.0)
    for turn in range(repeats + 1):
        for name, readings in forms.items():
            begin = time.process_time()
            ViewKeyValues(k, v, tuple(readings)).attend(q, Sequences((rows,)))
            seconds[name] += (time.process_time() - begin) / repeats if turn else 0.0
    print(f"{stage}: {rows} rows; {len(forms['by faces'])} readings hold {share:.3f} of all pairs")
    for name, value in seconds.items():
        print(f"  {name:10s} {value:.2f} s, {value / seconds['all faces']:.2f} of all faces")
    print(f"  by faces over what its share predicts: {seconds['by faces'] / seconds['all faces'] / share:.2f}")


if __name__ == "__main__":
    main()
