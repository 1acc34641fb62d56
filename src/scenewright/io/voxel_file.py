"""Voxel files by extension: .vxz (compressed, see `vxz`) and .npz (NumPy arrays `coord` uint16 plus one per attribute).

Legend: N voxels, C channels. Source: sheet section 4.3. `.npz` files of ours also hold `resolution`, a single integer.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenewright.errors import InputError
from scenewright.io.atomic import atomic_path
from scenewright.io.vxz import MAX_VOXELS, VxzOptions, read_vxz, write_vxz
from scenewright.types import SparseVoxels

__all__ = ["read_npz", "read_voxels", "write_npz", "write_voxels"]

# Attributes of the most voxels a file may hold, as float64 with a few channels.
_MAX_BYTES = MAX_VOXELS * 64


def read_voxels(path: str | Path) -> SparseVoxels:
    """The voxels of a .vxz or .npz file.

    Raises:
        InputError: another extension, or the file cannot be read.
    """
    return read_npz(path) if _extension(path) == ".npz" else read_vxz(path)


def write_voxels(path: str | Path, voxels: SparseVoxels, options: VxzOptions | None = None) -> Path:
    """Write voxels to a .vxz or .npz file; `options` are for .vxz. Returns the path.

    Raises:
        InputError: another extension, or the voxels do not fit the format.
    """
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


def read_npz(path: str | Path) -> SparseVoxels:
    """The voxels of an .npz; without `resolution`, the smallest power of two that holds them. Never unpickles.

    Raises:
        InputError: the file cannot be read, holds objects, lacks `coord`, or its arrays disagree in length.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _MAX_BYTES:
            raise InputError(
                f"'{path}' would unpack to {size / 2**30:.0f} GB, more than {_MAX_BYTES >> 30} GB; split it."
            )
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror or error}.") from error
    except (ValueError, zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, zlib.error) as error:
        raise InputError(
            f"Cannot read '{path}' as .npz ({error}); is it complete, and free of pickled objects?"
        ) from error
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
