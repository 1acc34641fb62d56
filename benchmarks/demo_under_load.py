"""Mini beside load: the README's demo, a panorama and a capture, quiet and beside one busy process on each core.

    uv run python -m benchmarks.demo_under_load [--panorama SCENE] [--capture FOLDER] [--objects SCENE]

The demo may take twice the time beside load. A panorama (`rgb.jpg`, `depth_mm.png`) and a capture are made once with
the threads that their system chooses and once with torch's own, and the hash of the scene tells whether bytes depend
on them. `--objects` finishes the objects of a picture (`rgb.jpg`, `instances.png`, `scene.json`) one after the other,
in threads, and in processes.

Runs alternate, and busy processes and measured ones belong to one session, so that the scheduler weighs them alike.
Beside the wall time stands the CPU time, which does not depend on what else the machine does: threads that spin show
there.
"""

import argparse
import hashlib
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.measure import machine
from scenewright.io.glb import glb_bytes
from scenewright.machine import available_cores
from scenewright.runs.captures import CaptureSettings, open_capture
from scenewright.runs.inputs import read_inputs
from scenewright.runs.manifest import GenerateSettings
from scenewright.systems.assembly import generator
from scenewright.systems.assembly.placing import placed_object
from scenewright.systems.loading import load
from scenewright.types import Scene, SceneObject

Finishing = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments of one object's finishing."""


def spin() -> None:
    """Keeps one core busy."""
    while True:
        pass


