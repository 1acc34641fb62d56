"""Options of generation: one type, made at the door and handed through to samplers and finishing."""

from dataclasses import dataclass, field

from scenewright.geometry.mesh.finish_options import FinishOverride
from scenewright.samplers.config import SamplingOverride

__all__ = ["DEFAULT", "GenerateOptions"]


@dataclass(frozen=True)
class GenerateOptions:
    """Choices of a user; defaults are what the weights were published with.

    Attributes:
        sampling: of every sampler; guidance of the structure and latent stages alone.
        max_memory_bytes: ceiling of the memory in use on the device, weights included; None is no ceiling.
        settle: rest the objects on the floor and out of each other.
        fit_layout: move objects into their masks and onto the floor (`assembly.layout_fit`); None is what the system
            asks for.
        finish: of every object's surface and textures.
    """

    sampling: SamplingOverride = field(default_factory=SamplingOverride)
    max_memory_bytes: int | None = None
    settle: bool = False
    fit_layout: bool | None = None
    finish: FinishOverride = field(default_factory=FinishOverride)


DEFAULT = GenerateOptions()
