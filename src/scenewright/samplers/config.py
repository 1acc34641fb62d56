"""Settings of sampling a flow, and the part of them that a user may change."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from scenewright.errors import InputError
from scenewright.samplers.flow import SIGMA_MIN
from scenewright.samplers.guidance import Velocity, guided
from scenewright.samplers.schedule import rescaled_times

__all__ = ["QUALITY_RATIO", "Quality", "SamplerConfig", "SamplingOverride", "quality_named"]

Quality = Literal["draft", "standard", "best"]
"""Pains that are taken: half as many as are usual, as many, or twice as many where more are of use."""

QUALITY_RATIO: dict[Quality, float] = {"draft": 0.5, "standard": 1.0, "best": 2.0}


def quality_named(name: str) -> Quality:
    """The quality of that name.

    Raises:
        InputError: there is none.
    """
    for quality in QUALITY_RATIO:
        if quality == name:
            return quality
    raise InputError(f"Expected --quality {', '.join(QUALITY_RATIO)}; got '{name}'.")


# A sampler of fewer steps was made for few, and keeps them; one of so many gains nothing by more.
_FEW_STEPS = 8


@dataclass(frozen=True)
class SamplingOverride:
    """Changes of a user to published sampling; None keeps what the weights were published with.

    `guidance_strength` is the s of (1 + s) v_cond - s v_uncond; 0 is no guidance. `quality` halves or doubles the
    steps that are not given, guided in the same interval of flow time.
    """

    steps: int | None = None
    guidance_strength: float | None = None
    quality: Quality = "standard"

    @property
    def unguided(self) -> "SamplingOverride":
        """The same for a sampler whose guidance is not the user's."""
        return replace(self, guidance_strength=None)

    def samples(self, usual: int) -> int:
        """The number of samples to agree on, where so many are usual."""
        return max(1, round(QUALITY_RATIO[self.quality] * usual))


@dataclass(frozen=True)
class SamplerConfig:
    """Euler sampling with guidance in an interval; defaults are TRELLIS-image-large's for both of its stages.

    Attributes:
        guidance_strength: the s of (1 + s) v_cond - s v_uncond; 0 is no guidance. Publishers who write
            g v_cond + (1 - g) v_uncond instead (TRELLIS.2 and what is built on it) mean s = g - 1; their numbers are
            converted where their files are read.
        guidance_interval: in flow time, after rescaling; both ends are guided.
        guidance_rescale: how much of the guided clean sample is brought to the deviation of the conditional one.
    """

    steps: int = 25
    guidance_strength: float = 5.0
    guidance_interval: tuple[float, float] = (0.5, 1.0)
    rescale_t: float = 3.0
    sigma_min: float = SIGMA_MIN
    guidance_rescale: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"A sampler needs at least one step, got {self.steps}.")
        if self.rescale_t <= 0:
            raise ValueError(f"The time rescaling must be positive, got {self.rescale_t}.")

    @property
    def times(self) -> Float[ndarray, " steps_plus_1"]:
        """Flow times of the steps, from 1 (noise) to 0 (data)."""
        return rescaled_times(self.steps, self.rescale_t)

    def guided(
        self,
        conditional: Velocity,
        unconditional: Velocity,
        deviation: Callable[[Tensor], Tensor] | None = None,
    ) -> Velocity:
        """The velocity that is integrated; see `samplers.guidance.guided`, also for `deviation`."""
        return guided(
            conditional,
            unconditional,
            self.guidance_strength,
            self.guidance_interval,
            rescale=self.guidance_rescale,
            deviation=deviation,
            sigma_min=self.sigma_min,
        )

    def overridden(self, override: SamplingOverride) -> "SamplerConfig":
        """This configuration with what the user has set."""
        steps, strength = override.steps, override.guidance_strength
        if steps is None:
            fewest = _FEW_STEPS + 1 if override.quality == "best" else _FEW_STEPS
            steps = self.steps if self.steps < fewest else override.samples(self.steps)
        return replace(self, steps=steps, guidance_strength=self.guidance_strength if strength is None else strength)
