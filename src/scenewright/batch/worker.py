"""A worker of a batch: fetches a job's inputs, does the job, puts its results in their place, the note of them last.

It stays alive between jobs, so that weights are loaded once. Two workers that do the same job by accident (one was
thought dead) write the same bytes to the same names.
"""

import errno
import functools
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from scenewright.batch.manifest import Task
from scenewright.batch.places import Place, Roots, TransferError
from scenewright.errors import InputError, ScenewrightError
from scenewright.files import json_value
from scenewright.machine import choose_device
from scenewright.runs.job import (
    DataJob,
    Job,
    PrepareJob,
    finished_job,
    input_paths,
    job_from_json,
    job_key,
    note_name,
    run_job,
    with_device,
    with_inputs,
)
from scenewright.runs.resident import ResidentSystems
from scenewright.weights.hub import downloads_forbidden

__all__ = ["BatchWorker", "Outcome", "Setup", "do_task"]


_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT)


@dataclass(frozen=True)
class Setup:
    """The settings that all workers of a batch share.

    Attributes:
        device: of jobs that name none: "auto", "cpu", "cuda", "cuda:N" or "mps".
        memory_share: of a GPU, that one worker may take; None is all.
        offline: never download anything.
    """

    roots: Roots
    out: Place
    device: str = "auto"
    memory_share: float | None = None
    offline: bool = False


@dataclass(frozen=True)
class Outcome:
    """The result of a job, or why there is none.

    Attributes:
        status: "kept" results were there already.
        may_pass: whether it failed by something that may be gone the next time.
        is_spoilt: whether the worker may be damaged, so that another takes its place.
    """

    status: Literal["made", "kept", "failed"]
    seconds: float = 0.0
    num_bytes: int = 0
    reason: str = ""
    may_pass: bool = False
    is_spoilt: bool = False


class BatchWorker:
    """Does one job after another; never raises."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._systems = setup, ResidentSystems()
        self._packs: dict[str, str] = {}
        self._pack_folder = tempfile.TemporaryDirectory(prefix="scenewright-packs-")
        if setup.memory_share is not None and torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(setup.memory_share)

    def do(self, task: Task) -> Outcome:
        """Does a job, unless its results are there already."""
        begin = time.perf_counter()
        try:
            network = downloads_forbidden() if self._setup.offline else nullcontext()
            with network, tempfile.TemporaryDirectory(prefix="scenewright-batch-") as scratch:
                status, num_bytes = self._done(task, Path(scratch))
            return Outcome(status, time.perf_counter() - begin, num_bytes)
        except Exception as error:
            is_ours = isinstance(error, ScenewrightError)
            reason = (str(error) or type(error).__name__).splitlines()[0]
            return Outcome(
                "failed",
                time.perf_counter() - begin,
                reason=reason if is_ours or isinstance(error, OSError) else f"{type(error).__name__}: {reason}",
                may_pass=not is_ours or _may_pass(error),
                is_spoilt=not is_ours and not isinstance(error, TransferError),
            )

    def _done(self, task: Task, scratch: Path) -> tuple[Literal["made", "kept"], int]:
        given = job_from_json(task.job)
        of_parts = isinstance(given, DataJob | PrepareJob)
        job: Job = with_inputs(given, self._fetch_once if of_parts else partial(self._fetch, scratch))
        if task.takes_device:
            job = with_device(job, str(choose_device(self._setup.device)))
        elif (device := getattr(getattr(job, "settings", job), "device", None)) is not None:
            choose_device(device)  # refuses one that is not here
        key, out = job_key(job), self._setup.out
        if out.local is not None:
            folder = out.local / task.name
            for path in map(Path, input_paths(job)):
                if path.resolve().is_relative_to(folder.resolve()):
                    raise InputError(f"'{path}' lies where the results go, in '{folder}'; give another --out.")
            if finished_job(folder, key, note_name(job)) is not None:
                return "kept", 0
            result = run_job(job, folder, systems=self._systems)
            return "made", sum(result.facts["bytes"].values())
        note = f"{task.name}/{note_name(job)}.json"
        if self._is_whole(task.name, note, key):
            return "kept", 0
        result_folder = scratch / "result"
        if of_parts and not task.is_part and out.sizes(task.name):
            out.get(task.name, result_folder)
        result = run_job(job, result_folder, systems=self._systems)
        out.remove(note)  # before files change that it speaks of
        out.put(result_folder, [*result.files, f"{note_name(job)}.json"], task.name)
        return "made", sum(result.facts["bytes"].values())

    def _fetch(self, folder: Path, name: str) -> str:
        """A local path of an input, in a folder of its own where it was copied."""
        return str(self._setup.roots.fetch(name, Path(tempfile.mkdtemp(dir=folder))))

    def _fetch_once(self, name: str) -> str:
        """The same, kept for the next job: all parts of a job read the same packs."""
        if name not in self._packs:
            self._packs[name] = self._fetch(Path(self._pack_folder.name), name)
        return self._packs[name]

    def _is_whole(self, name: str, note: str, key: str) -> bool:
        """Whether a store has the results of the key, every file at its full size."""
        content = self._setup.out.read(note)
        if content is None:
            return False
        try:
            facts = json_value(content, dict)
            sizes = self._setup.out.sizes(name)
            return facts["key"] == key and all(
                sizes.get(own) == size for own, size in facts["record"]["facts"]["bytes"].items()
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return False


def _may_pass(error: BaseException | None) -> bool:
    """Whether one of our sentences tells of a machine's trouble and not of the job's."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _PASSING:
            return True
        error = error.__cause__
    return False


@functools.cache
def _worker(setup: Setup) -> BatchWorker:
    return BatchWorker(setup)


def do_task(setup: Setup, task: Task) -> Outcome:
    """`BatchWorker.do` by this process's own worker, for pools of processes."""
    return _worker(setup).do(task)
