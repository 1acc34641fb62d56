"""The README's demo on a quiet machine and beside one busy process on each core; asked is at most twice the time.

    uv run python benchmarks/demo_under_load.py

Runs alternate, and busy processes and demo belong to one session, so that the scheduler weighs them alike. Beside the
wall time stands the CPU time, which does not depend on what else the machine does: threads that spin show there.
"""

import argparse
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time

from benchmarks.measure import machine
from scenewright.machine import available_cores


def spin() -> None:
    """Keeps one core busy."""
    while True:
        pass


def demo() -> tuple[float, float]:
    """Wall and CPU seconds of the demo in a process of its own."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "scenewright", "demo", "--out", folder]
        subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begin, cpu


def demo_beside_load() -> tuple[float, float]:
    """The same, with one busy process on each core."""
    busy = [multiprocessing.Process(target=spin, daemon=True) for _ in range(available_cores())]
    for process in busy:
        process.start()
    try:
        return demo()
    finally:
        for process in busy:
            process.kill()
            process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    print(machine())
    demo()  # compiles
    quiet, loaded = [], []
    for _ in range(arguments.repeats):
        quiet.append(demo())
        loaded.append(demo_beside_load())
    (quiet_wall, quiet_cpu), (wall, cpu) = min(quiet), min(loaded)
    print(f"quiet: {quiet_wall:.1f} s, of which computing {quiet_cpu:.1f} s")
    ratios = f"{wall / quiet_wall:.2f} x the time, {cpu / quiet_cpu:.2f} x the computing"
    print(f"beside load: {wall:.1f} s, of which computing {cpu:.1f} s: {ratios} (asked: at most 2 x the time)")


if __name__ == "__main__":
    main()
