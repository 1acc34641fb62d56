"""Parametric furniture and objects: closed meshes with PBR materials, deterministic by seed."""

from scenewright.data.parametric.families import FAMILIES, Family, make_object

__all__ = ["FAMILIES", "Family", "make_object"]
