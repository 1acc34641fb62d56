"""What a system must offer to be evaluated, and the table of the systems known by name.

A system is any object with a `name` and `generate(image, masks, *, camera, seed) -> Scene`: one object per mask, in the
order of the masks where it can (an object may carry its `mask` to say which one it answers), z up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.types import Camera, Scene

__all__ = ["SYSTEMS", "SceneSystem", "SystemEntry", "find_system"]


class SceneSystem(Protocol):
    """Turns one picture with object masks into a scene of placed objects."""

    @property
    def name(self) -> str: ...

    def generate(
        self, image: Image.Image, masks: Sequence[Bool[Tensor, "H W"]], *, camera: Camera | None = None, seed: int = 0
    ) -> Scene:
        """The scene; systems that need no camera ignore it."""
        ...


@dataclass(frozen=True)
class SystemEntry:
    """`build(preset, device)` makes the system; `preset` is None or the name given with --preset."""

    summary: str
    build: Callable[[str | None, str], SceneSystem]


def _cuboid(preset: str | None, device: str) -> SceneSystem:
    from scenewright.systems.cuboid import CuboidSystem

    return CuboidSystem()


def _retrieval(preset: str | None, device: str) -> SceneSystem:
    raise InputError(
        "The retrieval baseline needs a library of training models and an encoder; make one with "
        "scenewright.systems.retrieval.build_library and pass the system to scenewright.evaluation.evaluate_system."
    )


SYSTEMS: dict[str, SystemEntry] = {
    "cuboid": SystemEntry("baseline: every mask becomes a box on the floor of the true camera", _cuboid),
    "retrieval": SystemEntry("baseline: every mask is answered with the most similar training model", _retrieval),
}


def find_system(name: str) -> SystemEntry:
    """The entry of that name.

    Raises:
        InputError: there is none.
    """
    if name not in SYSTEMS:
        raise InputError(f"Expected a system out of {', '.join(SYSTEMS)}, got '{name}'.")
    return SYSTEMS[name]
