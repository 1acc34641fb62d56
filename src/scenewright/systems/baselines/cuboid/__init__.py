"""Baseline without learning: every mask becomes an upright box on the floor of a known camera."""

from scenewright.systems.baselines.cuboid.placement import FloorBox, box_from_mask, world_from_unit_box
from scenewright.systems.baselines.cuboid.system import CuboidSystem

__all__ = ["CuboidSystem", "FloorBox", "box_from_mask", "world_from_unit_box"]
