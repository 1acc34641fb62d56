"""A service in its data folder: accepts jobs, keeps their results, and has them done by its workers."""

import secrets
import shutil
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from scenewright.errors import InputError
from scenewright.serve.file_kinds import HEAD_BYTES, suffix_of
from scenewright.serve.folders import ID, Folders, hold
from scenewright.serve.job_queue import JobQueue, JobRecord, NewJob, QueueFullError
from scenewright.serve.limits import Limits
from scenewright.serve.reading import Catalogue, Reader, Request, Submission
from scenewright.serve.supervisor import Supervisor
from scenewright.serve.tokens import Tokens

__all__ = ["Service", "ServiceSettings", "opened_service"]

LOCAL = "local"
"""The name of every client where there are no tokens."""


@dataclass(frozen=True)
class ServiceSettings:
    """The choices of a service.

    Attributes:
        data: folder of everything that it keeps.
        devices: one worker each; a device may be named more than once.
        threads: of the processor, of each worker; None is as many as torch takes.
        tokens: file of clients; None lets everybody in who can reach the loopback address.
        allow_downloads: published weights may be fetched.
    """

    data: Path
    devices: tuple[str, ...] = ("cpu",)
    threads: int | None = None
    tokens: Path | None = None
    allow_downloads: bool = False
    limits: Limits = field(default_factory=Limits)


class Service:
    """All parts of a running service; see `opened_service`."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.limits, self.folders = settings.limits, Folders(settings.data)
        self.tokens = None if settings.tokens is None else Tokens(settings.tokens)
        self.queue = JobQueue(self.folders.database)
        kind = settings.devices[0].partition(":")[0]
        self._reader = Reader(settings.limits, kind, offline=not settings.allow_downloads)
        self.supervisor = Supervisor(self.queue, self.folders, self.limits, settings.devices, settings.threads)
        self.num_workers = len(settings.devices)
        self._catalogue: Catalogue | None = None
        self._asking = threading.Lock()

    def start(self) -> None:
        """Takes up what an earlier server left, and starts the workers."""
        self.queue.release()
        for folder in self.folders.jobs.iterdir():
            # Its submission never came to its end. Folders that are called otherwise are none of ours.
            if ID.fullmatch(folder.name) and not self.queue.known(folder.name):
                shutil.rmtree(folder, ignore_errors=True)
        self.supervisor.start()

    @property
    def catalogue(self) -> Catalogue:
        """The systems and formats of this installation; asked for once."""
        with self._asking:
            self._catalogue = self._catalogue or self._reader.catalogue()
            return self._catalogue

    def submit(
        self,
        owner: str,
        request: Request,
        files: Mapping[str, Sequence[BinaryIO]] | None = None,
        parent: JobRecord | None = None,
    ) -> tuple[JobRecord, bool]:
        """Accepts a job, or gives the client's own of the same key and False.

        Args:
            files: open uploads by the names of their fields.
            parent: the finished job whose scene it begins with.

        Raises:
            InputError: something cannot be used.
            QueueFullError: a limit is reached, or the disk is full.
        """
        self.queue.check_room(owner, self.limits)
        if shutil.disk_usage(self.folders.data).free < self.limits.free_bytes:
            raise QueueFullError("The disk of the server is almost full; delete jobs, or send it again later.")
        job_id = secrets.token_urlsafe(16)
        folder = self.folders.inputs(job_id)
        folder.mkdir(parents=True)
        is_new = False
        try:
            scene = None if parent is None else self.folders.result(parent.id) / parent.files[0]
            submission = Submission(request, folder, self._kept(files or {}, folder), scene)
            try:
                accepted = self._reader.accept(submission)
            except InputError as error:
                raise InputError(self.folders.public(str(error))) from error
            parent_id = None if parent is None else parent.id
            new = NewJob(job_id, owner, accepted.kind, accepted.job, accepted.key, parent_id)
            record, is_new = self.queue.submit(new, self.limits)
            return record, is_new
        finally:
            if not is_new:
                shutil.rmtree(folder.parent, ignore_errors=True)

    def delete(self, job_id: str, owner: str) -> bool:
        """Deletes a job with its files, once no worker and no other job needs them; False where there is none."""
        is_there = self.queue.delete(job_id, owner)
        if is_there:
            self.supervisor.tidy()
        return is_there

    def stop(self) -> None:
        """Ends the workers; everything waits for the next start."""
        self.supervisor.stop()

    def _kept(self, files: Mapping[str, Sequence[BinaryIO]], folder: Path) -> dict[str, tuple[Path, ...]]:
        """The uploads as files called by their fields and numbers, whatever their clients call them."""
        if sum(map(len, files.values())) > self.limits.files:
            raise InputError(f"Expected at most {self.limits.files:,} files in one request.")
        kept: dict[str, tuple[Path, ...]] = {}
        for name, uploads in files.items():
            paths = []
            for number, upload in enumerate(uploads, 1):
                head = upload.read(HEAD_BYTES)
                suffix = suffix_of(head)
                if not suffix:
                    reason = "is of no kind that is read here" if head else "is empty, so of no kind that is read here"
                    raise InputError(f"File {number} of '{name}' {reason}; /docs says what is.")
                path = folder / f"{name}_{number}{suffix}"
                try:
                    with path.open("xb") as target:
                        target.write(head)
                        shutil.copyfileobj(upload, target, 1 << 20)
                except OSError as error:
                    sentence = f"The server cannot keep the files ({error.strerror or error}); send them again later."
                    raise QueueFullError(sentence) from error
                paths.append(path)
            kept[name] = tuple(paths)
        return kept


def opened_service(settings: ServiceSettings) -> Service:
    """A service whose data folder is this process's alone.

    Raises:
        InputError: another server has it, it is of something else, or the tokens cannot be read.
    """
    folders = Folders(settings.data)
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folders.jobs.exists() and not folders.database.exists() and any(folders.jobs.iterdir()):
            raise InputError(f"'{folders.jobs}' holds something else than jobs of a service; give another --data.")
        folders.jobs.mkdir(exist_ok=True)
        hold(settings.data / "server.lock", wait_s=0.0)
        return Service(settings)
    except OSError as error:
        raise InputError(f"Cannot keep data in '{settings.data}': {error.strerror or error}.") from error
    except sqlite3.Error as error:
        raise InputError(
            f"Cannot keep data in '{settings.data}' ({error}): it is no folder of a service, or is damaged; give "
            "another --data."
        ) from error