@contextmanager
def busy() -> Iterator[None]:
    """One busy process on each core."""
    processes = [multiprocessing.Process(target=spin, daemon=True) for _ in range(available_cores())]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def demo() -> tuple[float, float]:
    """Wall and CPU seconds of the demo in a process of its own."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "scenewright", "demo", "--out", folder]
        subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begin, cpu


def panorama(folder: Path) -> Callable[[bool], Scene]:
    """The scene of a panorama; True chooses the threads as the system does, False leaves torch its own."""
    files = GenerateSettings(
        str(folder / "rgb.jpg"), masks=(), system="inspace", weights="mini", depth=str(folder / "depth_mm.png")
    )
    system, views = load("inspace", "mini"), read_inputs(files).views
    methods = ("generate", "scene_of")
    return lambda chooses: _called(system, methods, chooses, views)


def capture(folder: Path) -> Callable[[bool], Scene]:
    """As `panorama`, of a capture."""
    system, opened = load("genrecon", "mini"), open_capture(CaptureSettings(folder))
    return lambda chooses: _called(system, ("generate_capture",), chooses, opened.capture)


def _called(system: Any, methods: tuple[str, ...], chooses: bool, given: object) -> Scene:
    kind = type(system)
    if chooses:
        return getattr(system, methods[0])(given)
    plain = {name: getattr(kind, name).__wrapped__ for name in methods}
    with mock.patch.multiple(kind, **plain):
        return getattr(system, methods[0])(given)


def measured(make: Callable[[Path], Callable[[bool], Scene]], folder: Path, chooses: bool) -> dict[str, Any]:
    """Wall and CPU seconds of generating a scene in this process, and its hash."""
    generate = make(folder)
    begin, cpu = time.perf_counter(), time.process_time()
    scene = generate(chooses)
    seconds = time.perf_counter() - begin, time.process_time() - cpu
    return {"wall": seconds[0], "cpu": seconds[1], "sha256": hashlib.sha256(glb_bytes(scene)).hexdigest()}


MADE = {"panorama": panorama, "capture": capture}


def in_process(name: str, folder: Path, chooses: bool) -> dict[str, Any]:
    """`measured` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.demo_under_load", f"--{name}", str(folder), "--one-run"]
    done = subprocess.run([*command, "chosen" if chooses else "torch"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare_threads(name: str, folder: Path, repeats: int) -> None:
    """Prints a row for each choice of threads: the best of the runs, quiet and beside load."""
    rows: dict[bool, dict[str, list[dict[str, Any]]]] = {
        True: {"quiet": [], "load": []},
        False: {"quiet": [], "load": []},
    }
    in_process(name, folder, True)  # compiles
    for _ in range(repeats):
        for chooses, row in rows.items():
            row["quiet"].append(in_process(name, folder, chooses))
            with busy():
                row["load"].append(in_process(name, folder, chooses))
    for chooses, row in rows.items():
        best = {place: min(runs, key=lambda run: run["wall"]) for place, runs in row.items()}
        figures = ", ".join(f"{place} {run['wall']:.1f} s (CPU {run['cpu']:.1f})" for place, run in best.items())
        hashes = {run["sha256"][:8] for runs in row.values() for run in runs}
        print(f"{name}, {'chosen threads' if chooses else 'threads of torch'}: {figures}; scene {', '.join(hashes)}")


def finishings(folder: Path) -> list[Finishing]:
    """What SceneGen-mini finishes of a picture."""
    files = GenerateSettings(
        str(folder / "rgb.jpg"),
        (str(folder / "instances.png"),),
        camera=str(folder / "scene.json"),
        system="scenegen",
        weights="mini",
    )
    kept: list[Finishing] = []

    def keep(*args: Any, progress: object, **options: Any) -> SceneObject | None:
        kept.append((args, options))
        return placed_object(*args, **options)

    with mock.patch.object(generator, "placed_object", keep):
        load("scenegen", "mini").generate(read_inputs(files).views)
    return kept


def finish_one(given: Finishing) -> SceneObject | None:
    torch.set_num_threads(1)
    return placed_object(*given[0], **given[1])


def compare_objects(folder: Path, repeats: int) -> None:
    """Prints the seconds of finishing all objects of a picture in three ways, quiet and beside load."""
    torch.set_num_threads(1)
    work, cores = finishings(folder), available_cores()
    fresh = multiprocessing.get_context("spawn")

    def threads() -> None:
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(finish_one, work))

    def started() -> None:
        with ProcessPoolExecutor(cores, fresh) as pool:
            list(pool.map(finish_one, work))

    with ProcessPoolExecutor(cores, fresh) as waiting:
        list(waiting.map(finish_one, work))  # compiles
        ways: dict[str, Callable[[], object]] = {
            "one after the other": lambda: [finish_one(given) for given in work],
            "in threads": threads,
            "in processes that wait": lambda: list(waiting.map(finish_one, work)),
            "in processes, their start included": started,
        }
        print(f"finishing {len(work)} objects:")
        for name, way in ways.items():
            quiet = min(_seconds(way) for _ in range(repeats))
            with busy():
                loaded = min(_seconds(way) for _ in range(repeats))
            print(f"    {name}: quiet {quiet:.1f} s, beside load {loaded:.1f} s")


def _seconds(way: Callable[[], object]) -> float:
    begin = time.perf_counter()
    way()
    return time.perf_counter() - begin


def compare_demo(repeats: int) -> None:
    demo()  # compiles
    quiet, loaded = [], []
    for _ in range(repeats):
        quiet.append(demo())
        with busy():
            loaded.append(demo())
    (quiet_wall, quiet_cpu), (wall, cpu) = min(quiet), min(loaded)
    print(f"demo, quiet: {quiet_wall:.1f} s, of which computing {quiet_cpu:.1f} s")
    ratios = f"{wall / quiet_wall:.2f} x the time, {cpu / quiet_cpu:.2f} x the computing"
    print(f"demo, beside load: {wall:.1f} s, of which computing {cpu:.1f} s: {ratios} (asked: at most 2 x the time)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--panorama", type=Path)
    parser.add_argument("--capture", type=Path)
    parser.add_argument("--objects", type=Path)
    parser.add_argument("--one-run", choices=("chosen", "torch"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one_run:
        name = "panorama" if given.panorama else "capture"
        print(json.dumps(measured(MADE[name], getattr(given, name), given.one_run == "chosen")))
        return
    print(machine(), flush=True)
    if not (given.panorama or given.capture or given.objects):
        compare_demo(given.repeats)
    for name in MADE:
        if getattr(given, name):
            compare_threads(name, getattr(given, name), given.repeats)
    if given.objects:
        compare_objects(given.objects, given.repeats)


if __name__ == "__main__":
    main()
