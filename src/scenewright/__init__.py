"""Scenewright: pictures of a place in, a 3D scene of separate, textured, usable objects out."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Each name is imported when it is first asked for: `scenewright --help` must not wait for torch.
# Type checkers read __init__.pyi.
_HOMES = {
    "Camera": "scenewright.types",
    "Gaussians": "scenewright.types",
    "Mesh": "scenewright.types",
    "ObjectMasks": "scenewright.types",
    "PBRMaterial": "scenewright.types",
    "Scene": "scenewright.types",
    "SceneObject": "scenewright.types",
    "ScenewrightError": "scenewright.errors",
    "View": "scenewright.types",
    "convert": "scenewright.io.conversion",
    "evaluate": "scenewright.evaluation.evaluating",
    "find_masks": "scenewright.encoders.masks.finding",
    "generate": "scenewright.runs.in_memory",
    "load": "scenewright.systems.loading",
    "load_scene": "scenewright.io.scene_file",
    "render": "scenewright.rendering.still",
}
__all__ = [
    "Camera",
    "Gaussians",
    "Mesh",
    "ObjectMasks",
    "PBRMaterial",
    "Scene",
    "SceneObject",
    "ScenewrightError",
    "View",
    "convert",
    "evaluate",
    "find_masks",
    "generate",
    "load",
    "load_scene",
    "render",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scenewright' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
