"""Shared by every system that turns pictures with masks into a scene, before and after its structure stage.

A system brings a `StructureStage` (structures.py): voxels of every object and where they belong. The rest is here:
latents and decoding with either backbone, finishing, placing, settling, re-rolling, the run manifest.
"""
