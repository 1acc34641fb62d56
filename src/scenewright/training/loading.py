"""Batches by position: what step s sees depends on the seed and on s, not on workers, restarts or luck.

Position p of the stream of samples is sample p mod n of a permutation drawn for epoch p div n; its random numbers come
from a generator seeded with (seed, p). Resuming is therefore starting at a position, and a killed worker is replaced
without a trace. Process r of w takes the r-th of w equal parts of each step's positions.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from scenewright.errors import InputError, ScenewrightError
from scenewright.jobs import Stream

__all__ = ["BatchStream", "TrainingSet", "derived_seed", "sample_order"]

_MAX_SHUFFLED = 1 << 24
"""Longer sets are streams: their samples are taken in order (a permutation would cost memory and gain nothing)."""


@runtime_checkable
class TrainingSet(Protocol):
    """Random access to samples. Sets that name this class as their base take over how batches are made."""

    def __len__(self) -> int: ...

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """Sample `index`; every random choice comes from `generator`."""
        ...

    def collate(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """One batch of samples: every key stacked along a new first axis."""
        return {key: torch.stack([torch.as_tensor(sample[key]) for sample in samples]) for key in samples[0]}

    def batch(self, indices: Sequence[int], generators: Sequence[torch.Generator]) -> dict[str, Any]:
        """One batch of the samples `indices`, each with a generator of its own."""
        return self.collate([self.sample(i, g) for i, g in zip(indices, generators, strict=True)])


def derived_seed(*numbers: int) -> int:
    """A 63-bit seed that depends on every number and their order."""
    high, low = np.random.SeedSequence(
        [len(numbers), *(word for number in numbers for word in _words(number))]
    ).generate_state(2)
    return (int(high) << 32 | int(low)) >> 1


def _words(number: int) -> tuple[int, int]:
    return number & 0xFFFFFFFF, number >> 32 & 0xFFFFFFFF


def sample_order(length: int, seed: int, epoch: int) -> Tensor | None:
    """The permutation of an epoch; None where samples come in order."""
    if length > _MAX_SHUFFLED:
        return None
    return torch.randperm(length, generator=torch.Generator().manual_seed(derived_seed(seed, 1, epoch)))


class _Failure:
    """An error of a worker on its way to the main process with its class and sentence intact."""

    def __init__(self, error: ScenewrightError) -> None:
        self.kind, self.message = type(error), str(error)


class _PositionLoader:
    """A training set addressed by lists of positions."""

    def __init__(self, source: TrainingSet, seed: int) -> None:
        self._source, self._seed = source, seed
        self._order: tuple[int, Tensor | None] = (-1, None)

    def _index(self, position: int) -> int:
        length = len(self._source)
        epoch, rank = divmod(position, length)
        if self._order[0] != epoch:
            self._order = (epoch, sample_order(length, self._seed, epoch))
        order = self._order[1]
        return rank if order is None else int(order[rank])

    def __call__(self, positions: list[int]) -> "dict[str, Any] | _Failure":
        try:
            indices = [self._index(position) for position in positions]
            generators = [
                torch.Generator().manual_seed(derived_seed(self._seed, 2, position)) for position in positions
            ]
            return self._source.batch(indices, generators)
        except ScenewrightError as error:
            return _Failure(error)


class BatchStream:
    """An endless iterator over micro-batches from step `first_step` on, loaded ahead by `workers` processes."""

    def __init__(
        self,
        source: TrainingSet,
        *,
        batch_size: int,
        batch_split: int = 1,
        seed: int = 0,
        first_step: int = 0,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """
        Raises:
            InputError: the set is empty.
        """
        if not len(source):
            raise InputError("Expected a training set with at least one sample, got an empty one.")
        load = _PositionLoader(source, seed)
        jobs = _schedule(first_step, batch_size, batch_split, rank, world)
        self._workers = Stream(load, jobs, workers) if workers else None
        self._batches = map(load, jobs) if self._workers is None else self._workers

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        """
        Raises:
            InputError: a sample is damaged, or workers keep being killed.
        """
        batch = next(self._batches)
        if isinstance(batch, _Failure):
            raise batch.kind(batch.message)
        return batch

    def close(self) -> None:
        """Ends the workers."""
        if self._workers is not None:
            self._workers.close()


def _schedule(first_step: int, batch_size: int, batch_split: int, rank: int, world: int) -> Iterator[list[int]]:
    """Positions of the micro-batches of one process, from a step onwards."""
    part = batch_size // batch_split
    for step in itertools.count(first_step):
        start = (step * world + rank) * batch_size
        for micro in range(batch_split):
            yield list(range(start + micro * part, start + (micro + 1) * part))
