"""TRELLIS (v1): sparse structure, structured latents, and decoders to Gaussians, meshes and radiance fields."""
