"""Single meshes as PLY and STL, read and written by trimesh: triangles and, in PLY, vertex colours.

These formats do not say which axis is up; by custom it is z, so that coordinates stay as they are.
"""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from scenewright.errors import InputError
from scenewright.files import read_file, reading, spend
from scenewright.geometry.color import linear_from_srgb, srgb_from_linear
from scenewright.io.atomic import write_bytes
from scenewright.io.format import Format
from scenewright.types import Mesh, Scene, SceneObject, merged_mesh

__all__ = ["MAX_BYTES", "PLY", "STL", "load_mesh", "save_mesh"]

MAX_BYTES = 1 << 30
# A parser's lists and copies of a mesh in text.
_BYTES_PER_BYTE = 24


def load_mesh(path: str | Path) -> Mesh:
    """The mesh in a PLY or STL file; stored 8-bit colours become linear.

    Raises:
        InputError: missing, damaged, too large, of another format, or without triangles.
    """
    path = Path(path)
    suffix = _suffix(path)
    with reading(path, f"a {suffix[1:].upper()} mesh", "export it again"):
        content = read_file(path, max_bytes=MAX_BYTES)
        spend(_BYTES_PER_BYTE * len(content), "its geometry")
        return _mesh_of(content, path, suffix)


def _mesh_of(content: bytes, path: Path, suffix: str) -> Mesh:
    import trimesh

    if suffix == ".ply" and b"end_header" in content and b"element face" not in content.split(b"end_header")[0]:
        raise InputError(f"'{path}' holds no triangles; export a mesh with faces.")
    try:
        loaded = trimesh.load_mesh(io.BytesIO(content), file_type=suffix[1:], process=False)
        vertices, faces = np.asarray(loaded.vertices, np.float32), np.asarray(loaded.faces, np.int64)
        rgba = np.asarray(loaded.visual.vertex_colors, np.float32) if loaded.visual.kind == "vertex" else None
    except Exception as error:  # trimesh raises many kinds for damaged files
        raise InputError(f"'{path}' is not a readable {suffix[1:].upper()} mesh ({error}); export it again.") from error
    if not len(faces):
        raise InputError(f"'{path}' holds no triangles; export a mesh with faces.")
    shapes_fit = vertices.shape[1:] == (3,) and faces.shape[1:] == (3,)
    if rgba is not None:
        shapes_fit &= rgba.shape == (len(vertices), 4)
    if not (shapes_fit and faces.min() >= 0 and faces.max() < len(vertices) and np.isfinite(vertices).all()):
        raise InputError(f"'{path}' has faces or vertices that are damaged; export it again.")
    colors = None
    if rgba is not None:
        encoded = torch.from_numpy(rgba / 255)
        colors = torch.cat([linear_from_srgb(encoded[:, :3]), encoded[:, 3:]], dim=1)
    return Mesh(torch.from_numpy(vertices), torch.from_numpy(faces), vertex_colors=colors)


def save_mesh(mesh: Mesh, path: str | Path) -> Path:
    """Write the mesh's triangles (and vertex colours, in PLY) to `path` atomically; returns the path.

    Raises:
        InputError: unknown suffix, or the folder cannot be written.
    """
    import trimesh

    path = Path(path)
    suffix = _suffix(path)
    vertices = mesh.vertices.detach().cpu().double().numpy()
    colors = None
    if mesh.vertex_colors is not None:
        rgba = mesh.vertex_colors.detach().cpu().float()
        encoded = torch.cat([srgb_from_linear(rgba[:, :3]), rgba[:, 3:].clamp(0, 1)], dim=1)
        colors = (encoded * 255).round().to(torch.uint8).numpy()
    exported = trimesh.Trimesh(vertices, mesh.faces.cpu().numpy(), vertex_colors=colors, process=False).export(
        file_type=suffix[1:]
    )
    return write_bytes(path, exported.encode() if isinstance(exported, str) else exported)


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".ply", ".stl"):
        raise InputError(f"Expected a mesh file (.ply, .stl), got '{path.name}'.")
    return suffix


def _load(path: Path) -> Scene:
    return Scene((SceneObject(path.stem, (load_mesh(path),)),))


def _save_ply(scene: Scene, path: Path) -> Path:
    parts = [_painted(part) for item in scene.objects for part in item.placed_parts()]
    colors = [part.vertex_colors for part in parts if part.vertex_colors is not None]
    is_plain = all(bool((values == 1).all()) for values in colors)
    return save_mesh(merged_mesh([replace(part, vertex_colors=None) for part in parts] if is_plain else parts), path)


def _painted(mesh: Mesh) -> Mesh:
    """The mesh with its material's base colour in its vertex colours, as far as it is not in a texture."""
    factor = torch.tensor((1.0, 1.0, 1.0, 1.0) if mesh.material is None else mesh.material.base_color_factor)
    factor = factor.to(mesh.vertices)
    colors = factor.expand(len(mesh.vertices), 4) if mesh.vertex_colors is None else mesh.vertex_colors * factor
    return replace(mesh, vertex_colors=colors, material=None, uv=None)


PLY = Format("PLY", ".ply", frozenset({"meshes", "colors"}), _load, _save_ply)
STL = Format("STL", ".stl", frozenset({"meshes"}), _load, lambda scene, path: save_mesh(scene.to_mesh(), path))
