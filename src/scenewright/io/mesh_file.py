"""Single meshes as PLY and STL, written by trimesh: triangles and, in PLY, colours of vertices or of faces.

These formats do not say which axis is up; by custom it is z, so that coordinates stay as they are.
"""

import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from scenewright.errors import InputError
from scenewright.files import read_file, reading, spend
from scenewright.geometry.color import linear_from_srgb, srgb_from_linear
from scenewright.io.atomic import write_bytes
from scenewright.io.format import Format
from scenewright.io.obj_polygons import fanned
from scenewright.io.ply import Lists, Table, read_elements
from scenewright.types import Mesh, Scene, SceneObject, merged_mesh

__all__ = ["MAX_BYTES", "PLY", "STL", "load_mesh", "save_mesh"]

logger = logging.getLogger(__name__)

MAX_BYTES = 1 << 30
# A parser's lists and copies of a mesh in text.
_BYTES_PER_BYTE = 24
_NONE = Lists(np.zeros(0, np.int64), np.zeros(0, np.int64))
_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_STL_LOOP = re.compile(rb"\bouter\s+loop\b", re.IGNORECASE)
_STL_CORNER = re.compile(rb"\bvertex\s+([-+.\d]\S*|nan|inf\w*)\s+(\S+)\s+(\S+)", re.IGNORECASE)


def load_mesh(path: str | Path) -> Mesh:
    """The mesh in a PLY or STL file; stored colours become linear.

    Raises:
        InputError: missing, damaged, too large, of another format, or without triangles.
    """
    path = Path(path)
    suffix = _suffix(path)
    with reading(path, f"a {suffix[1:].upper()} mesh", "export it again"):
        vertices, faces, colors = _ply_arrays(path) if suffix == ".ply" else _stl_arrays(path)
        if not len(faces):
            raise InputError(f"'{path}' holds no triangles; export a mesh with faces.")
        if not np.isfinite(vertices).all():
            raise InputError(f"'{path}' has coordinates that are not finite; export it again.")
        linear = None
        if colors is not None:
            encoded = torch.from_numpy(colors)
            linear = torch.cat([linear_from_srgb(encoded[:, :3]), encoded[:, 3:]], dim=1)
        return Mesh(torch.from_numpy(vertices), torch.from_numpy(faces), vertex_colors=linear)


def _ply_arrays(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Vertices, triangles and encoded RGBA colours, of faces where vertices have none."""
    tables = read_elements(path, max_bytes=MAX_BYTES)
    vertex, face = tables.get("vertex", {}), tables.get("face", {})
    axes = [column for axis in "xyz" if isinstance(column := vertex.get(axis), np.ndarray)]
    if "packed_position" in vertex:
        raise InputError(f"'{path}' holds compressed splats; export them as plain PLY.")
    if len(axes) < 3:
        raise InputError(f"'{path}' has no vertices with x, y and z; export it again.")
    with np.errstate(over="ignore"):
        vertices = np.stack(axes, 1).astype(np.float32)
    faces, polygons = _triangles(vertices, _corners(face))
    if strips := tables.get("tristrips"):
        faces = np.concatenate([faces, _strip_triangles(_corners(strips))])
    if len(faces) and not (faces.min() >= 0 and faces.max() < len(vertices)):
        raise InputError(f"'{path}' has a face with a vertex that does not exist; export it again.")
    if "texcoord" in face or {"s", "texture_u", "u"} & vertex.keys():
        logger.warning("'%s': textures of PLY files are not read; export it as .glb to keep them.", path)
    colors = _colors(vertex)
    if colors is None and (painted := _colors(face)) is not None and len(polygons) == len(faces):
        vertices, faces = vertices[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3)
        colors = painted[polygons].repeat(3, 0)
    return vertices, faces, colors


def _corners(table: Table) -> Lists:
    """The lists of vertices of a table of polygons or strips."""
    lists = {name: column for name, column in table.items() if isinstance(column, Lists)}
    named = [lists[name] for name in ("vertex_indices", "vertex_index") if name in lists] or list(lists.values())
    return Lists(named[0].lengths, named[0].values.astype(np.int64)) if named else _NONE


def _triangles(vertices: np.ndarray, polygons: Lists) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of polygons, and for each the number of its polygon; those of fewer than three corners have none."""
    starts = np.cumsum(polygons.lengths) - polygons.lengths
    faces, numbers = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)]
    for length in np.unique(polygons.lengths[polygons.lengths > 2]):
        rows = np.flatnonzero(polygons.lengths == length)
        spend(8 * 20 * len(rows) * int(length), "its faces")
        corners = polygons.values[starts[rows, None] + np.arange(length)]
        faces.append(fanned(vertices, corners).reshape(-1, 3))
        numbers.append(rows.repeat(length - 2))
    return np.concatenate(faces), np.concatenate(numbers)


