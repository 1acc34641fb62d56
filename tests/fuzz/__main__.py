"""`python -m tests.fuzz`: damaged files for every reader, and a table of what came of them."""

import argparse
import logging
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.fuzz.driver import Outcome, fuzz, read_sound
from tests.fuzz.known import outcomes as outcomes_of_known
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=40_000, help="of all targets together")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="one target; repeat it for more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for inputs that broke something")
    parser.add_argument("--known", type=Path, help="a folder of files that once broke something, to be read, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable()
    warnings.simplefilter("ignore")
    names = options.target or sorted(TARGETS)
    for name in names:  # whatever readers import late is imported once, not in every process that is forked from here
        with TemporaryDirectory() as place:
            read_sound(name, Path(place).resolve())
    each = -(-options.inputs // len(names))
    outcomes = [_shown(name, each, options.seed, options.keep) for name in names]
    inputs, faults = sum(o.inputs for o in outcomes), sum(len(o.faults) for o in outcomes)
    print(
        f"{inputs:,} inputs to {len(outcomes)} readers: {sum(o.read for o in outcomes):,} read, "
        f"{sum(o.refused for o in outcomes):,} refused in one sentence, {faults} distinct faults; most memory "
        f"{max(o.most_mib for o in outcomes):.0f} MiB, longest {max(o.most_seconds for o in outcomes):.1f} s"
    )
    if options.known is not None:
        known = dict(outcomes_of_known(options.known))
        broken = {name: fault for name, fault in known.items() if fault is not None}
        for name, fault in broken.items():
            print(f"    FAULT {name}: {fault}")
        print(f"{len(known)} files that once broke something, {len(broken)} still do")
        faults += len(broken)
    return int(faults > 0)


def _shown(name: str, inputs: int, seed: int, keep: Path | None) -> Outcome:
    def progress(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{name} {done:,} of {inputs:,}", end="", file=sys.stderr)

    outcome = fuzz(name, inputs, seed, keep, progress)
    print(
        f"\r{name:12} {outcome.inputs:6,} inputs {outcome.read:6,} read {outcome.refused:6,} refused "
        f"{outcome.most_mib:6.0f} MiB {outcome.most_seconds:5.1f} s {outcome.seconds:6.0f} s in all",
        flush=True,
    )
    for fault, (count, place) in sorted(outcome.faults.items()):
        print(f"    FAULT {count} x {fault} {place}", flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
