"""Packed glTF data through the libraries of the extra `gltf`: Draco meshes, meshoptimizer's views, KTX2 pictures."""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from scenewright.errors import InputError, MissingExtraError
from scenewright.files import spend

__all__ = ["pack_view", "transcode_ktx2", "unpack_draco", "unpack_view"]

_MODES = ("ATTRIBUTES", "TRIANGLES", "INDICES")
_KTX2_SIZE = slice(20, 28)


def unpack_view(content: memoryview, count: int, stride: int, mode: str, transform: str) -> bytes:
    """`count` rows of `stride` bytes of a view that meshoptimizer packed (EXT_meshopt_compression).

    Raises:
        InputError: an unknown mode, or content that is damaged.
        MissingExtraError: the extra is not installed.
    """
    meshopt = _library("meshopt", "Reading glTF packed by meshoptimizer")
    if mode not in _MODES:
        raise InputError(f"a packed buffer view has the mode {mode!r} instead of one of {', '.join(_MODES)}")
    rows = np.asarray(meshopt.decode_gltf_buffer(bytes(content), count, stride, mode, transform))
    if mode != "ATTRIBUTES":
        rows = rows.astype({2: "<u2", 4: "<u4"}[stride])
    return rows.tobytes()


def pack_view(rows: np.ndarray, mode: str) -> bytes:
    """Rows of a vertex buffer (`ATTRIBUTES`) or indices of triangles (`TRIANGLES`), packed by meshoptimizer.

    Raises:
        MissingExtraError: the extra is not installed.
    """
    return _library("meshopt", "Packing glTF by meshoptimizer").encode_gltf_buffer(rows, mode)


def unpack_draco(content: memoryview, ids: Mapping[str, int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Triangles [F, 3] and attributes [V, width] by name of a mesh packed by Draco (KHR_draco_mesh_compression).

    Args:
        ids: name of each attribute and its number inside the packed mesh.

    Raises:
        InputError: it is no mesh of triangles, or lacks an attribute.
        MissingExtraError: the extra is not installed.
    """
    draco = _library("DracoPy", "Reading glTF packed by Draco")
    mesh = draco.decode(bytes(content))
    faces = np.asarray(mesh.faces if getattr(mesh, "faces", None) is not None else np.zeros((0, 3)), np.int64)
    spend(8 * faces.size, "a Draco mesh")
    attributes = {}
    for name, number in ids.items():
        attribute = mesh.get_attribute_by_unique_id(number)
        if attribute is None:
            raise InputError(f"a Draco mesh lacks the attribute {name}")
        values = np.asarray(attribute["data"])
        spend(4 * values.size, "a Draco mesh")
        attributes[name] = values.reshape(len(values), -1)
    return faces.reshape(-1, 3), attributes


def transcode_ktx2(content: bytes, max_pixels: int) -> UInt8[Tensor, "height width 4"]:
    """The largest level of a KTX2 picture of Basis Universal (KHR_texture_basisu), RGBA.

    Raises:
        InputError: more than `max_pixels`, or another kind of KTX2.
        MissingExtraError: the extra is not installed.
    """
    basisu = _library("opengl_basisu", "Reading a model with KTX2 pictures")
    width, height = np.frombuffer(content[_KTX2_SIZE], "<u4").astype(np.int64).tolist()
    if width * height > max_pixels:
        allowed = f"{max_pixels / 1e6:.0f} million"
        raise InputError(f"a KTX2 picture has {width}x{height} pixels, more than the {allowed} allowed")
    spend(8 * width * height, "a KTX2 picture")
    return torch.from_numpy(basisu.open(content).transcode("rgba8").data)


def _library(module: str, feature: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(feature, "gltf") from error
