"""The errors a caller may want to catch; each is one clear sentence naming the cause and the fix.

    ScenewrightError
    +-- InputError(ValueError)          a file or argument the user gave cannot be used
    +-- WeightsError                    weights are missing, damaged, or do not fit the network
    +-- MissingExtraError(ImportError)  an optional part of the installation is needed
    +-- EmptyStructureError             a sampler or decoder produced no voxel, so there is no object
    +-- OutOfMemoryBudgetError          the work cannot fit the memory ceiling the user set

The command line prints the sentence and exits with code 2 for every one of them.
"""

import errno
import re
import sys

__all__ = [
    "EmptyStructureError",
    "InputError",
    "MissingExtraError",
    "OutOfMemoryBudgetError",
    "ScenewrightError",
    "WeightsError",
    "is_out_of_memory",
]

# Words of torch's allocators, the loader of shared libraries, C++ and numba.
_OUT_OF_MEMORY = re.compile(
    r"(can't|cannot|unable to|failed to) (re)?(allocate|alloc|mmap|start new thread|map segment)|not enough memory"
    r"|out of memory|bad_alloc",
    re.IGNORECASE,
)


_LONGEST = 1000


class ScenewrightError(Exception):
    """Base of every error that Scenewright raises on purpose; what a sentence quotes of a file is cut short."""

    def __str__(self) -> str:
        sentence = super().__str__()
        return sentence if len(sentence) <= _LONGEST else f"{sentence[: _LONGEST - 250]} ... {sentence[-200:]}"


class InputError(ScenewrightError, ValueError):
    """A file or argument given by the user cannot be used; the message names it and the fix."""


class WeightsError(ScenewrightError):
    """Weights are missing, damaged, or do not fit the network they are meant for."""


class MissingExtraError(ScenewrightError, ImportError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional part: pip install 'scenewright[{extra}]'.")
        self.extra = extra


class EmptyStructureError(ScenewrightError):
    """A sampler or decoder produced no voxel, so there is no object to build."""


class OutOfMemoryBudgetError(ScenewrightError):
    """The work cannot fit the memory ceiling the user set."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, in any of the forms that the libraries below give it."""
    torch = sys.modules.get("torch")  # not imported for this: commands without torch must stay quick
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError | ImportError | OSError | SystemError) and bool(
        _OUT_OF_MEMORY.search(str(error))
    )
