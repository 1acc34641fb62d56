"""InSpace's coarse cross-attention at full width: by the faces a voxel sees, against all faces, and a dense bias.

    uv run python -m benchmarks.inspace_attention [--camera 0.1 -0.15 0.03]

4096 voxels, 6 x 1029 image tokens, 12 heads of 128. Processor time of one thread, so that other work on the machine
counts little. The share of pairs that a group reads is what its time should be of full attention's.
"""

import argparse
import time

import torch

from scenewright.sparse.attention import Sequences
from scenewright.systems.inspace.view_attention import Reading, ViewKeyValues, dense_readings, face_readings
from scenewright.systems.inspace.view_bias import voxel_view_bias

HEADS, WIDTH, TOKENS, RESOLUTION = 12, 128, 1029, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--camera", type=float, nargs=3, default=(0.1, -0.15, 0.03), help="position in the cube")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    voxels, keys = RESOLUTION**3, 6 * TOKENS
    q = torch.randn(voxels, HEADS, WIDTH)
    k, v = torch.randn(2, HEADS, keys, WIDTH)
    bias = voxel_view_bias(torch.tensor([arguments.camera]), RESOLUTION)
    grouped = face_readings(bias, TOKENS)
    share = sum(len(group.rows) * len(group.keys) for group in grouped) / (voxels * keys)
    forms = {
        "grouped": grouped,
        "all faces": [Reading(torch.arange(voxels), torch.arange(keys))],
        "dense bias": dense_readings(list(bias.repeat_interleave(TOKENS, 2))),
    }
    seconds = {}
    for name, readings in forms.items():
        context = ViewKeyValues(k, v, tuple(readings))
        context.attend(q, Sequences((voxels,)))
        begin = time.process_time()
        for _ in range(arguments.repeats):
            context.attend(q, Sequences((voxels,)))
        seconds[name] = (time.process_time() - begin) / arguments.repeats
    print(f"{len(grouped)} groups read {share:.3f} of all pairs")
    for name, value in seconds.items():
        print(f"{name:12s} {value:.2f} s, {value / seconds['all faces']:.2f} of all faces")
    print(f"grouped over what its share predicts: {seconds['grouped'] / seconds['all faces'] / share:.2f}")


if __name__ == "__main__":
    main()
