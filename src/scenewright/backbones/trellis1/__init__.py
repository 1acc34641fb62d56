"""TRELLIS (v1): sparse structure, structured latents, and decoders to Gaussians, meshes and radiance fields."""

from scenewright.backbones.trellis1.spec import SPEC

__all__ = ["SPEC"]
