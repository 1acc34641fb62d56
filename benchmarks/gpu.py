"""Everything that waits for a GPU, in order of value, in the minutes that one is lent.

    uv run python -m benchmarks.gpu --minutes 12 --goldens GOLDENS --rooms ROOMS --out OUT
    uv run python -m benchmarks.gpu --toy --device cpu --out OUT     the same steps at toy size, to try the script

Each step is a process of its own, whose lines are in `OUT/NN_name.txt` from the moment they are printed; a step that
fails or overruns its share does not stop the next one. `OUT/summary.json` is written anew after every step: what ended
how, and the seconds it took. The last step trains mini's room network with the minutes that are left and leaves its run
in `OUT/training`; `python -m scripts.mini_rooms export OUT/training` takes its weights.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.measure import machine

# Left for writing down what the last step found.
_RESERVE_S = 20.0


@dataclass(frozen=True)
class Step:
    """A process and the most seconds that it may take; `toy` are its arguments at toy size."""

    name: str
    module: str
    arguments: tuple[str, ...]
    toy: tuple[str, ...]
    most_s: float


def steps(device: str, goldens: Path | None, rooms: Path | None, out: Path) -> list[Step]:
    """The steps in order of value; those whose data are not given are left out."""
    on = ("--device", device)
    found = []
    if goldens is not None:
        for dtype, most_s in (("float32", 120.0), ("bfloat16", 90.0), ("float16", 90.0)):
            arguments = (str(goldens), *on, "--dtype", dtype)
            found.append(Step(f"goldens_{dtype}", "tests.conformance", arguments, arguments, most_s))
    for name, sizes, most_s in (
        ("throughput", "--tokens 4096 16384 --voxels 20000 200000 --widths 64 256 512 --peak-size 8192", 60.0),
        ("structure_flow", "--blocks 24", 60.0),
        ("iscene_structure", "--dtype bfloat16 --objects 1 4 8 --blocks 24 --steps 2 --slots-up-to 4", 90.0),
        ("scenegen_structure", "--assets 1 4 8 --blocks 24", 90.0),
        ("latent_batch", "--blocks 24 --steps 12 --objects 8 --voxels 8000 --repeats 1", 90.0),
    ):
        found.append(Step(name, "benchmarks", (name, *on, *sizes.split()), (name, *on, "--quick"), most_s))
    if rooms is not None:
        training = ("train", "mini_genrecon_rooms", "--data", str(rooms), "--out", str(out / "training"), "--resume")
        found.append(
            Step(
                "training",
                "scenewright",
                (*training, "--device", device, "--set", "train.precision=bf16", "--set", "train.max_steps=100000"),
                (*training, "--device", device, "--set", "train.max_steps=2", "--set", "train.batch_size=1"),
                float("inf"),
            )
        )
    return found


def run_steps(found: list[Step], out: Path, end: float, *, is_toy: bool) -> list[dict[str, object]]:
    """Runs the steps until the clock (`time.monotonic`) says `end`; one row a step."""
    rows: list[dict[str, object]] = []
    for number, step in enumerate(found, 1):
        left = end - _RESERVE_S - time.monotonic()
        path = out / f"{number:02}_{step.name}.txt"
        begin, state = time.monotonic(), "left out: no time"
        if left > 0:
            command = [sys.executable, "-u", "-m", step.module, *(step.toy if is_toy else step.arguments)]
            with path.open("w") as target:
                target.write(" ".join(command) + "\n")
                target.flush()
                state = _run(command, target, min(step.most_s, left))
        rows.append({"step": step.name, "state": state, "seconds": round(time.monotonic() - begin, 1)})
        print(f"{step.name}: {state}, {rows[-1]['seconds']} s", flush=True)
        (out / "summary.json").write_text(json.dumps({"machine": machine(), "steps": rows}, indent=1))
    return rows


def _run(command: list[str], target: object, most_s: float) -> str:
    process = subprocess.Popen(command, stdout=target, stderr=subprocess.STDOUT)  # type: ignore[call-overload]
    try:
        code = process.wait(most_s)
    except subprocess.TimeoutExpired:
        process.terminate()  # training writes a checkpoint when it is asked to end
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return "ended at its share of the time"
    return "done" if code == 0 else f"failed with code {code}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--goldens", type=Path, help="folder of goldens; without it, none are run")
    parser.add_argument("--rooms", type=Path, help="made rooms (scripts/mini_rooms.py) to train with")
    parser.add_argument("--out", type=Path, default=Path("gpu_results"))
    parser.add_argument("--toy", action="store_true", help="toy sizes")
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; try --toy --device cpu")
    given.out.mkdir(parents=True, exist_ok=True)
    found = steps(given.device, given.goldens, given.rooms, given.out)
    rows = run_steps(found, given.out, time.monotonic() + 60 * given.minutes, is_toy=given.toy)
    return int(any(str(row["state"]).startswith("failed") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
