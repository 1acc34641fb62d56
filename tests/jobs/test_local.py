"""Runs and streams: the same results from any number of processes, whatever happens to one of them."""

import os
import signal
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import pytest
import torch

from scenewright.errors import InputError
from scenewright.jobs import Failure, Stream, Worker, choose_workers, run
from scenewright.machine import available_cores

NUMBERS = [3, 1, 0, 2]


def inverse(number: int) -> float:
    return 1 / number


def threads_and_square(number: int) -> tuple[int, torch.Tensor]:
    return torch.get_num_threads(), torch.tensor([number * number])


def deadly_square(folder: Path, times: int, number: int) -> int:
    """Kills its process at 2, the first `times` times."""
    deaths = len(list(folder.iterdir()))
    if number == 2 and deaths < times:
        (folder / str(deaths)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def test_results_keep_the_order_of_the_jobs_and_tolerated_errors_their_place() -> None:
    counts: list[tuple[int, int]] = []
    three, one, none, half = run(
        inverse, NUMBERS, tolerated=(ZeroDivisionError,), progress=lambda done, total: counts.append((done, total))
    )
    assert (three, one, half) == (1 / 3, 1, 1 / 2)
    assert isinstance(none, Failure)
    assert isinstance(none.error, ZeroDivisionError)
    assert counts == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with pytest.raises(ZeroDivisionError):
        run(inverse, NUMBERS)


def test_two_processes_survive_a_death_and_give_what_one_gives(tmp_path: Path) -> None:
    counts: list[int] = []
    squares = run(
        partial(deadly_square, tmp_path, 1),
        iter(range(5)),
        workers=2,
        progress=lambda done, total: counts.append(done),
    )
    assert squares == [0, 1, 4, 9, 16]
    assert counts == [1, 2, 3, 4, 5]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_stream_gives_results_in_order_from_processes_of_one_thread() -> None:
    stream = Stream(threads_and_square, iter(range(7)), workers=1)
    assert [(threads, int(square)) for threads, square in stream] == [(1, n * n) for n in range(7)]
    stream.close()


def test_processes_that_keep_dying_end_in_a_sentence(tmp_path: Path) -> None:
    stream = Stream(partial(deadly_square, tmp_path, 9), iter(range(5)), workers=1)
    with pytest.raises(InputError, match=r"Worker processes were killed 4 times .* fewer workers"):
        list(stream)
    stream.close()


def test_few_jobs_do_not_pay_for_processes() -> None:
    assert choose_workers(0) == choose_workers(7) == 1
    assert choose_workers(1000) == min(available_cores(), 8)


def test_a_worker_that_dies_says_so_of_its_job_and_is_replaced(tmp_path: Path) -> None:
    worker = Worker(partial(deadly_square, tmp_path, 1))
    try:
        worker.begin(3)
        assert worker.future.result() == 9
        worker.begin(2)
        with pytest.raises(BrokenProcessPool):
            worker.future.result()
        worker.begin(2)
        assert worker.future.result() == 4
    finally:
        worker.close()
