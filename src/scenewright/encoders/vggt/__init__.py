"""VGGT's aggregator: geometry-aware tokens of one or several frames of a scene."""

from scenewright.encoders.vggt.aggregator import VGGTAggregator, VGGTConfig

__all__ = ["VGGTAggregator", "VGGTConfig"]
