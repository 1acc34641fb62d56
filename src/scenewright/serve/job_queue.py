"""All jobs of a service, in SQLite: whoever is killed at whatever moment, no job is lost and none is done twice.

    queued -> running -> done | failed | cancelled

Every change of state is one transaction. A worker holds a running job by a lease; what it reports counts only while the
lease is the job's. When a worker is gone its job waits again under no lease, so that its last words, if it is not quite
dead, are ignored. The client whose turn is longest ago comes next; of one client the oldest job.

A job that is deleted is no longer seen by anyone. Its row and folder go when it does not run and no other job was made
from it (`removable`).
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scenewright.serve.limits import Limits

__all__ = ["FINISHED", "Claim", "JobQueue", "JobRecord", "NewJob", "QueueFullError", "State"]

State = Literal["queued", "running", "done", "failed", "cancelled"]
FINISHED: tuple[State, ...] = ("done", "failed", "cancelled")
MOST_ATTEMPTS = 3
_BUSY_S = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    job TEXT NOT NULL,
    key TEXT NOT NULL,
    parent TEXT,
    state TEXT NOT NULL DEFAULT 'queued',
    deleted INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    lease TEXT,
    cancelled REAL,
    stage TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    files TEXT NOT NULL DEFAULT '[]',
    facts TEXT NOT NULL DEFAULT '{}',
    error TEXT,
    submitted REAL NOT NULL,
    started REAL,
    finished REAL
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, owner, number);
CREATE INDEX IF NOT EXISTS jobs_by_owner ON jobs (owner, key);
CREATE INDEX IF NOT EXISTS jobs_by_parent ON jobs (parent);
CREATE TABLE IF NOT EXISTS owners (owner TEXT PRIMARY KEY, turn INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS totals (
    kind TEXT NOT NULL, state TEXT NOT NULL, jobs INTEGER NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (kind, state)
) STRICT;
"""


class QueueFullError(Exception):
    """A limit of the queue is reached; the message says which."""


@dataclass(frozen=True)
class NewJob:
    """A job to be submitted under an id that its folder has already."""

    id: str
    owner: str
    kind: str
    job: str
    key: str
    parent: str | None = None


@dataclass(frozen=True)
class JobRecord:
    """One job as it stands; times are seconds since 1970."""

    id: str
    owner: str
    kind: str
    key: str
    parent: str | None
    state: State
    attempts: int
    stage: str
    done: int
    total: int
    files: tuple[str, ...]
    facts: dict[str, Any]
    error: str | None
    submitted: float
    started: float | None
    finished: float | None


@dataclass(frozen=True)
class Claim:
    """A running job in the hands of a worker, which holds it by the lease."""

    id: str
    lease: str
    job: str


