"""The table of file formats. Reading, writing and the commands ask it; a new format is one entry here.

Every format reads and writes a `Scene`. Of two formats with one suffix the first that fits is taken: a .ply is splats
where it has, or the scene has, splats; else a mesh.
"""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from scenewright.errors import InputError
from scenewright.io.atomic import check_writable
from scenewright.io.format import Content, Format
from scenewright.io.gaussian_ply import SPLAT_PLY
from scenewright.io.glb import GLB, GLTF
from scenewright.io.mesh_file import PLY, STL
from scenewright.io.mjcf import MJCF
from scenewright.io.obj import OBJ
from scenewright.io.urdf import URDF
from scenewright.io.usd import USD_FORMATS
from scenewright.io.voxel_file import VOXEL_NPZ, VXZ
from scenewright.types import PBRMaterial, Scene

__all__ = ["FORMATS", "check_target", "contents", "readable", "readable_suffixes", "suffixes", "writable"]

logger = logging.getLogger(__name__)

_WITH_FILES_BESIDE = (".gltf", ".obj", ".xml", ".urdf", ".usda", ".usdc", ".usdz")
# A name that is not UTF-8 has surrogates in the place of its bytes.
_UNFIT = re.compile(r"[\0-\x1f\x7f\\:\ud800-\udfff]")

FORMATS = (GLB, GLTF, OBJ, SPLAT_PLY, PLY, STL, VXZ, VOXEL_NPZ, MJCF, URDF, *USD_FORMATS)


def suffixes(*holds: Content) -> tuple[str, ...]:
    """Suffixes of the formats that hold any of these, in the table's order."""
    return tuple(dict.fromkeys(entry.suffix for entry in FORMATS if entry.holds.intersection(holds)))


def readable_suffixes(*holds: Content) -> tuple[str, ...]:
    """Those of `suffixes` whose files can be read."""
    known = (entry for entry in FORMATS if entry.reader is not None and entry.holds.intersection(holds))
    return tuple(dict.fromkeys(entry.suffix for entry in known))


def readable(path: str | Path) -> Format:
    """The format that a file is in.

    Raises:
        InputError: no format has this suffix, or the file is missing or damaged where its content decides.
    """
    path = Path(path)
    for entry in FORMATS:
        if entry.suffix == path.suffix.lower() and entry.recognises(path):
            return entry
    known = ", ".join(readable_suffixes("meshes", "splats"))
    raise InputError(f"Expected a scene as {known}; got '{path.name}'. Export it as one of these.")


def writable(path: str | Path, scene: Scene) -> Format:
    """The format to write a scene to `path` in; warns of what the format does not keep.

    Raises:
        InputError: no format has this suffix, or none that does holds what the scene is made of.
    """
    path, has = Path(path), contents(scene)
    entries = [entry for entry in FORMATS if entry.suffix == path.suffix.lower()]
    if not entries:
        raise InputError(
            f"Cannot write a scene as '{path.name}'; use {', '.join(suffixes('meshes'))} for meshes"
            f" or {', '.join(suffixes('splats'))} for splats."
        )
    needed = has & {"meshes", "splats"}
    chosen = next((entry for entry in entries if not needed or entry.holds & needed), None)
    if chosen is None:
        (kind,) = needed
        raise InputError(
            f"The scene has {kind} only, which '{path.name}' cannot hold; write {' or '.join(suffixes(kind))}."
        )
    if chosen.suffix in _WITH_FILES_BESIDE and _UNFIT.search(path.stem):
        raise InputError(
            f"'{path.name}' names files beside it after itself; give it a name of letters in UTF-8, without control "
            "characters, colons and backslashes."
        )
    if lost := sorted(has - chosen.holds - {"splats", "meshes"}):
        logger.warning("'%s' (%s) does not keep: %s.", path.name, chosen.name, ", ".join(lost))
    return chosen


def contents(scene: Scene) -> frozenset[Content]:
    """The contents of a scene, in the words of `Format.holds`."""
    parts = [part for item in scene.objects for part in item.parts]
    materials = [part.material for part in parts if part.material is not None]
    has: dict[Content, bool] = {
        "meshes": bool(parts),
        "splats": any(item.splats is not None for item in scene.objects),
        "objects": len(scene.objects) > 1,
        "materials": any(material != PBRMaterial(name=material.name) for material in materials),
        "textures": any(texture is not None for material in materials for texture in material.textures),
        "colors": any(part.vertex_colors is not None for part in parts),
        "cameras": bool(scene.cameras),
        "physics": any(item.physics is not None for item in scene.objects),
    }
    return frozenset(name for name, present in has.items() if present)


def check_target(
    path: Path, option: str, *allowed: str, beside: Iterable[str] = (), inputs: Iterable[str | Path] = ()
) -> None:
    """Before minutes of work: refuse a file that cannot be written in the end.

    Args:
        option: of the command line, for messages.
        allowed: suffixes to choose from.
        beside: endings that follow the file's stem in the names of files that will be written with it.
        inputs: files that are read, which none of these may replace.

    Raises:
        InputError: another suffix, a folder that does not exist or cannot be written, a name that is too long, or one
            of the inputs.
    """
    if path.suffix.lower() not in allowed:
        raise InputError(f"Expected {option} to end in {' or '.join(allowed)}, got '{path.name or path}'.")
    if not path.absolute().parent.is_dir():
        raise InputError(f"The folder of '{path}' does not exist; create it first.")
    check_writable(path, *(path.with_name(path.stem + ending) for ending in beside), inputs=inputs)
