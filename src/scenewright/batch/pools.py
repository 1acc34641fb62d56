"""Pools of workers that do a batch: this process, or several of this machine; `ray_pool` has those of a cluster."""

from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Protocol, runtime_checkable

from scenewright.batch.manifest import Task
from scenewright.batch.worker import BatchWorker, Outcome, Setup, do_task
from scenewright.jobs import Worker, preload

__all__ = ["InlinePool", "LocalPool", "Pool", "died"]


@runtime_checkable
class Pool(Protocol):
    """Workers that do one job each at a time. A worker that dies is replaced; its job's outcome says so."""

    @property
    def num_workers(self) -> int: ...

    @property
    def num_idle(self) -> int: ...

    def submit(self, task: Task) -> None:
        """Hands a job to an idle worker."""
        ...

    def finished(self, timeout_s: float) -> list[tuple[Task, Outcome]]:
        """The jobs that ended since, waited for as long as the time-out; none if no worker has a job."""
        ...

    def close(self) -> None:
        """Ends all workers, whatever they do."""
        ...


class InlinePool:
    """This process as the only worker; what kills it ends the batch."""

    num_workers = 1

    def __init__(self, setup: Setup) -> None:
        self._worker, self._task = BatchWorker(setup), list[Task]()

    @property
    def num_idle(self) -> int:
        return 1 - len(self._task)

    def submit(self, task: Task) -> None:
        self._task.append(task)

    def finished(self, timeout_s: float) -> list[tuple[Task, Outcome]]:
        return [(self._task[0], self._worker.do(self._task.pop()))] if self._task else []

    def close(self) -> None:
        """Nothing is left to end."""


class LocalPool:
    """Processes of this machine, one thread each, spread over its GPUs."""

    def __init__(self, setup: Setup, num_workers: int) -> None:
        preload("scenewright.batch.worker")
        function: partial[Outcome] = partial(do_task, setup)
        self._idle: list[Worker[Task, Outcome]] = [Worker(function) for _ in range(num_workers)]
        self._busy: list[tuple[Worker[Task, Outcome], Task]] = []
        self.num_workers = num_workers

    @property
    def num_idle(self) -> int:
        return len(self._idle)

    def submit(self, task: Task) -> None:
        worker = self._idle.pop()
        worker.begin(task)
        self._busy.append((worker, task))

    def finished(self, timeout_s: float) -> list[tuple[Task, Outcome]]:
        wait([worker.future for worker, _ in self._busy], timeout_s, FIRST_COMPLETED)
        ended, busy = [], []
        for worker, task in self._busy:
            if not worker.future.done():
                busy.append((worker, task))
                continue
            try:
                outcome = worker.future.result()
            except BrokenProcessPool:
                outcome = died()
            if outcome.is_spoilt:
                worker.replace()
            self._idle.append(worker)
            ended.append((task, outcome))
        self._busy = busy
        return ended

    def close(self) -> None:
        for worker in (*self._idle, *(worker for worker, _ in self._busy)):
            worker.close()


def died() -> Outcome:
    """The outcome of a job whose worker was killed."""
    return Outcome("failed", reason="its worker was killed (out of memory?)", may_pass=True, is_spoilt=True)
