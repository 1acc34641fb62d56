"""Mini beside load: the README's demo, a panorama and a capture, quiet and beside one busy process on each core.

    uv run python -m benchmarks demo_under_load [--panorama SCENE] [--capture FOLDER] [--objects SCENE]

The demo may take twice the time beside load. A panorama (`rgb.jpg`, `depth_mm.png`) and a capture are made once with
the threads that their system chooses and once with torch's own, and the hash of the scene tells whether bytes depend
on them. `--objects` finishes the objects of a picture (`rgb.jpg`, `instances.png`, `scene.json`) one after the other,
in threads, and in processes.

Runs alternate, and busy processes and measured ones belong to one session, so that the scheduler weighs them alike.
Beside the wall time stands the CPU time, which does not depend on what else the machine does: threads that spin show
there.
"""

import hashlib
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

from benchmarks.measure import Report, in_new_process
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


def measured(name: str, folder: Path, chooses: bool) -> dict[str, Any]:
    """Wall and CPU seconds of generating a scene in this process, and its hash."""
    generate = MADE[name](folder)
    begin, cpu = time.perf_counter(), time.process_time()
    scene = generate(chooses)
    seconds = time.perf_counter() - begin, time.process_time() - cpu
    return {"wall": seconds[0], "cpu": seconds[1], "sha256": hashlib.sha256(glb_bytes(scene)).hexdigest()}


MADE = {"panorama": panorama, "capture": capture}


def compare_threads(report: Report, name: str, folder: Path, repeats: int) -> None:
    """Adds a row for each choice of threads: the best of the runs, quiet and beside load."""
    rows: dict[bool, dict[str, list[dict[str, Any]]]] = {
        True: {"quiet": [], "load": []},
        False: {"quiet": [], "load": []},
    }
    in_new_process(measured, name, folder, True)  # compiles
    for _ in range(repeats):
        for chooses, row in rows.items():
            row["quiet"].append(in_new_process(measured, name, folder, chooses))
            with busy():
                row["load"].append(in_new_process(measured, name, folder, chooses))
    for chooses, row in rows.items():
        quiet, loaded = (min(runs, key=lambda run: run["wall"]) for runs in row.values())
        hashes = {run["sha256"][:8] for runs in row.values() for run in runs}
        times = (f"{run['wall']:.1f} ({run['cpu']:.1f})" for run in (quiet, loaded))
        title = f"{name}, {'chosen threads' if chooses else 'threads of torch'}"
        report.row(title, *times, f"{loaded['wall'] / quiet['wall']:.2f}", ", ".join(hashes))
        if chooses:
            report.ratio(f"{name}: beside load / quiet", loaded["wall"] / quiet["wall"])


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


def compare_objects(report: Report, folder: Path, repeats: int) -> None:
    """Adds the seconds of finishing all objects of a picture in three ways, quiet and beside load."""
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
        for name, way in ways.items():
            quiet = min(_seconds(way) for _ in range(repeats))
            with busy():
                loaded = min(_seconds(way) for _ in range(repeats))
            title = f"finishing {len(work)} objects {name}"
            report.row(title, f"{quiet:.1f}", f"{loaded:.1f}", f"{loaded / quiet:.2f}", "")


def _seconds(way: Callable[[], object]) -> float:
    begin = time.perf_counter()
    way()
    return time.perf_counter() - begin


def compare_demo(report: Report, repeats: int) -> None:
    demo()  # compiles
    quiet, loaded = [], []
    for _ in range(repeats):
        quiet.append(demo())
        with busy():
            loaded.append(demo())
    (quiet_wall, quiet_cpu), (wall, cpu) = min(quiet), min(loaded)
    share = wall / quiet_wall
    report.row("demo", f"{quiet_wall:.1f} ({quiet_cpu:.1f})", f"{wall:.1f} ({cpu:.1f})", f"**{share:.2f}**", "")
    report.ratio("demo: beside load / quiet", share)


PUBLIC = Path(__file__).parents[1].parent / "shared/data/scenes"
QUICK = {"repeats": 1, "parts": ("demo",)}


def section(
    report: Report,
    *,
    repeats: int = 2,
    parts: tuple[str, ...] = ("demo", "panorama", "capture", "objects"),
    panorama: Path = PUBLIC / "pano/000",
    capture: Path = PUBLIC / "multiview/001",
    objects: Path = PUBLIC / "single/009",
) -> None:
    """Prints a row for each part; those whose scene is not there are left out."""
    report.table("what", "quiet s (CPU s)", "beside load s (CPU s)", "load / quiet", "scene")
    if "demo" in parts:
        compare_demo(report, repeats)
    for name, folder in (("panorama", panorama), ("capture", capture)):
        if name in parts and folder.is_dir():
            compare_threads(report, name, folder, repeats)
    if "objects" in parts and objects.is_dir():
        compare_objects(report, objects, repeats)
