"""O-Voxel objects in files: .vxz (compressed, see `vxz`) and .npz (NumPy arrays `coord` uint16 plus one per attribute).

The dual grid is stored as the attributes `vertices` and `intersected` (see `dual_grid_quantize`) beside the materials.
Legend: N voxels, C channels. Files of ours also hold `resolution`, a single integer, which published ones lack.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenewright.errors import InputError
from scenewright.files import reader, spend
from scenewright.geometry.ovoxel.dual_grid_quantize import dequantize_dual_grid, quantize_dual_grid
from scenewright.io.archives import read_npz_arrays
from scenewright.io.atomic import atomic_path
from scenewright.io.format import Content, Format
from scenewright.io.vxz import VxzOptions, read_vxz, write_vxz
from scenewright.types import OVoxel, Scene, SceneObject, SparseVoxels

__all__ = ["VOXEL_NPZ", "VXZ", "load_ovoxel", "read_npz", "save_ovoxel", "write_npz"]

# Two triangles, a vertex and a colour a voxel, and what finding them takes.
_MESH_BYTES_PER_VOXEL = 256
_MATERIALS = {"base_color": 3, "metallic": 1, "roughness": 1, "alpha": 1, "emissive": 3}


def load_ovoxel(path: str | Path) -> OVoxel:
    """The object in a .vxz or .npz file; attributes that O-Voxel does not know are left out.

    Raises:
        InputError: another extension, or the file cannot be read or holds no dual grid.
    """
    voxels = read_npz(path) if _extension(path) == ".npz" else read_vxz(path)
    columns = {}
    for name, width in {"vertices": 3, "intersected": 1, **_MATERIALS}.items():
        if name not in voxels.attributes:
            continue
        value = voxels.attributes[name]
        if value.dtype != torch.uint8 or value.numel() != len(value) * width:
            raise InputError(
                f"Expected uint8 '{name}' of width {width} in '{path}', got {value.dtype} {tuple(value.shape)}."
            )
        columns[name] = value.reshape(len(value), width)
    if "vertices" not in columns or "intersected" not in columns:
        found = ", ".join(voxels.attributes) or "none"
        raise InputError(
            f"Expected the attributes 'vertices' and 'intersected' of a dual grid in '{path}', got {found}."
        )
    vertices, flags = columns.pop("vertices"), columns.pop("intersected")
    return OVoxel(dequantize_dual_grid(voxels.coords, vertices, flags, voxels.resolution), columns)


def save_ovoxel(ovoxel: OVoxel, path: str | Path, options: VxzOptions | None = None) -> Path:
    """Write an object to a .vxz or .npz file; `options` are for .vxz. Returns the path.

    Raises:
        InputError: another extension, a dual vertex outside its voxel, or the folder cannot be written.
    """
    vertices, flags = quantize_dual_grid(ovoxel.grid)
    attributes = {"vertices": vertices, "intersected": flags, **ovoxel.materials}
    voxels = SparseVoxels(ovoxel.grid.coords, ovoxel.grid.resolution, attributes)
    return write_npz(path, voxels) if _extension(path) == ".npz" else write_vxz(path, voxels, options)


def _extension(path: str | Path) -> str:
    extension = Path(path).suffix.lower()
    if extension not in (".vxz", ".npz"):
        raise InputError(f"Expected a voxel file ending in .vxz or .npz, got '{path}'.")
    return extension


def write_npz(path: str | Path, voxels: SparseVoxels) -> Path:
    """Write `coord` uint16 `[N, 3]`, every attribute in its own dtype, and `resolution`; compressed.

    Raises:
        InputError: a coordinate does not fit 16 bits, or the folder cannot be written.
    """
    coords = voxels.coords.detach().cpu().numpy()
    if coords.size and (coords.min() < 0 or coords.max() > 0xFFFF):
        raise InputError(f"Voxel coordinates of an .npz lie between 0 and 65535, got {coords.min()} to {coords.max()}.")
    arrays: dict[str, Any] = {name: values.detach().cpu().numpy() for name, values in voxels.attributes.items()}
    if taken := {"coord", "resolution", "file"} & arrays.keys():
        raise InputError(f"An attribute of a voxel .npz cannot be called '{min(taken)}'; rename it.")
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, coord=coords.astype(np.uint16), resolution=np.int64(voxels.resolution), **arrays)
    return Path(path)


@reader("a voxel file", "write it again with `scenewright convert`")
def read_npz(path: str | Path) -> SparseVoxels:
    """The voxels of an .npz; without `resolution`, the smallest power of two that holds them. Never unpickles.

    Raises:
        InputError: the file cannot be read, holds objects, lacks `coord`, or its arrays disagree in length.
    """
    arrays = read_npz_arrays(path)
    coords = arrays.pop("coord", None)
    if coords is None or coords.ndim != 2 or coords.shape[1] != 3 or coords.dtype.kind not in "iu":
        found = "none" if coords is None else f"{coords.dtype} {coords.shape}"
        raise InputError(f"Expected whole numbers 'coord' of shape [N, 3] in '{path}', got {found}.")
    if len(coords) and (coords.min() < 0 or coords.max() >= 1 << 20):
        raise InputError(f"Expected voxel coordinates from 0 to {(1 << 20) - 1} in '{path}', got up to {coords.max()}.")
    needed = int(coords.max()) + 1 if len(coords) else 1
    resolution = arrays.pop("resolution", np.int64(1 << (needed - 1).bit_length()))
    if resolution.ndim or resolution.dtype.kind not in "iu" or resolution < needed:
        raise InputError(f"Expected one 'resolution' of at least {needed} in '{path}', got {resolution}.")
    attributes = {}
    for name, values in arrays.items():
        if values.ndim == 0 or len(values) != len(coords) or values.dtype.kind not in "buif":
            shape = f"{values.dtype} {values.shape}"
            raise InputError(f"Expected one row per voxel ({len(coords)}) in array '{name}' of '{path}', got {shape}.")
        attributes[name] = torch.from_numpy(np.ascontiguousarray(values))
    return SparseVoxels(torch.from_numpy(coords.astype(np.int32)), int(resolution), attributes)


@reader("a voxel file", "write it again with `scenewright convert`")
def _load(path: Path) -> Scene:
    from scenewright.geometry.ovoxel.voxelize_object import ovoxel_to_parts  # compiled kernels: slow to import

    ovoxel = load_ovoxel(path)
    spend(_MESH_BYTES_PER_VOXEL * len(ovoxel.grid.coords), "its surface")
    return Scene((SceneObject(path.stem, ovoxel_to_parts(ovoxel)),))


def _save(scene: Scene, path: Path) -> Path:
    from scenewright.geometry.ovoxel.voxelize_object import object_to_ovoxel

    parts = [part for item in scene.objects for part in item.placed_parts()]
    return save_ovoxel(object_to_ovoxel(parts, DEFAULT_RESOLUTION), path)


DEFAULT_RESOLUTION = 512
_HOLDS: frozenset[Content] = frozenset({"meshes", "voxels", "materials"})
VXZ = Format("O-Voxel, compressed", ".vxz", _HOLDS, _load, _save)
VOXEL_NPZ = Format("O-Voxel as NumPy arrays", ".npz", _HOLDS, _load, _save)
