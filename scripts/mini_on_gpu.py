"""Trains mini's SceneGen and I-Scene flows further, from the weights that ship, in a quarter of an hour of one GPU.

    uv run python -m scripts.mini_on_gpu --packs PACK.zip MORE.zip --out OUT [--minutes 15]
    uv run python -m scripts.mini_on_gpu --packs PACK.zip --out OUT --toy --device cpu     a few samples of every step

Examples are made on all processor cores and then encoded (`OUT/data`), the flows are trained on the GPU in bf16 (runs
`OUT/scenegen` and `OUT/iscene`), and `OUT/weights` receives the files that would ship. The same command goes on from
what is there. Commit `OUT/weights/*` to `src/scenewright/assets/mini` where held-back made scenes say that they are
better (`scenewright evaluate`); record the replays anew then.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks.gpu import Step, run_steps

from scenewright.systems.mini.networks import mini_folder


def steps(device: str, packs: list[Path], out: Path, minutes: float) -> list[Step]:
    """The steps in order; making and encoding may take 40 % of the time, SceneGen's flow twice as much as I-Scene's."""
    data, weights = str(out / "data"), out / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    prepare, on = "scripts.mini_data", ("--device", device)
    pack_names, workers = tuple(map(str, packs)), ("--workers", str(os.cpu_count() or 1))

    def train(system: str, share: float) -> Step:
        run = ("train", f"mini_{system}", "--data", data, "--out", str(out / system), "--resume", *on)
        run = (*run, "--init-from", str(mini_folder() / f"{system}.safetensors"))
        budget = ("--budget-minutes", f"{share * minutes:.2f}")
        large = ("--set", "train.precision=bf16", "--set", "train.batch_size=256", "--set", "train.workers=2")
        toy = ("--set", "train.max_steps=2", "--set", "train.batch_size=2")
        return Step(f"train_{system}", "scenewright", (*run, *budget, *large), (*run, *toy), share * minutes * 60 + 20)

    unpack, encode = ("unpack", data), ("encode", data, *on)
    flows = tuple(
        part for name in ("scenegen", "iscene") for part in (f"--{name}", str(out / name / "network.safetensors"))
    )
    export = ("export", data, "--out", str(weights), *flows)
    return [
        Step("unpack", prepare, unpack, unpack, 300),
        Step(
            "make",
            prepare,
            ("make", data, *pack_names, "--chunks", "400", *workers),
            ("make", data, *pack_names, "--chunks", "1"),
            0.3 * minutes * 60,
        ),
        Step("encode", prepare, encode, encode, 0.1 * minutes * 60),
        train("scenegen", 0.35),
        train("iscene", 0.17),
        Step("export", prepare, export, export, 300),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--toy", action="store_true", help="a few samples of every step, to try the script")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    found = steps(given.device, given.packs, given.out, given.minutes)
    rows = run_steps(found, given.out, time.monotonic() + 60 * given.minutes, is_toy=given.toy)
    return int(any(str(row["state"]).startswith("failed") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
