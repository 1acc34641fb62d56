"""One model file (GLB, glTF or OBJ) as meshes: read from bytes, with only the files of its own archive in reach.

A reference that leaves the archive is refused; a material or texture that is missing becomes a flag and a plain grey.
Frame: files are y up with the front towards +z (glTF's convention), results z up with the front towards -y.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import unquote

import torch
from PIL import Image

from scenewright.errors import InputError
from scenewright.files import reading
from scenewright.geometry.mesh.parts import vertex_normals
from scenewright.io.glb import parse_glb
from scenewright.io.images import pixels_of
from scenewright.io.obj import parse_obj
from scenewright.types import Mesh, PBRMaterial, merged_mesh

__all__ = ["MAX_FACES", "MODEL_SUFFIXES", "archive_path", "read_model"]

MODEL_SUFFIXES = (".glb", ".gltf", ".obj")
MAX_FACES = 2_000_000
_MAX_TEXTURE_SIDE = 1024


def archive_path(folder: str, reference: str) -> str:
    """A reference found in a file of `folder`, as a path inside the archive.

    Raises:
        InputError: the reference is absolute or climbs out of the archive.
    """
    cleaned = reference.replace("\\", "/").strip()
    if cleaned.startswith("/") or re.match(r"^[a-zA-Z]:|^[a-zA-Z][a-zA-Z0-9+.-]*://", cleaned):
        raise InputError(f"Expected a reference inside the archive, got '{reference}'; nothing outside is read.")
    path = posixpath.normpath(posixpath.join(folder, cleaned))
    if path == ".." or path.startswith("../"):
        raise InputError(f"Expected a reference inside the archive, got '{reference}'; nothing outside is read.")
    return path


class _ArchiveFiles:
    """Answers the readers' requests for other files from a dictionary, never from the disk; notes what is missing."""

    def __init__(self, folder: str, files: Mapping[str, bytes]) -> None:
        self.folder = folder
        self.files = files
        self.missing: list[str] = []
        self.escapes: list[str] = []

    def file(self, uri: str) -> bytes:
        """Content of the file that a model names.

        Raises:
            InputError: the archive does not have it.
        """
        name = unquote(uri)
        try:
            path = archive_path(self.folder, name)
        except InputError:
            self.escapes.append(name)
            raise
        key: str | None = path
        if path not in self.files:
            key = {known.lower(): known for known in self.files}.get(path.lower())
        if key is None:
            self.missing.append(name)
            raise InputError(f"it refers to '{name}', which is not there")
        return self.files[key]


def read_model(name: str, files: Mapping[str, bytes]) -> tuple[tuple[Mesh, ...], frozenset[str]]:
    """Meshes of the model `name` and flags about what was wrong with it.

    Args:
        name: path of the model inside `files`.
        files: the archive; nothing else is ever opened.

    Returns:
        `(parts, flags)`: one mesh per material in the file's own unit, z up.

    Raises:
        InputError: unknown suffix, unreadable, no faces, too many faces, or coordinates that are not finite.
    """
    suffix = posixpath.splitext(name)[1].lower()
    if suffix not in MODEL_SUFFIXES:
        raise InputError(f"Expected a model ending in {', '.join(MODEL_SUFFIXES)}, got '{name}'; convert it first.")
    parts, flags = _read_obj(name, files) if suffix == ".obj" else (_read_gltf(name, files), frozenset())
    num_faces = sum(len(part.faces) for part in parts)
    if not num_faces:
        raise InputError(f"Expected a model with faces, got none in '{name}'; export it again with geometry.")
    if num_faces > MAX_FACES:
        raise InputError(f"'{name}' has {num_faces:,} faces, at most {MAX_FACES:,} are read; simplify it first.")
    for part in parts:
        if not torch.isfinite(part.vertices[part.faces.flatten()]).all():
            raise InputError(f"Expected finite coordinates in '{name}', got NaN or infinity; repair the model first.")
    return parts, flags


def _read_gltf(name: str, files: Mapping[str, bytes]) -> tuple[Mesh, ...]:
    beside = _ArchiveFiles(posixpath.dirname(name), files)
    parts = []
    for item in parse_glb(files[name], name=f"'{name}'", read=beside.file).objects:
        matrix = item.world_from_object
        turn = matrix[:3, :3] / matrix[:3, :3].det().abs().clamp_min(1e-30) ** (1 / 3)
        for part in item.parts:
            if len(part.faces):
                vertices = part.vertices @ matrix[:3, :3].T + matrix[:3, 3]
                normals = None if part.vertex_normals is None else part.vertex_normals @ turn.T
                parts.append(replace(part, vertices=vertices, vertex_normals=normals, faces=part.faces.long()))
    return tuple(parts)


def _read_obj(name: str, files: Mapping[str, bytes]) -> tuple[tuple[Mesh, ...], frozenset[str]]:
    content = files[name]
    lines = content.count(b"\nf ")
    if lines > MAX_FACES:
        raise InputError(f"'{name}' has {lines:,} faces, at most {MAX_FACES:,} are read; simplify it first.")
    beside = _ArchiveFiles(posixpath.dirname(name), files)
    with reading(name, "an OBJ model", "export it again"):
        scene, problems = parse_obj(content, name, beside.file)
    if beside.escapes:
        raise InputError(f"'{name}' refers to '{beside.escapes[0]}', outside its archive; nothing outside is read.")
    flags = {"reference_missing"} if beside.missing else set()
    if len(problems) > len(beside.missing):
        flags.add("texture_unreadable")
    by_material: dict[int, list[Mesh]] = {}
    for part in (part for item in scene.objects for part in item.parts if len(part.faces)):
        by_material.setdefault(id(part.material), []).append(part)
    parts = []
    for group in by_material.values():
        part = merged_mesh(group)
        normals = vertex_normals(part) if part.vertex_normals is None else part.vertex_normals
        parts.append(replace(part, vertex_normals=normals, material=_catalogue_material(part, flags)))
    return tuple(parts), frozenset(flags)


def _catalogue_material(part: Mesh, flags: set[str]) -> PBRMaterial:
    """The part's material as catalogues mean it: seen from both sides, its texture at most `_MAX_TEXTURE_SIDE` wide."""
    if part.material is None:
        return PBRMaterial(base_color_factor=(0.6, 0.6, 0.6, 1.0), roughness_factor=0.8, double_sided=True)
    texture = part.material.base_color_texture
    if texture is not None and part.uv is None:
        flags.add("texture_without_uv")
        texture = None
    if texture is not None and max(texture.shape[:2]) > _MAX_TEXTURE_SIDE:
        picture = Image.fromarray(texture.numpy())
        picture.thumbnail((_MAX_TEXTURE_SIDE, _MAX_TEXTURE_SIDE))
        texture = pixels_of(picture, picture.mode)
    return replace(part.material, base_color_texture=texture, double_sided=True)
