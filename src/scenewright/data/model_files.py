"""One model file (GLB, glTF or OBJ) as meshes: read from bytes, with only the files of its own archive in reach.

A reference that leaves the archive is refused; a material or texture that is missing becomes a flag and a plain grey.
Frame: files are y up with the front towards +z (glTF's convention), results z up with the front towards -y.
"""

import io
import logging
import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import numpy as np
import torch
from PIL import Image

from scenewright.errors import InputError
from scenewright.geometry.color import linear_from_srgb_array
from scenewright.geometry.frames import zup_from_yup
from scenewright.io.glb import parse_glb
from scenewright.types import Mesh, PBRMaterial

__all__ = ["MAX_FACES", "MODEL_SUFFIXES", "archive_path", "read_model", "z_up"]

logger = logging.getLogger(__name__)

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
    """Answers the parsers' requests for other files from a dictionary, never from the disk; notes missing ones."""

    def __init__(self, folder: str, files: Mapping[str, bytes]) -> None:
        self.folder = folder
        self.files = files
        self.missing: list[str] = []
        self.escapes: list[str] = []

    def __getitem__(self, name: str) -> bytes:
        return self.get(name)

    def get(self, name: str) -> bytes:
        return self.files[self._key(name)]

    def _key(self, name: str) -> str:
        try:
            path = archive_path(self.folder, name)
        except InputError:
            self.escapes.append(name)
            raise KeyError(name) from None
        lowered = {key.lower(): key for key in self.files}
        key = lowered.get(path.lower())
        if key is None:
            self.missing.append(name)
            raise KeyError(name)
        return key

    def file(self, uri: str) -> bytes:
        """Content of the file that a glTF names.

        Raises:
            InputError: the archive does not have it.
        """
        try:
            return self.files[self._key(unquote(uri))]
        except KeyError:
            raise InputError(f"it refers to '{uri}', which is not there") from None

    def keys(self) -> list[str]:
        return list(self.files)

    def namespaced(self, namespace: str) -> "_ArchiveFiles":
        return self


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
    import trimesh

    content = files[name]
    lines = content.count(b"\nf ")
    if lines > MAX_FACES:
        raise InputError(f"'{name}' has {lines:,} faces, at most {MAX_FACES:,} are read; simplify it first.")
    reach = _ArchiveFiles(posixpath.dirname(name), files)
    try:
        loaded = trimesh.load(io.BytesIO(content), file_type="obj", resolver=reach, process=False)
        scene = loaded if isinstance(loaded, trimesh.Scene) else trimesh.Scene(loaded)
        geometries = [g for g in scene.dump(concatenate=False) if isinstance(g, trimesh.Trimesh) and len(g.faces)]
    except Exception as error:  # the parser raises many kinds on malformed text
        raise InputError(
            f"Cannot read the model '{name}' ({type(error).__name__}: {error}); is the file whole?"
        ) from error
    if reach.escapes:
        raise InputError(f"'{name}' refers to '{reach.escapes[0]}', outside its archive; nothing outside is read.")
    flags = {"reference_missing"} if reach.missing else set()
    parts = []
    for geometry in geometries:
        material, uv = _phong_material(geometry.visual, flags)
        mesh = Mesh(
            vertices=torch.from_numpy(np.array(geometry.vertices, dtype=np.float32)),
            faces=torch.from_numpy(np.array(geometry.faces, dtype=np.int64)),
            vertex_normals=torch.from_numpy(np.array(geometry.vertex_normals, dtype=np.float32)),
            uv=None if uv is None else torch.from_numpy(uv),
            material=material,
        )
        parts.append(z_up(mesh))
    return tuple(parts), frozenset(flags)


def z_up(mesh: Mesh) -> Mesh:
    """A y-up mesh (front +z) in our frame: (x, y, z) -> (x, -z, y)."""
    normals = mesh.vertex_normals
    turned_normals = None if normals is None else zup_from_yup(normals)
    return replace(mesh, vertices=zup_from_yup(mesh.vertices), vertex_normals=turned_normals)


def _phong_material(visual: Any, flags: set[str]) -> tuple[PBRMaterial, np.ndarray | None]:
    """The material and the texture coordinates (v down) of an OBJ, converted by rule from its Phong numbers."""
    source = getattr(visual, "material", None)
    uv = getattr(visual, "uv", None)
    if source is None or not hasattr(source, "diffuse"):
        return PBRMaterial(base_color_factor=(0.6, 0.6, 0.6, 1.0), roughness_factor=0.8, double_sided=True), None
    rgba = np.asarray(source.diffuse, dtype=np.float64) / 255
    rgba[:3] = linear_from_srgb_array(rgba[:3])
    image = source.image
    if image is not None:
        rgba[:3] = 1.0  # a texture replaces Kd, as in the catalogues' own viewer
    texture = None
    if image is not None and uv is not None and len(uv):
        texture = _texture(image, flags)
    elif image is not None:
        flags.add("texture_without_uv")
    flipped = None
    if texture is not None:
        flipped = np.asarray(uv, dtype=np.float32) * np.array([1, -1], np.float32) + np.array([0, 1], np.float32)
    material = PBRMaterial(
        base_color_factor=(float(rgba[0]), float(rgba[1]), float(rgba[2]), float(rgba[3])),
        roughness_factor=float(np.clip(1 - (source.glossiness or 0) / 500, 0.2, 0.9)),
        base_color_texture=texture,
        alpha_mode="BLEND" if rgba[3] < 0.999 else "OPAQUE",
        double_sided=True,
        name=str(getattr(source, "name", "") or ""),
    )
    return material, flipped


def _texture(image: Image.Image, flags: set[str]) -> torch.Tensor | None:
    try:
        image.thumbnail((_MAX_TEXTURE_SIDE, _MAX_TEXTURE_SIDE))
        has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        return torch.from_numpy(np.array(image.convert("RGBA" if has_alpha else "RGB")))
    except Exception as error:  # Pillow raises many kinds on damaged files
        logger.warning("texture skipped: %s", error)
        flags.add("texture_unreadable")
        return None
