"""One process per device: takes jobs from the queue, does them with loaded systems, notes what came of them."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from scenewright.errors import ScenewrightError, is_out_of_memory
from scenewright.progress import Advance
from scenewright.serve.folders import Folders, hold
from scenewright.serve.job_queue import Claim, JobQueue

if TYPE_CHECKING:
    from scenewright.runs.resident import ResidentSystems

__all__ = ["work"]

logger = logging.getLogger(__name__)
_IDLE_S = 0.1
_REPORT_S = 0.3
# The worker before this one ends with its server, but not at once where it is inside a compiled kernel.
_HANDOVER_S = 120.0


def work(name: str, device: str, threads: int | None, folders: Folders) -> None:
    """The life of a worker: it ends with its parent process.

    Args:
        name: of the worker; there is one of a name at any time.
        threads: of the processor that it computes with; None is as many as torch takes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    hold(folders.data / f"{name}.lock", wait_s=_HANDOVER_S)
    import torch

    from scenewright.runs.resident import ResidentSystems

    if threads is not None:
        torch.set_num_threads(threads)
    queue, systems = JobQueue(folders.database), ResidentSystems()
    while True:
        claim = queue.claim(name)
        if claim is None:
            time.sleep(_IDLE_S)
        else:
            _do(claim, device, queue, systems, folders)


class _StoppedError(BaseException):
    """The job was cancelled, or is not this worker's any more; no reader of files takes it for an error of theirs."""


class _Reporter:
    """The `Progress` of a job: a few times a second it goes to the queue, which may answer that the job should stop."""

    def __init__(self, queue: JobQueue, claim: Claim) -> None:
        self._queue, self._claim = queue, claim
        self._main, self._next = threading.current_thread(), 0.0

    def stage(self, name: str) -> Advance:
        self._report(name, 0, 0)
        return lambda done, total: self._report(name, done, total)

    def _report(self, stage: str, done: int, total: int) -> None:
        if threading.current_thread() is not self._main or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _REPORT_S
        if not self._queue.report(self._claim, stage, done, total):
            raise _StoppedError


def _do(claim: Claim, device: str, queue: JobQueue, systems: "ResidentSystems", folders: Folders) -> None:
    from scenewright.runs.job import job_from_json, run_job, with_device

    def failed(sentence: str) -> None:
        queue.finish(claim.id, claim.lease, "failed", error=folders.public(sentence))

    try:
        job = with_device(job_from_json(claim.job), device)  # whichever one it was accepted for
        result = run_job(job, folders.result(claim.id), systems=systems, progress=_Reporter(queue, claim))
    except _StoppedError:
        queue.finish(claim.id, claim.lease, "cancelled")
    except ScenewrightError as error:
        failed(str(error))
    except Exception as error:
        logger.exception("Job %s", claim.id)
        failed(
            "There is not enough memory for it." if is_out_of_memory(error) else "The server made a mistake with it."
        )
    else:
        queue.finish(claim.id, claim.lease, "done", files=result.files, facts=result.facts)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
