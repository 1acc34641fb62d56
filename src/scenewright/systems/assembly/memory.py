"""A ceiling for memory: amounts in words, and batches of objects that stay below it.

Estimates count what grows with the work: the keys and values of each object's condition, and the activations of each
voxel. They are upper bounds fitted to measured peaks (tests/systems/assembly/test_memory.py), not exact.
"""

import re
from collections.abc import Sequence

from scenewright.errors import InputError, OutOfMemoryBudgetError

__all__ = ["batches_within", "parse_bytes", "readable_bytes"]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_bytes(text: str) -> int:
    """Bytes of "6GB", "512 MiB" or "6000000000".

    Raises:
        InputError: it is no positive amount of memory.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]I?|)B?\s*", text.upper())
    amount = int(float(found.group(1)) * _UNITS[found.group(2)]) if found else 0
    if amount <= 0:
        raise InputError(f"Expected an amount of memory such as 6GB or 512MiB, got '{text}'.")
    return amount


def readable_bytes(count: int) -> str:
    """The amount in the largest decimal unit that keeps it above one."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


# Allocators keep more than they are asked for (benchmarks/memory_ceiling.py).
_RESERVE = 0.15


def batches_within(
    costs: Sequence[int], ceiling: int | None, in_use: int = 0, *, names: Sequence[str] | None = None
) -> list[list[int]]:
    """Indices of `costs` in consecutive batches whose sum stays below what the ceiling leaves free.

    Args:
        costs: bytes that each item adds to a batch.
        ceiling: bytes, `in_use` included; None is no ceiling, which makes one batch of everything.
        names: what to call the items in the message.

    Raises:
        OutOfMemoryBudgetError: an item does not fit even alone.
    """
    if ceiling is None:
        return [list(range(len(costs)))] if costs else []
    free = int((1 - _RESERVE) * (ceiling - in_use))
    batches: list[list[int]] = []
    total = 0
    for index, cost in enumerate(costs):
        if cost > free:
            name = f"Object '{names[index]}'" if names else f"Object {index + 1}"
            needed = readable_bytes(in_use + round(cost / (1 - _RESERVE)))
            raise OutOfMemoryBudgetError(
                f"{name} needs about {needed} with the networks, more than the {readable_bytes(ceiling)} of "
                "--max-memory; raise the ceiling."
            )
        if not batches or total + cost > free:
            batches.append([])
            total = 0
        batches[-1].append(index)
        total += cost
    return batches
