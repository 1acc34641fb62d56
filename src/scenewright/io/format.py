"""The description of a file format of scenes: its reader, its writer, and what it can hold.

Each format's module ends with its own entry; `formats` collects them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scenewright.errors import InputError
from scenewright.files import MAX_NUMBER
from scenewright.types import Scene, SceneObject

__all__ = ["Content", "Format"]

Content = Literal["meshes", "splats", "voxels", "objects", "materials", "textures", "colors", "cameras", "physics"]
"""`objects`: several, each with its name; `colors`: one per vertex; `voxels`: meshes as O-Voxel."""


@dataclass(frozen=True)
class Format:
    """A file format. Several may share a suffix: `recognises` tells their files apart (called for existing files).

    A format without `reader` is only written.
    """

    name: str
    suffix: str
    holds: frozenset[Content]
    reader: Callable[[Path], Scene] | None
    write: Callable[[Scene, Path], Path]
    recognises: Callable[[Path], bool] = lambda path: True

    def read(self, path: Path) -> Scene:
        """The scene in the file.

        Raises:
            InputError: the file is missing or damaged, or the format is only written, or objects reach so far that
                single precision cannot compute with it.
        """
        if self.reader is None:
            raise InputError(
                f"'{path}' is {self.name}, which is only written; give the file that it was made from, such as a .glb."
            )
        scene = self.reader(path)
        for item in scene.objects:
            if _reach(item) > MAX_NUMBER:
                raise InputError(
                    f"Cannot read '{path.name}': object '{item.name}' reaches beyond {MAX_NUMBER:g}; rescale it and "
                    "export it again."
                )
        return scene


def _reach(item: SceneObject) -> float:
    """The largest finite coordinate of the object's box in the world; readers and users of a scene judge others."""
    if not any(len(part.vertices) for part in item.parts) and (item.splats is None or not len(item.splats.means)):
        return 0.0
    return float(item.world_bounds().abs().nan_to_num(0.0, 0.0).max())
