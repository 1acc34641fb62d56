"""The thread that minds the workers: starts them, replaces the dead, ends jobs that overrun, deletes what is over."""

import logging
import multiprocessing
import shutil
import threading
import time
from multiprocessing.process import BaseProcess

from scenewright.serve.folders import Folders
from scenewright.serve.job_queue import JobQueue
from scenewright.serve.limits import Limits
from scenewright.serve.worker import work

__all__ = ["Supervisor"]

logger = logging.getLogger(__name__)
_LOOK_S = 0.1
_OVERDUE_S = 1.0
_TIDY_S = 60.0
_CANCEL_GRACE_S = 10.0
# A worker that dies at once is started again after a pause that doubles up to this.
_LONGEST_PAUSE_S = 60.0
_SOON_S = 10.0


class _Worker:
    """One worker of a device, through all the processes that it has."""

    def __init__(self, name: str, device: str, threads: int | None, folders: Folders) -> None:
        self.name, self._arguments = name, (name, device, threads, folders)
        self.process: BaseProcess | None = None
        self._begun, self._pause, self._next = 0.0, 0.0, 0.0

    def start(self) -> None:
        if time.monotonic() < self._next:
            return
        self.process = multiprocessing.get_context("spawn").Process(target=work, args=self._arguments, daemon=True)
        self.process.start()
        self._begun = time.monotonic()

    def ended(self) -> None:
        """Notes that the process died; the next one waits if this one had hardly begun."""
        assert self.process is not None
        self.process.join()
        self.process.close()
        self.process, now = None, time.monotonic()
        is_early = now - self._begun < _SOON_S
        self._pause = min(_LONGEST_PAUSE_S, 2 * self._pause + 0.5) if is_early else 0.0
        self._next = now + self._pause

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.is_alive()


class Supervisor(threading.Thread):
    """Minds one worker per entry of `devices` until it is stopped."""

    def __init__(
        self, queue: JobQueue, folders: Folders, limits: Limits, devices: tuple[str, ...], threads: int | None
    ) -> None:
        super().__init__(name="supervisor", daemon=True)
        self._queue, self._folders, self._limits = queue, folders, limits
        self._workers = [
            _Worker(f"worker_{number}", device, threads, folders) for number, device in enumerate(devices, 1)
        ]
        self._end, self._tidied, self._looked = threading.Event(), 0.0, 0.0
        self._tidying = threading.Lock()

    @property
    def num_alive(self) -> int:
        """Workers that run now."""
        return sum(worker.is_alive for worker in self._workers)

    @property
    def processes(self) -> dict[str, int]:
        """Process numbers of the workers by name."""
        running = ((worker.name, worker.process) for worker in self._workers)
        return {name: process.pid for name, process in running if process is not None and process.pid is not None}

    def run(self) -> None:
        """Until `stop`: a mistake in one round is logged, and the next one comes."""
        while not self._end.wait(_LOOK_S):
            try:
                self._look()
            except Exception:
                logger.exception("Minding the workers")

    def stop(self) -> None:
        """Ends the workers at once; their jobs wait for the next server."""
        self._end.set()
        if self.is_alive():
            self.join()
        for worker in self._workers:
            if worker.process is not None:
                worker.process.kill()
                worker.process.join()

    def tidy(self) -> None:
        """Deletes what has expired, and the folders of deleted jobs that no other job needs."""
        with self._tidying:
            self._queue.expire(self._limits.keep_s)
            while gone := self._queue.removable():
                for job_id in gone:
                    shutil.rmtree(self._folders.jobs / job_id, ignore_errors=True)
                    self._queue.remove(job_id)

    def _look(self) -> None:
        for worker in self._workers:
            if worker.process is None:
                worker.start()
            elif not worker.process.is_alive():
                logger.warning("%s ended with code %s; starting it again.", worker.name, worker.process.exitcode)
                worker.ended()
                self._queue.release(worker.name)
        now = time.monotonic()
        if now - self._looked > _OVERDUE_S:
            self._looked = now
            overdue = self._queue.stop_overdue(self._limits.job_s, _CANCEL_GRACE_S)
            for worker in self._workers:
                if worker.name in overdue and worker.process is not None:
                    worker.process.kill()
        if now - self._tidied > _TIDY_S:
            self._tidied = now
            self.tidy()
