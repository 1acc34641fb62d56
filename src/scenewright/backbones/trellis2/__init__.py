"""TRELLIS.2: O-Voxel latents with PBR materials."""

from scenewright.backbones.trellis2.spec import SPEC

__all__ = ["SPEC"]
