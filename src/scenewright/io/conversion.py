"""Any file format of scenes to any other.

Meshes keep objects, materials and placements as far as the target holds them (`formats`). To O-Voxel all objects become
one, fitted to the unit cube without its size and place; between two files of O-Voxel nothing changes. Splats have no
surface and meshes are no splats, so that these are refused.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from scenewright.errors import InputError
from scenewright.geometry.bodies.colliders import ColliderKind
from scenewright.io.formats import FORMATS, readable, writable
from scenewright.io.programs import program_named
from scenewright.io.rigid_bodies import with_physics
from scenewright.io.voxel_file import DEFAULT_RESOLUTION, load_ovoxel, save_ovoxel
from scenewright.io.vxz import VxzOptions
from scenewright.progress import SILENT, Progress, within
from scenewright.types import Scene

__all__ = ["collider_kind", "convert"]

logger = logging.getLogger(__name__)


def convert(
    source: str | Path,
    target: str | Path,
    *,
    resolution: int = DEFAULT_RESOLUTION,
    compression: str = "lzma",
    colliders: str = "hull",
    welded: bool = False,
    program: str | None = None,
    change: Callable[[Scene], Scene] | None = None,
    writer: Callable[[Scene, Path], Path] | None = None,
    report: Callable[[str], None] = logger.info,
    progress: Progress = SILENT,
) -> Path:
    """Write the scene of one file to another, in the format of the target's suffix; returns the target.

    Args:
        resolution: voxels per side, from meshes to O-Voxel.
        compression: of `.vxz` files: none, deflate, lzma or zstd.
        colliders: of files for simulators: hull, decomposition, box or none.
        welded: no object of such a file moves.
        program: writes it as this program reads it best (`io.programs`): front, unit and names.
        change: of the scene as its program wants it: profiles, settling.
        writer: writes the file, in place of its format's own writer.
        report: receives a sentence on every object of such a file: material, mass, colliders and their error.
        progress: receives the stage of a conversion from meshes to O-Voxel, or of colliders.

    Raises:
        InputError: an unknown suffix, a damaged file, or a target that cannot hold what the source is made of.
    """
    source, target = Path(source), Path(target)
    options = VxzOptions(compression=compression)
    kind = collider_kind(colliders)
    read = readable(source)
    to_voxels = any(entry.suffix == target.suffix.lower() and "voxels" in entry.holds for entry in FORMATS)
    if to_voxels and "voxels" in read.holds:
        return save_ovoxel(load_ovoxel(source), target, options)
    chosen = None if program is None else program_named(program)
    scene = read.read(source)
    if chosen is not None:
        scene = chosen.prepared(scene, target)
    if change is not None:
        scene = change(scene)
    write = writable(target, scene)
    if "physics" in write.holds:
        scene, notes = with_physics(scene, kind, welded=welded, progress=progress)
        for note in notes:
            report(note)
    if not to_voxels:
        return (writer or (chosen and chosen.writer(target)) or write.write)(scene, target)
    from scenewright.geometry.ovoxel.voxelize_object import object_to_ovoxel  # compiled kernels: slow to import

    parts = [part for item in scene.objects for part in item.placed_parts()]
    voxels = object_to_ovoxel(parts, resolution, progress=within(progress, f"voxels at {resolution}^3"))
    return save_ovoxel(voxels, target, options)


def collider_kind(name: str) -> ColliderKind:
    """The kind of colliders of that name.

    Raises:
        InputError: there is none.
    """
    kinds: dict[str, ColliderKind] = {kind: kind for kind in get_args(ColliderKind)}
    if name not in kinds:
        raise InputError(f"Expected colliders to be {', '.join(kinds)}; got '{name}'.")
    return kinds[name]
