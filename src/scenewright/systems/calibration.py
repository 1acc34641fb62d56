"""Seconds that a block of a published flow takes on this machine, by precision: measured once, then kept.

    measured(device) -> BlockSeconds        chosen_dtype("auto", device) -> torch.dtype | None

Half precision is no faster on every processor: with AMX or AVX512-BF16 a block takes a third to a fifth of its time,
without them it takes longer. So both are tried, with the products and the attention that a flow has, and what was found
is kept for this processor, its cores and this torch in `machine.json` under `cache_folder()`.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from scenewright.errors import InputError
from scenewright.files import checked, read_json, reading
from scenewright.geometry.threads import one_torch_thread
from scenewright.io.atomic import write_bytes
from scenewright.machine import cache_folder, choose_dtype, machine_key
from scenewright.nn.blocks import BlockContext, ModulatedCrossBlock
from scenewright.nn.precision import cast_torso
from scenewright.sparse.attention import Sequences

__all__ = ["BLOCK_OPERATIONS", "BlockSeconds", "chosen_dtype", "kept", "measured"]

_WIDTH, _TOKENS, _CONTEXT = 1024, 1024, 256
BLOCK_OPERATIONS = 2.0 * _TOKENS * 14 * _WIDTH**2 + 4.0 * _TOKENS * (_TOKENS + _CONTEXT) * _WIDTH
"""Floating-point operations of the block that is timed, without the projection of its context."""

# Half precision changes the results, so it must be worth it.
_WORTH = 0.8


@dataclass(frozen=True)
class BlockSeconds:
    """Seconds of one block of 1024 tokens and channels; on a CPU those of one thread."""

    float32: float
    bfloat16: float

    def of(self, dtype: torch.dtype) -> float:
        """The seconds in a precision; float16 counts as bfloat16."""
        return self.float32 if dtype == torch.float32 else self.bfloat16


def chosen_dtype(name: str, device: torch.device) -> torch.dtype | None:
    """The precision of the large networks for `--dtype`; None is what weights are published for on the device.

    "auto" is bfloat16 on a processor that was measured to be a fifth faster with it, else None, which is half precision
    on CUDA and float32 elsewhere.

    Raises:
        InputError: no such precision.
    """
    if name != "auto":
        return choose_dtype(name)
    if device.type != "cpu":
        return None
    found = measured(device)
    return torch.bfloat16 if found.bfloat16 <= _WORTH * found.float32 else None


def measured(device: torch.device) -> BlockSeconds:
    """Seconds kept for this machine, else measured now (in two or three seconds) and kept."""
    if (found := kept(device)) is not None:
        return found
    found = _measure(device)
    _keep(_all_kept() | {machine_key(device): found})
    return found


def kept(device: torch.device) -> BlockSeconds | None:
    """Seconds kept for this machine, if it was measured before."""
    return _all_kept().get(machine_key(device))


def _file() -> Path:
    return cache_folder() / "machine.json"


def _all_kept() -> dict[str, BlockSeconds]:
    """A file that is missing or damaged holds nothing."""
    try:
        with reading(_file(), "a file of measured speeds", "delete it"):
            return {key: checked(value, BlockSeconds) for key, value in read_json(_file(), dict).items()}
    except (InputError, OSError):
        return {}


def _keep(known: dict[str, BlockSeconds]) -> None:
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_bytes(_file(), json.dumps({key: asdict(value) for key, value in known.items()}, indent=1).encode())
    except (InputError, OSError):
        return  # it is measured anew each time


@one_torch_thread()
@torch.no_grad()
def _measure(device: torch.device) -> BlockSeconds:
    """The fastest of three calls each, taken in turns, after one that warms up."""
    calls = [_block_call(device, dtype) for dtype in (torch.float32, torch.bfloat16)]
    best = [float("inf")] * len(calls)
    # Other work on the machine stretches the clock's seconds, less so the processor's, and those of one thread least.
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    for turn in range(4):
        for index, call in enumerate(calls):
            begin = clock()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                best[index] = min(best[index], clock() - begin)
    return BlockSeconds(*best)


def _block_call(device: torch.device, dtype: torch.dtype) -> Callable[[], object]:
    with torch.device(device):
        block = ModulatedCrossBlock(_WIDTH, _WIDTH, _WIDTH // 64).eval()
        cast_torso([block], dtype)
        rows, mod = torch.zeros(_TOKENS, _WIDTH, dtype=dtype), torch.zeros(1, _WIDTH, dtype=dtype)
        context = block.cross_attn.project(torch.zeros(_CONTEXT, _WIDTH), Sequences((_CONTEXT,)))
    return lambda: block(rows, mod, BlockContext(context), Sequences((_TOKENS,)))
