"""The published ways to an object at each resolution: which flows, on which grids, from which pictures.

Source: microsoft/TRELLIS.2 trellis2/pipelines/trellis2_image_to_3d.py (`run`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scenewright.errors import InputError

__all__ = ["PLANS", "ObjectPlan", "PlanName", "plan_named"]

PlanName = Literal["512", "1024", "1024_cascade", "1536_cascade"]


@dataclass(frozen=True)
class ObjectPlan:
    """Which networks make an object: the first shape flow, whether a second one refines it, and the target."""

    structure_resolution: int
    first_resolution: int
    target_resolution: int

    @property
    def is_cascade(self) -> bool:
        return self.target_resolution > self.first_resolution

    @property
    def condition_sizes(self) -> tuple[int, ...]:
        """Sides of the pictures whose tokens the plan needs; the structure is always sampled from 512."""
        return (512,) if self.flow_size == 512 else (512, self.flow_size)

    @property
    def flow_size(self) -> int:
        """Which flows make the final latents; those for 1024 serve everything above, too."""
        return min(self.target_resolution, 1024)


PLANS: Mapping[PlanName, ObjectPlan] = {
    "512": ObjectPlan(32, 512, 512),
    "1024": ObjectPlan(64, 1024, 1024),
    "1024_cascade": ObjectPlan(32, 512, 1024),
    "1536_cascade": ObjectPlan(32, 512, 1536),
}


def plan_named(name: str) -> ObjectPlan:
    """The plan of that name.

    Raises:
        InputError: there is none.
    """
    for known, plan in PLANS.items():
        if known == name:
            return plan
    raise InputError(f"Expected a plan out of {', '.join(PLANS)}, got '{name}'.")
