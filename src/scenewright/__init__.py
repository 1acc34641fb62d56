"""Scenewright: pictures of a place in, a 3D scene of separate, textured, usable objects out."""

from importlib import import_module
from typing import Any

from scenewright.errors import ScenewrightError
from scenewright.types import Camera, Gaussians, Mesh, PBRMaterial, Scene, SceneObject

__all__ = [
    "Camera",
    "Gaussians",
    "Mesh",
    "PBRMaterial",
    "Scene",
    "SceneObject",
    "ScenewrightError",
    "generate",
    "load",
]
__version__ = "0.1.0"

# Imported when first asked for, so that `import scenewright` stays quick.
_LAZY = {"generate": "scenewright.presets.generate", "load": "scenewright.presets.loading"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'scenewright' has no attribute '{name}'")
    return getattr(import_module(_LAZY[name]), name)
