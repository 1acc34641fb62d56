"""A batch from its manifest to its results: hands jobs to workers, tries again what may pass, sets the rest aside.

    Task -> Pool -> Outcome: made, kept (there already), or failed -> again after a pause, or set aside with its reason

Nothing is kept here that a later run would need. Whether a job is done is said by the note beside its results, so the
same command goes on where it was after any death: of a worker, of this process, of the cluster.
"""

import heapq
import itertools
import json
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from scenewright.batch.manifest import SET_ASIDE, SUMMARY, BadLine, Task, read_manifest_lines
from scenewright.batch.places import Place, Roots, TransferError
from scenewright.batch.pools import Pool
from scenewright.batch.worker import Outcome
from scenewright.errors import InputError, ScenewrightError
from scenewright.jobs import to_json
from scenewright.runs.job import Job, PrepareJob, job_to_json, num_parts, part_of, with_inputs

__all__ = ["Batch", "Summary", "run_batch"]

logger = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 60.0
_WRITE_EVERY_S = 10.0
_POLL_S = 1.0


@dataclass(frozen=True)
class Batch:
    """A batch, before anything is done.

    Attributes:
        folder, manifest: the manifest's place and name.
        retries: how often a job is tried again that failed by something that may pass.
        pause_s: before the first of these; each further one is twice as long, up to a minute.
        cost_per_hour: of one worker, in any currency.
    """

    folder: Place
    manifest: str
    roots: Roots
    out: Place
    retries: int = 3
    pause_s: float = 1.0
    cost_per_hour: float | None = None


@dataclass
class Summary:
    """The numbers so far. `seconds` are by the clock, `busy_s` of all workers together on jobs that were made."""

    made: int = 0
    kept: int = 0
    set_aside: int = 0
    retried: int = 0
    num_workers: int = 1
    seconds: float = 0.0
    busy_s: float = 0.0
    num_bytes: int = 0
    cost_per_hour: float | None = None

    @property
    def done(self) -> int:
        return self.made + self.kept + self.set_aside

    @property
    def per_hour(self) -> float:
        """Jobs made in an hour at this speed."""
        return 3600 * self.made / self.seconds if self.seconds else 0.0

    @property
    def use(self) -> float:
        """Share of the workers' time that went into jobs that were made."""
        return self.busy_s / (self.seconds * self.num_workers) if self.seconds else 0.0

    @property
    def cost_each(self) -> float | None:
        """Cost of a job that was made, idle time and failures included."""
        if self.cost_per_hour is None or not self.made:
            return None
        return self.cost_per_hour * self.num_workers * self.seconds / 3600 / self.made

    def to_dict(self) -> dict[str, Any]:
        """The content of batch.json."""
        speed = {"per_hour": self.per_hour, "use": self.use, "cost_each": self.cost_each}
        return asdict(self) | {name: None if value is None else round(value, 4) for name, value in speed.items()}


Report = Callable[[Summary, str, Literal["made", "kept", "failed"], str], None]


@dataclass(order=True)
class _Again:
    """A job that is tried again, at a time."""

    at: float
    number: int
    task: Task = field(compare=False)


@dataclass
class _Whole:
    """A divided job, done once its parts are."""

    task: Task
    left: int
    failed: int = 0


def run_batch(
    batch: Batch,
    pool: Pool,
    *,
    report: Report = lambda summary, name, status, reason: None,
) -> Summary:
    """Does all jobs of the manifest; writes set_aside.jsonl (a line for each job that was not done) and batch.json.

    Args:
        report: receives the numbers so far and, of the job that just ended, name, status and why it was set aside.

    Raises:
        InputError: the manifest is not there, or holds no job.
        TransferError: its store, or that of the results, does not answer.
    """
    return _Run(batch, pool, report).finish()


