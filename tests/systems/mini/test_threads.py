"""Threads that share tiny operations wait for each other after each; beside load that takes many times as long."""

from collections.abc import Iterator

import pytest
import torch

from scenewright.systems.loading import load, shipped_systems


class Looked(Exception):
    """The system has begun to look at its views."""


class Views(tuple[()]):
    """Views that say on how many threads they are looked at."""

    threads: list[int] = []  # noqa: RUF012

    def __iter__(self) -> Iterator[object]:  # type: ignore[override]
        self.threads.append(torch.get_num_threads())
        raise Looked


@pytest.mark.parametrize("name", shipped_systems())
def test_every_system_with_mini_weights_computes_on_one_thread_and_gives_the_others_back(
    name: str, two_threads: None
) -> None:
    system, views = load(name, "mini"), Views()
    with pytest.raises(Looked):
        system.generate(views)
    assert torch.get_num_threads() == 2
    assert views.threads.pop() == 1
