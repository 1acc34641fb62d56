"""What a flow is sampled with."""

from dataclasses import dataclass, replace

from scenewright.samplers.flow import SIGMA_MIN

__all__ = ["SamplerConfig"]


@dataclass(frozen=True)
class SamplerConfig:
    """Euler sampling with guidance in an interval; defaults are TRELLIS-image-large's for both of its stages.

    `guidance_strength` is the s of (1 + s) v_cond - s v_uncond; `guidance_interval` is in flow time, after rescaling.
    """

    steps: int = 25
    guidance_strength: float = 5.0
    guidance_interval: tuple[float, float] = (0.5, 1.0)
    rescale_t: float = 3.0
    sigma_min: float = SIGMA_MIN

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"A sampler needs at least one step, got {self.steps}.")
        if self.rescale_t <= 0:
            raise ValueError(f"The time rescaling must be positive, got {self.rescale_t}.")

    def overridden(self, *, steps: int | None = None, guidance_strength: float | None = None) -> "SamplerConfig":
        """This configuration with what a user has set; None keeps what the weights were published with."""
        return replace(
            self,
            steps=self.steps if steps is None else steps,
            guidance_strength=self.guidance_strength if guidance_strength is None else guidance_strength,
        )
