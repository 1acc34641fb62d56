"""Single meshes as OBJ, PLY and STL, read and written by trimesh; geometry and vertex colours, no materials.

These formats do not say which axis is up. `up="z"` keeps coordinates as they are; `up="y"` converts as for glTF. The
default follows custom: OBJ is y up, PLY and STL are z up.
"""

import io
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from scenewright.errors import InputError
from scenewright.geometry.color import linear_from_srgb, srgb_from_linear
from scenewright.geometry.frames import yup_from_zup, zup_from_yup
from scenewright.io.atomic import write_bytes
from scenewright.types import Mesh

__all__ = ["MESH_SUFFIXES", "load_mesh", "save_mesh"]

MESH_SUFFIXES = (".obj", ".ply", ".stl")
_MAX_BYTES = 1 << 30
Up = Literal["y", "z"]


def load_mesh(path: str | Path, *, up: Up | None = None) -> Mesh:
    """The mesh in an OBJ, PLY or STL file, z up; several objects become one, stored 8-bit colours become linear.

    Raises:
        InputError: missing, damaged, too large, of another format, or without triangles.
    """
    import trimesh

    path = Path(path)
    suffix = _suffix(path)
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise InputError(f"'{path}' has {size:,} bytes, more than the {_MAX_BYTES:,} allowed.")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"Mesh '{path}' does not exist; check the path.") from error
    except OSError as error:
        raise InputError(f"Mesh '{path}' cannot be read: {error.strerror}.") from error
    try:
        # Without a resolver an OBJ cannot make the reader open the files it names.
        loaded = trimesh.load_mesh(io.BytesIO(content), file_type=suffix[1:], process=False, skip_materials=True)
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
    points = torch.from_numpy(vertices)
    points = zup_from_yup(points) if (up or _custom(suffix)) == "y" else points
    return Mesh(points, torch.from_numpy(faces), vertex_colors=colors)


def save_mesh(mesh: Mesh, path: str | Path, *, up: Up | None = None) -> Path:
    """Write the mesh's triangles (and vertex colours, in OBJ and PLY) to `path` atomically; returns the path.

    Raises:
        InputError: unknown suffix, or the folder cannot be written.
    """
    import trimesh

    path = Path(path)
    suffix = _suffix(path)
    points = mesh.vertices.detach().cpu().double()
    vertices = (yup_from_zup(points) if (up or _custom(suffix)) == "y" else points).numpy()
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
    if suffix not in MESH_SUFFIXES:
        raise InputError(f"Expected a mesh file ({', '.join(MESH_SUFFIXES)}), got '{path.name}'.")
    return suffix


def _custom(suffix: str) -> Up:
    return "y" if suffix == ".obj" else "z"