def _strip_triangles(strips: Lists) -> np.ndarray:
    """Triangles of strips, which -1 cuts: each corner but two of a piece ends one, every other one turned."""
    corner, count = strips.values, len(strips.values)
    begins = np.zeros(count, bool)
    begins[(np.cumsum(strips.lengths) - strips.lengths)[strips.lengths > 0]] = True
    begins[1:] |= corner[:-1] == -1
    first = np.maximum.accumulate(np.where(begins, np.arange(count), 0))
    at = np.arange(max(count - 2, 0))
    at = at[(first[at] == first[at + 2]) & (corner[at + 2] != -1)]
    turned = (at - first[at]) % 2
    faces = np.stack([corner[at + turned], corner[at + 1 - turned], corner[at + 2]], 1)
    return faces[(faces != np.roll(faces, 1, 1)).all(1)]


def _colors(table: Table) -> np.ndarray | None:
    """Encoded RGBA colours in [0, 1]."""
    for names in (("red", "green", "blue", "alpha"), ("diffuse_red", "diffuse_green", "diffuse_blue"), tuple("rgba")):
        columns = [column for name in names if isinstance(column := table.get(name), np.ndarray)]
        if all(name in table for name in names[:3]) and len(columns) >= 3 and len(columns[0]):
            values = np.stack(columns, 1).astype(np.float32)
            most, kind = values.max(), columns[0].dtype
            white = 1 if kind.kind == "f" and most <= 1 else 65535 if kind == np.uint16 and most > 255 else 255
            rgba = np.ones((len(values), 4), np.float32)
            rgba[:, : len(columns)] = np.nan_to_num(values / white).clip(0, 1)
            return rgba
    return None


def _stl_arrays(path: Path) -> tuple[np.ndarray, np.ndarray, None]:
    """Vertices, three for each triangle, and the triangles."""
    content = read_file(path, max_bytes=MAX_BYTES)
    spend(_BYTES_PER_BYTE * len(content), "its geometry")
    count = int.from_bytes(content[80:84], "little") if len(content) >= 84 else -1
    needed = 84 + count * _STL_TRIANGLE.itemsize
    is_text = re.match(rb"(\xef\xbb\xbf)?\s*solid\b", content, re.IGNORECASE) and b"\0" not in content[:512]
    if is_text and needed != len(content):
        corners = _text_stl_corners(content)
    elif count < 0:
        raise ValueError("it is too short")
    elif needed > len(content):
        raise InputError(f"'{path}' is truncated: its header promises {count:,} triangles; export it again.")
    else:
        corners = np.frombuffer(content, _STL_TRIANGLE, count, 84)["corners"].reshape(-1, 3)
    return np.array(corners, np.float32), np.arange(len(corners)).reshape(-1, 3), None


def _text_stl_corners(content: bytes) -> np.ndarray:
    """Corners (3N, 3) of all facets in the text; the name of a solid may hold any word.

    Raises:
        ValueError: it ends early, or a facet has not three corners.
    """
    if not re.search(rb"end\s*solid", content[-1024:], re.IGNORECASE):
        raise ValueError("it ends without 'endsolid'")
    found = list(_STL_CORNER.finditer(content))
    loops = [loop.start() for loop in _STL_LOOP.finditer(content)]
    of_loop = np.searchsorted(loops, [corner.start() for corner in found])
    if (np.bincount(of_loop, minlength=len(loops) + 1)[1:] != 3).any() or len(found) != 3 * len(loops):
        raise ValueError("a facet has not three corners")
    return np.array([[float(word) for word in corner.groups()] for corner in found]).reshape(-1, 3)


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
