"""A batch on one and two workers, and what handing out jobs costs.

    uv run python -m benchmarks cluster [--scenes 6] [--system scenegen] [--cluster local|ray] [--lines 20000]

Scaling: scenes of one picture under as many seeds, by one worker and then by two of this machine; each first makes one
scene that does not count, so that networks are loaded and kernels compiled. Handing out: so many lines through the
manifest's reader and the run, with workers that do nothing, in CPU time.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Report
from scenewright.batch.manifest import Task
from scenewright.batch.places import Roots, open_place
from scenewright.batch.pools import LocalPool, Pool
from scenewright.batch.run import Batch, Summary, run_batch
from scenewright.batch.worker import Outcome, Setup

PICTURES = Path(__file__).parents[1] / "tests" / "data" / "replay"


class IdlePool:
    """A thousand workers that have done every job at once."""

    num_workers = 1000

    def __init__(self) -> None:
        self._tasks: list[Task] = []

    @property
    def num_idle(self) -> int:
        return self.num_workers - len(self._tasks)

    def submit(self, task: Task) -> None:
        self._tasks.append(task)

    def finished(self, timeout_s: float) -> list[tuple[Task, Outcome]]:
        ended, self._tasks = [(task, Outcome("made")) for task in self._tasks], []
        return ended

    def close(self) -> None:
        pass


def write(folder: Path, seeds: Sequence[int], system: str) -> None:
    settings = {"image": str(PICTURES / "picture.png"), "masks": [str(PICTURES / "masks.png")], "system": system}
    with (folder / "jobs.jsonl").open("w") as file:
        for seed in seeds:
            json.dump({"name": f"{seed}", "kind": "generate", "settings": settings | {"seed": seed}}, file)
            file.write("\n")


def opened(folder: Path) -> Batch:
    roots = Roots((open_place(str(folder)), open_place(str(PICTURES))))
    return Batch(roots.places[0], "jobs.jsonl", roots, open_place(str(folder / "out")))


def pool_of(setup: Setup, workers: int, cluster: str) -> Pool:
    if cluster == "local":
        return LocalPool(setup, workers)
    from scenewright.batch.ray_pool import RayPool

    return RayPool(setup, "auto", num_workers=workers, gpus_per_worker=0)


def scaling(workers: int, scenes: int, system: str, cluster: str) -> Summary:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        batch = opened(folder)
        pool = pool_of(Setup(batch.roots, batch.out, "cpu", offline=True), workers, cluster)
        try:
            write(folder, range(workers), system)
            run_batch(batch, pool)
            write(folder, range(100, 100 + scenes), system)
            return run_batch(batch, pool)
        finally:
            pool.close()


QUICK = {"scenes": 1, "system": "cuboid", "lines": 200}


def section(
    report: Report, *, scenes: int = 6, system: str = "scenegen", cluster: str = "local", lines: int = 20_000
) -> None:
    """Prints what handing out costs, and a row for each number of workers; `cluster` is "local" or "ray"."""
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), range(lines), "cuboid")
        begin = time.process_time()
        run_batch(opened(Path(name)), IdlePool())
        each = (time.process_time() - begin) / lines
    report(f"Handing out: {1e3 * each:.2f} CPU ms a job, {1 / each:,.0f} jobs a second.")
    if cluster == "ray":
        from scenewright.batch.ray_pool import connect

        connect("local", num_cpus=2, include_dashboard=False)
    report.table("workers", "scenes", "s", "s a scene", "scenes an hour", "workers' time in use", "speed-up")
    alone = 0.0
    for workers in (1, 2):
        found = scaling(workers, scenes, system, cluster)
        alone = alone or found.seconds
        each = found.busy_s / found.made
        rates = f"{found.per_hour:,.0f}", f"{100 * found.use:.0f} %", f"{alone / found.seconds:.2f}"
        report.row(workers, found.made, f"{found.seconds:.1f}", f"{each:.1f}", *rates)
    report.ratio("two workers / one", found.seconds / alone)
