"""The errors a caller may want to catch; each is one clear sentence naming the cause and the fix.

    ScenewrightError
    +-- InputError(ValueError)          a file or argument the user gave cannot be used
    +-- WeightsError                    weights are missing, damaged, or do not fit the network
    +-- MissingExtraError(ImportError)  an optional part of the installation is needed
    +-- EmptyStructureError             a sampler or decoder produced no voxel, so there is no object
    +-- OutOfMemoryBudgetError          the work cannot fit the memory ceiling the user set

The command line prints the sentence and exits with code 2 for every one of them.
"""

__all__ = [
    "EmptyStructureError",
    "InputError",
    "MissingExtraError",
    "OutOfMemoryBudgetError",
    "ScenewrightError",
    "WeightsError",
]


class ScenewrightError(Exception):
    """Base of every error that Scenewright raises on purpose."""


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