class JobQueue:
    """The jobs in a SQLite file; any number of processes and threads may have it open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._connected() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA)

    def submit(self, new: NewJob, limits: Limits) -> tuple[JobRecord, bool]:
        """Accepts the job for good; the client's own one of the same key, and False, where there is one already.

        Raises:
            QueueFullError: a limit is reached.
        """
        with self._changing() as database:
            same = database.execute(
                "SELECT * FROM jobs WHERE owner = ? AND key = ? AND deleted = 0 AND cancelled IS NULL"
                " AND state IN ('queued', 'running', 'done') AND parent IS ? LIMIT 1",
                (new.owner, new.key, new.parent),
            ).fetchone()
            if same is not None:
                return _record(same), False
            _check_room(database, new.owner, limits)
            database.execute(
                "INSERT INTO jobs (id, owner, kind, job, key, parent, submitted) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (new.id, new.owner, new.kind, new.job, new.key, new.parent, time.time()),
            )
            return _record(_row(database, new.id)), True

    def check_room(self, owner: str, limits: Limits) -> None:
        """Before a client's files are read: refuses a job that would not be accepted.

        Raises:
            QueueFullError: a limit is reached.
        """
        with self._connected() as database:
            _check_room(database, owner, limits)

    def find(self, job_id: str, owner: str) -> JobRecord | None:
        """The client's job of that id."""
        with self._connected() as database:
            row = database.execute(
                "SELECT * FROM jobs WHERE id = ? AND owner = ? AND deleted = 0", (job_id, owner)
            ).fetchone()
        return None if row is None else _record(row)

    def newest(self, owner: str, most: int) -> list[JobRecord]:
        """The client's last jobs, the newest first."""
        with self._connected() as database:
            rows = database.execute(
                "SELECT * FROM jobs WHERE owner = ? AND deleted = 0 ORDER BY number DESC LIMIT ?", (owner, most)
            ).fetchall()
        return [_record(row) for row in rows]

    def claim(self, worker: str) -> Claim | None:
        """The next job, which from now on runs in that worker; None where none waits."""
        with self._connected() as database:  # most times there is none, and nothing has to be locked to see that
            if database.execute("SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1").fetchone() is None:
                return None
        with self._changing() as database:
            row = database.execute(
                "SELECT id, owner, job FROM jobs LEFT JOIN owners USING (owner) WHERE state = 'queued'"
                " ORDER BY coalesce(turn, 0), number LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            lease = secrets.token_hex(8)
            database.execute(
                "INSERT INTO owners (owner, turn) SELECT ?, coalesce(max(turn), 0) + 1 FROM owners WHERE true"
                " ON CONFLICT (owner) DO UPDATE SET turn = excluded.turn",
                (row["owner"],),
            )
            database.execute(
                "UPDATE jobs SET state = 'running', worker = ?, lease = ?, attempts = attempts + 1, started = ?,"
                " stage = '', done = 0, total = 0 WHERE id = ?",
                (worker, lease, time.time(), row["id"]),
            )
            return Claim(row["id"], lease, row["job"])

    def report(self, claim: Claim, stage: str, done: int, total: int) -> bool:
        """Notes the progress of a running job; False where it should stop."""
        with self._changing() as database:
            changed = database.execute(
                "UPDATE jobs SET stage = ?, done = ?, total = ? WHERE id = ? AND lease = ? AND cancelled IS NULL",
                (stage, done, total, claim.id, claim.lease),
            )
            return changed.rowcount == 1

    def finish(
        self,
        job_id: str,
        lease: str,
        state: State,
        *,
        files: tuple[str, ...] = (),
        facts: dict[str, Any] | None = None,
        error: str | None = None,
    ) -> bool:
        """Ends a running job; False where the lease is not its any more."""
        with self._changing() as database:
            row = database.execute("SELECT * FROM jobs WHERE id = ? AND lease = ?", (job_id, lease)).fetchone()
            if row is None:
                return False
            _end(database, row, state, files, facts or {}, error)
            return True

    def cancel(self, job_id: str, owner: str) -> JobRecord | None:
        """Ends a waiting job; asks the worker of a running one to stop. None where the client has no such job."""
        with self._changing() as database:
            row = database.execute(
                "SELECT * FROM jobs WHERE id = ? AND owner = ? AND deleted = 0", (job_id, owner)
            ).fetchone()
            if row is None:
                return None
            _cancel(database, row)
            return _record(_row(database, job_id))

    def delete(self, job_id: str, owner: str) -> bool:
        """Takes a job away from everybody, cancelled if it is not finished; False where the client has no such job."""
        with self._changing() as database:
            row = database.execute(
                "SELECT * FROM jobs WHERE id = ? AND owner = ? AND deleted = 0", (job_id, owner)
            ).fetchone()
            if row is None:
                return False
            _cancel(database, row)
            database.execute("UPDATE jobs SET deleted = 1 WHERE id = ?", (job_id,))
            return True

    def expire(self, keep_s: float) -> None:
        """Deletes jobs that finished so many seconds ago."""
        with self._changing() as database:
            database.execute("UPDATE jobs SET deleted = 1 WHERE finished < ?", (time.time() - keep_s,))

    def removable(self) -> list[str]:
        """Deleted jobs whose folders nobody needs: they do not run, and no job that is left was made from them."""
        with self._connected() as database:
            rows = database.execute(
                "SELECT id FROM jobs AS old WHERE deleted = 1 AND state != 'running'"
                " AND NOT EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent = old.id)"
            ).fetchall()
        return [row["id"] for row in rows]

    def remove(self, job_id: str) -> None:
        """Forgets a job whose folder is gone."""
        with self._changing() as database:
            database.execute("DELETE FROM jobs WHERE id = ? AND deleted = 1", (job_id,))

    def known(self, job_id: str) -> bool:
        """Whether any job, deleted or not, has this id."""
        with self._connected() as database:
            return database.execute("SELECT 1 FROM jobs WHERE id = ?", (job_id,)).fetchone() is not None

    def release(self, worker: str | None = None) -> None:
        """The jobs of a worker that died wait again; of a worker that they killed three times they fail.

        Without a name: of all workers, which ended with the server before this one. That is no fault of their jobs.
        """
        with self._changing() as database:
            where, names = ("", ()) if worker is None else (" AND worker = ?", (worker,))
            rows = database.execute(f"SELECT * FROM jobs WHERE state = 'running'{where}", names).fetchall()
            for row in rows:
                if row["cancelled"] is not None:
                    _end(database, row, "cancelled", (), {}, None)
                elif worker is not None and row["attempts"] >= MOST_ATTEMPTS:
                    sentence = (
                        f"Its process was killed {row['attempts']} times (out of memory?); it is not tried again."
                    )
                    _end(database, row, "failed", (), {}, sentence)
                else:
                    attempts = row["attempts"] - (worker is None)
                    database.execute(
                        "UPDATE jobs SET state = 'queued', worker = NULL, lease = NULL, started = NULL, attempts = ?"
                        " WHERE id = ?",
                        (attempts, row["id"]),
                    )

    def stop_overdue(self, job_s: float, grace_s: float) -> list[str]:
        """Ends jobs that ran too long, or still run so long after they were cancelled; the workers to be killed."""
        now, workers = time.time(), []
        with self._changing() as database:
            rows = database.execute(
                "SELECT * FROM jobs WHERE state = 'running' AND (started < ? OR cancelled < ?)",
                (now - job_s, now - grace_s),
            ).fetchall()
            for row in rows:
                if row["cancelled"] is not None:
                    _end(database, row, "cancelled", (), {}, None)
                else:
                    _end(database, row, "failed", (), {}, f"It ran longer than {job_s:,.0f} s, which is the limit.")
                workers.append(row["worker"])
        return workers

    def counts(self) -> dict[str, int]:
        """The number of jobs in each state."""
        with self._connected() as database:
            rows = database.execute("SELECT state, count(*) AS jobs FROM jobs WHERE deleted = 0 GROUP BY state")
            return {row["state"]: row["jobs"] for row in rows}

    def totals(self) -> list[tuple[str, str, int, float]]:
        """Kind, state, number and running seconds of all jobs that ever finished here."""
        with self._connected() as database:
            return [tuple(row) for row in database.execute("SELECT kind, state, jobs, seconds FROM totals")]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        try:
            database.row_factory = sqlite3.Row
            yield database
        finally:
            database.close()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, whole or not at all."""
        with self._connected() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


def _check_room(database: sqlite3.Connection, owner: str, limits: Limits) -> None:
    waiting = _count(database, "state = 'queued'")
    if waiting >= limits.queue:
        raise QueueFullError(f"{waiting:,} jobs are waiting, which is all the queue holds; send it again later.")
    unfinished = _count(database, "state IN ('queued', 'running') AND owner = ?", owner)
    if unfinished >= limits.unfinished:
        raise QueueFullError(f"{unfinished:,} of your jobs are not finished; wait for some, or cancel them.")
    stored = _count(database, "deleted = 0 AND owner = ?", owner)
    if stored >= limits.stored:
        raise QueueFullError(f"{stored:,} of your jobs are kept here; delete some first.")


def _row(database: sqlite3.Connection, job_id: str) -> sqlite3.Row:
    row: sqlite3.Row = database.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return row


def _count(database: sqlite3.Connection, condition: str, *values: str) -> int:
    count: int = database.execute(f"SELECT count(*) FROM jobs WHERE {condition}", values).fetchone()[0]
    return count


def _cancel(database: sqlite3.Connection, row: sqlite3.Row) -> None:
    if row["state"] == "queued":
        _end(database, row, "cancelled", (), {}, None)
    elif row["state"] == "running":
        database.execute("UPDATE jobs SET cancelled = coalesce(cancelled, ?) WHERE id = ?", (time.time(), row["id"]))


def _end(
    database: sqlite3.Connection,
    row: sqlite3.Row,
    state: State,
    files: tuple[str, ...],
    facts: dict[str, Any],
    error: str | None,
) -> None:
    now = time.time()
    database.execute(
        "UPDATE jobs SET state = ?, lease = NULL, worker = NULL, files = ?, facts = ?, error = ?, finished = ?"
        " WHERE id = ?",
        (state, json.dumps(files), json.dumps(facts), error, now, row["id"]),
    )
    seconds = 0.0 if row["started"] is None else max(0.0, now - row["started"])
    database.execute(
        "INSERT INTO totals (kind, state, jobs, seconds) VALUES (?, ?, 1, ?)"
        " ON CONFLICT DO UPDATE SET jobs = jobs + 1, seconds = seconds + excluded.seconds",
        (row["kind"], state, seconds),
    )


def _record(row: sqlite3.Row) -> JobRecord:
    return JobRecord(
        id=row["id"],
        owner=row["owner"],
        kind=row["kind"],
        key=row["key"],
        parent=row["parent"],
        state=row["state"],
        attempts=row["attempts"],
        stage=row["stage"],
        done=row["done"],
        total=row["total"],
        files=tuple(json.loads(row["files"])),
        facts=json.loads(row["facts"]),
        error=row["error"],
        submitted=row["submitted"],
        started=row["started"],
        finished=row["finished"],
    )