class _Run:
    def __init__(self, batch: Batch, pool: Pool, report: Report) -> None:
        self._batch, self._pool, self._report = batch, pool, report
        self._summary = Summary(num_workers=pool.num_workers, cost_per_hour=batch.cost_per_hour)
        self._tries: Counter[Task] = Counter()
        self._again: list[_Again] = []
        self._wholes: dict[str, _Whole] = {}
        self._aside: list[dict[str, Any]] = []
        self._written_at, self._has_news, self._begin = time.monotonic(), False, time.monotonic()
        self._numbers = itertools.count()

    def finish(self) -> Summary:
        self._batch.out.write(SET_ASIDE, b"")  # a place that cannot be written shows before any work starts
        tasks, has_more, in_work = self._tasks(), True, 0
        while True:
            while self._pool.num_idle:
                task = self._due()
                if task is None and has_more:
                    task = next(tasks, None)
                    has_more = task is not None
                if task is None:
                    break
                self._pool.submit(task)
                in_work += 1
            if not in_work and not has_more and not self._again:
                break
            for task, outcome in self._pool.finished(self._patience()):
                in_work -= 1
                self._ended(task, outcome)
            if not in_work and self._again:
                time.sleep(max(0.0, min(_POLL_S, self._again[0].at - time.monotonic())))
            self._write_aside()
        self._write_aside(at_end=True)
        if not self._summary.done:
            place = f"{self._batch.folder.url}/{self._batch.manifest}"
            raise InputError(f"'{place}' holds no job; write each as a line of JSON.")
        self._batch.out.write(SUMMARY, to_json(self._summary.to_dict()) + b"\n")
        return self._summary

    def _tasks(self) -> Iterator[Task]:
        """The jobs of the manifest, those that can be divided as their parts."""
        for entry in read_manifest_lines(self._batch.folder, self._batch.manifest):
            if isinstance(entry, BadLine):
                self._set_aside(entry.name, entry.reason)
                continue
            task, job = entry
            try:
                count = self._num_parts(job)
            except (ScenewrightError, TransferError) as error:
                self._set_aside(task.name, str(error))
                continue
            if count < 2:
                yield task
                continue
            self._wholes[task.name] = _Whole(task, count)
            for number in range(count):
                yield Task(task.name, job_to_json(part_of(job, number)), task.takes_device, is_part=True)

    def _num_parts(self, job: Job) -> int:
        if not isinstance(job, PrepareJob):
            return num_parts(job)
        with tempfile.TemporaryDirectory() as folder:  # how many there are stands in the packs
            return num_parts(with_inputs(job, lambda name: str(self._batch.roots.fetch(name, Path(folder)))))

    def _due(self) -> Task | None:
        if self._again and self._again[0].at <= time.monotonic():
            return heapq.heappop(self._again).task
        return None

    def _patience(self) -> float:
        """Seconds to wait for a job to end: until one is to be tried again, if a worker is idle for it."""
        if self._again and self._pool.num_idle:
            return min(_POLL_S, max(0.0, self._again[0].at - time.monotonic()))
        return _POLL_S

    def _ended(self, task: Task, outcome: Outcome) -> None:
        self._summary.seconds = time.monotonic() - self._begin
        if outcome.status == "failed":
            self._tries[task] += 1
            if outcome.may_pass and self._tries[task] <= self._batch.retries:
                pause = min(_LONGEST_PAUSE_S, self._batch.pause_s * 2 ** (self._tries[task] - 1))
                heapq.heappush(self._again, _Again(time.monotonic() + pause, next(self._numbers), task))
                self._summary.retried += 1
                logger.warning("'%s' is tried again: %s", task.name, outcome.reason)
                return
            tries = self._tries.pop(task)
            reason = outcome.reason if tries == 1 else f"{outcome.reason} ({tries} tries)"
            self._set_aside(task.name, reason)
        else:
            self._tries.pop(task, None)
            self._summary.made += outcome.status == "made"
            self._summary.kept += outcome.status == "kept"
            self._summary.num_bytes += outcome.num_bytes
            if outcome.status == "made":
                self._summary.busy_s += outcome.seconds
            self._report(self._summary, task.name, outcome.status, "")
        if task.is_part:
            self._part_ended(task, outcome)

    def _part_ended(self, task: Task, outcome: Outcome) -> None:
        whole = self._wholes[task.name]
        whole.left -= 1
        whole.failed += outcome.status == "failed"
        if whole.left:
            return
        del self._wholes[task.name]
        if whole.failed:
            self._set_aside(task.name, f"{whole.failed} of its parts failed")
        else:
            heapq.heappush(self._again, _Again(time.monotonic(), next(self._numbers), whole.task))

    def _set_aside(self, name: str, reason: str) -> None:
        self._summary.set_aside += 1
        self._aside.append({"name": name, "reason": reason})
        self._has_news = True
        self._report(self._summary, name, "failed", reason)

    def _write_aside(self, *, at_end: bool = False) -> None:
        """Writes what was set aside so far, now and then and at the end."""
        now = time.monotonic()
        if self._has_news and (at_end or now - self._written_at > _WRITE_EVERY_S):
            lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in self._aside)
            self._batch.out.write(SET_ASIDE, lines.encode(errors="replace"))
            self._written_at, self._has_news = now, False
