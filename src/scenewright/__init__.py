"""Scenewright: pictures of a place in, a 3D scene of separate, textured, usable objects out."""

from scenewright.errors import ScenewrightError
from scenewright.types import Camera, Gaussians, Mesh, PBRMaterial, Scene, SceneObject

__all__ = ["Camera", "Gaussians", "Mesh", "PBRMaterial", "Scene", "SceneObject", "ScenewrightError"]
__version__ = "0.1.0"
