"""The description of a file format of scenes: its reader, its writer, and what it can hold.

Each format's module ends with its own entry; `formats` collects them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scenewright.types import Scene

__all__ = ["Content", "Format"]

Content = Literal["meshes", "splats", "voxels", "objects", "materials", "textures", "colors", "cameras"]
"""`objects`: several, each with its name; `colors`: one per vertex; `voxels`: meshes as O-Voxel."""


@dataclass(frozen=True)
class Format:
    """A file format. Several may share a suffix: `recognises` tells their files apart (called for existing files)."""

    name: str
    suffix: str
    holds: frozenset[Content]
    read: Callable[[Path], Scene]
    write: Callable[[Scene, Path], Path]
    recognises: Callable[[Path], bool] = lambda path: True
