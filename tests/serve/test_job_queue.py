"""The queue: fair, bounded, and consistent whoever is killed."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from scenewright.serve.job_queue import Claim, JobQueue, NewJob, QueueFullError
from scenewright.serve.limits import Limits

LIMITS = Limits()


@pytest.fixture
def queue(tmp_path: Path) -> JobQueue:
    return JobQueue(tmp_path / "jobs.sqlite")


def submit(queue: JobQueue, name: str, owner: str = "ann", *, parent: str | None = None, key: str = "") -> bool:
    return queue.submit(NewJob(name, owner, "generate", "{}", key or name, parent), LIMITS)[1]


def claimed(queue: JobQueue, worker: str = "w") -> Claim:
    claim = queue.claim(worker)
    assert claim is not None
    return claim


def state(queue: JobQueue, name: str, owner: str = "ann") -> str:
    record = queue.find(name, owner)
    assert record is not None
    return record.state


def test_clients_take_turns_and_each_keeps_its_own_order(queue: JobQueue) -> None:
    for name in ("a1", "a2", "a3"):
        submit(queue, name)
    submit(queue, "b1", "bob")
    submit(queue, "b2", "bob")
    order = []
    while (claim := queue.claim("w")) is not None:
        order.append(claim.id)
        queue.finish(claim.id, claim.lease, "done")
        if claim.id == "b1":
            submit(queue, "c1", "cid")  # who comes late does not wait behind everybody
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_the_same_job_of_the_same_client_is_one_job(queue: JobQueue) -> None:
    assert submit(queue, "first", key="k")
    assert not submit(queue, "second", key="k")
    assert submit(queue, "third", "bob", key="k")
    claim = claimed(queue)
    queue.finish(claim.id, claim.lease, "failed", error="no")
    assert submit(queue, "fourth", key="k")  # what failed may be tried again


def test_a_job_is_seen_by_its_client_only(queue: JobQueue) -> None:
    submit(queue, "a1")
    assert queue.find("a1", "bob") is None
    assert queue.newest("bob", 10) == []
    assert queue.cancel("a1", "bob") is None
    assert not queue.delete("a1", "bob")
    assert state(queue, "a1") == "queued"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(queue=2), "2 jobs are waiting"),
        (Limits(unfinished=2), "2 of your jobs are not finished"),
        (Limits(stored=2), "2 of your jobs are kept"),
    ],
)
def test_limits_are_told_by_name(queue: JobQueue, limits: Limits, message: str) -> None:
    submit(queue, "a1")
    submit(queue, "a2")
    with pytest.raises(QueueFullError, match=message):
        queue.submit(NewJob("a3", "ann", "generate", "{}", "a3"), limits)
    with pytest.raises(QueueFullError, match=message):
        queue.check_room("ann", limits)
    assert len(queue.newest("ann", 10)) == 2


def test_a_job_of_a_killed_worker_runs_again_and_its_old_lease_says_nothing(queue: JobQueue) -> None:
    submit(queue, "a1")
    old = claimed(queue)
    queue.release("w")
    assert not queue.report(old, "shape", 1, 2)
    assert not queue.finish(old.id, old.lease, "done")
    new = claimed(queue)
    assert new.id == "a1"
    assert queue.finish(new.id, new.lease, "done", files=("scene.glb",))
    assert not queue.finish(new.id, new.lease, "failed")
    record = queue.find("a1", "ann")
    assert record is not None
    assert (record.state, record.files, record.attempts) == ("done", ("scene.glb",), 2)


def test_a_job_that_kills_its_worker_three_times_fails(queue: JobQueue) -> None:
    submit(queue, "a1")
    for _ in range(3):
        assert state(queue, "a1") == "queued"
        claimed(queue)
        queue.release("w")
    record = queue.find("a1", "ann")
    assert record is not None
    assert record.state == "failed"
    assert record.error is not None
    assert "killed 3 times" in record.error


def test_servers_that_end_count_against_no_job(queue: JobQueue) -> None:
    submit(queue, "a1")
    for _ in range(5):
        claimed(queue)
        queue.release()
    assert state(queue, "a1") == "queued"


def test_a_running_job_is_asked_to_stop_and_a_waiting_one_ends(queue: JobQueue) -> None:
    submit(queue, "a1")
    submit(queue, "a2")
    claim = claimed(queue)
    assert queue.report(claim, "shape", 1, 2)
    queue.cancel("a1", "ann")
    queue.cancel("a2", "ann")
    assert (state(queue, "a1"), state(queue, "a2")) == ("running", "cancelled")
    assert not queue.report(claim, "shape", 2, 2)
    queue.finish(claim.id, claim.lease, "cancelled")
    assert state(queue, "a1") == "cancelled"


def test_jobs_that_overrun_or_do_not_obey_end_and_their_workers_are_named(queue: JobQueue) -> None:
    submit(queue, "a1")
    claim = claimed(queue, "w1")
    assert queue.stop_overdue(1000.0, 1000.0) == []
    queue.cancel("a1", "ann")
    assert queue.stop_overdue(1000.0, -1.0) == ["w1"]
    assert state(queue, "a1") == "cancelled"
    submit(queue, "a2")
    claim = claimed(queue, "w2")
    assert queue.stop_overdue(-1.0, 1000.0) == ["w2"]
    record = queue.find("a2", "ann")
    assert record is not None
    assert record.state == "failed"
    assert record.error is not None
    assert "longer than" in record.error
    assert not queue.finish(claim.id, claim.lease, "done")


def test_files_stay_while_a_job_runs_or_another_was_made_from_them(queue: JobQueue) -> None:
    submit(queue, "scene")
    claim = claimed(queue)
    submit(queue, "edit", parent="scene")
    queue.delete("scene", "ann")
    assert queue.find("scene", "ann") is None
    assert queue.removable() == []  # it runs
    queue.finish(claim.id, claim.lease, "cancelled")
    assert queue.removable() == []  # the edit needs it
    queue.delete("edit", "ann")
    assert queue.removable() == ["edit"]
    queue.remove("edit")
    assert queue.removable() == ["scene"]


def test_finished_jobs_expire_and_waiting_ones_do_not(queue: JobQueue) -> None:
    submit(queue, "a1")
    submit(queue, "a2")
    claim = claimed(queue)
    queue.finish(claim.id, claim.lease, "done")
    queue.expire(1000.0)
    assert queue.find("a1", "ann") is not None
    queue.expire(-1.0)
    assert queue.find("a1", "ann") is None
    assert state(queue, "a2") == "queued"
    assert queue.totals()[0][:3] == ("generate", "done", 1)


def _work_until_killed(path: Path, name: str) -> None:
    queue = JobQueue(path)
    while True:
        if (claim := queue.claim(name)) is not None:
            queue.report(claim, "shape", 1, 2)
            queue.finish(claim.id, claim.lease, "done", facts={"by": name})


def test_writers_killed_in_the_middle_leave_every_job_in_one_state(queue: JobQueue, tmp_path: Path) -> None:
    """Three processes work the queue and are killed at whatever moment; what is left is done by this one."""
    names = [f"job{number}" for number in range(60)]
    for name in names:
        submit(queue, name)
    context = multiprocessing.get_context("spawn")
    for number in range(3):
        worker = context.Process(target=_work_until_killed, args=(tmp_path / "jobs.sqlite", f"w{number}"))
        worker.start()
        before = queue.counts().get("done", 0)
        while queue.counts().get("done", 0) < before + 5 + 3 * number:
            pass
        assert worker.pid is not None
        os.kill(worker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        worker.join()
        queue.release(f"w{number}")
    done = 0
    while (claim := queue.claim("last")) is not None:
        assert queue.finish(claim.id, claim.lease, "done")
        done += 1
    assert 0 < done < len(names)
    assert queue.counts() == {"done": len(names)}
    assert queue.totals() == [("generate", "done", len(names), pytest.approx(0, abs=1e9))]
