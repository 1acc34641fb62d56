"""Uploads read once before their job is accepted: in a process of little memory and time that ends with them.

The server itself decodes nothing: a process of `serve.limited` per request does, and answers with the job and its key,
or with one sentence for the client. The worker reads the same files by the same functions.
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenewright.serve.job_queue import QueueFullError
from scenewright.serve.limited import LimitedProcess
from scenewright.serve.limits import Limits
from scenewright.serve.requests import CaptureRequest, EditRequest, ExportRequest, GenerateRequest, RerollRequest

__all__ = ["Accepted", "Catalogue", "Reader", "Request", "Submission"]

Request = GenerateRequest | CaptureRequest | RerollRequest | EditRequest | ExportRequest
# Requests that wait for their turn each keep a thread of the server from other work.
_MOST_WAITING = 24


@dataclass(frozen=True)
class Submission:
    """A request of a client: files by the names of form fields, in order, or the scene of an earlier job."""

    request: Request
    folder: Path
    files: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    scene: Path | None = None


@dataclass(frozen=True)
class Accepted:
    """The job as JSON, and its key."""

    kind: str
    job: str
    key: str


@dataclass(frozen=True)
class Catalogue:
    """The systems and formats of this installation, for clients to choose from."""

    systems: tuple[dict[str, Any], ...]
    formats: tuple[dict[str, Any], ...]
    profiles: tuple[str, ...]
    programs: tuple[str, ...]


class Reader:
    """Reads uploads in processes of their own, at most two at a time. `device` is the kind that the workers have."""

    def __init__(self, limits: Limits, device: str, *, offline: bool = True) -> None:
        self._limits, self._device, self._offline = limits, device, offline
        self._room = threading.Semaphore(_MOST_WAITING)
        self._process = LimitedProcess("scenewright.serve.preparing", limits)

    def accept(self, submission: Submission) -> Accepted:
        """The job that the client means, once all its files were read.

        Raises:
            InputError: they cannot be used, or take more than the limits allow.
            QueueFullError: too many requests wait to be read.
        """
        if not self._room.acquire(blocking=False):
            raise QueueFullError("Too many uploads wait to be read; send it again later.")
        try:
            found: Accepted = self._process.call("prepared", submission, self._limits, self._device, self._offline)
        finally:
            self._room.release()
        return found

    def catalogue(self) -> Catalogue:
        """The systems and formats of this installation."""
        found: Catalogue = self._process.call("catalogue")
        return found
