"""TRELLIS.2: O-Voxel latents with PBR materials."""
