"""Where a service keeps things, and locks that end with the process that holds them."""

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from scenewright.errors import InputError

__all__ = ["ID", "Folders", "hold"]

ID = re.compile(r"[A-Za-z0-9_-]{22}")
"""The form of a job's id, which its folder is called by."""

_HELD: list[sqlite3.Connection] = []


@dataclass(frozen=True)
class Folders:
    """The places in the data folder of a service; a job's are called by its id."""

    data: Path

    @property
    def database(self) -> Path:
        return self.data / "jobs.sqlite"

    @property
    def jobs(self) -> Path:
        return self.data / "jobs"

    def inputs(self, job_id: str) -> Path:
        return self.jobs / job_id / "inputs"

    def result(self, job_id: str) -> Path:
        return self.jobs / job_id / "result"

    def public(self, text: str) -> str:
        """The text without the places of this machine: files of jobs by their names alone."""
        own = re.escape(str(self.data))
        return re.sub(rf"{own}(/jobs/[^/'\"]+(/inputs|/result)?)?/?", "", text)


def hold(path: Path, *, wait_s: float) -> None:
    """Locks a file for as long as this process lives.

    Raises:
        InputError: another process holds it for longer than `wait_s` seconds.
    """
    connection = sqlite3.connect(path, timeout=wait_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        connection.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        raise InputError(f"Another process of this service holds '{path}'; end it, or give another --data.") from error
    _HELD.append(connection)
