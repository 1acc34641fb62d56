"""Baseline without learning: every mask becomes an upright box on the floor of a known camera."""

from scenewright.systems.baselines.cuboid.placement import box_from_mask
from scenewright.systems.baselines.cuboid.system import CuboidSystem

__all__ = ["CuboidSystem", "box_from_mask"]
