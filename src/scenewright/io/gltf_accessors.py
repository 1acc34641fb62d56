"""Bounded reading of glTF accessors: every count, offset and stride is checked against the bytes that exist.

glTF 2.0, section 3.6. Sparse accessors and accessors without a buffer view are refused with a clear sentence.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scenewright.errors import InputError

__all__ = ["MAX_ELEMENTS", "item", "read_accessor", "view_bytes", "whole"]

MAX_ELEMENTS = 1 << 28
"""Most numbers one accessor may hold."""

_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}

Document = Mapping[str, Any]


def item(document: Document, table: str, index: Any) -> dict[str, Any]:
    """Entry `index` of the document's `table`.

    Raises:
        InputError: the table or the entry does not exist.
    """
    entries = document.get(table)
    if not isinstance(entries, list) or isinstance(index, bool) or not isinstance(index, int):
        raise InputError(f"it refers to '{table}' {index!r}, which does not exist")
    if not 0 <= index < len(entries) or not isinstance(entries[index], dict):
        raise InputError(f"it refers to '{table}' {index}, which does not exist")
    return entries[index]


def whole(value: Any, what: str) -> int:
    """`value` as a whole number of at least zero.

    Raises:
        InputError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{what} is {value!r} instead of a whole number of at least 0")
    return value


def view_bytes(document: Document, buffers: Sequence[bytes], index: Any) -> memoryview:
    """The bytes of buffer view `index`.

    Raises:
        InputError: the view leaves its buffer.
    """
    view = item(document, "bufferViews", index)
    buffer = whole(view.get("buffer"), "a buffer view's buffer")
    offset = whole(view.get("byteOffset", 0), "a buffer view's byteOffset")
    length = whole(view.get("byteLength"), "a buffer view's byteLength")
    if buffer >= len(buffers) or offset + length > len(buffers[buffer]):
        raise InputError(f"buffer view {index} reaches beyond its buffer; the file is truncated or damaged")
    return memoryview(buffers[buffer])[offset : offset + length]


def read_accessor(document: Document, buffers: Sequence[bytes], index: Any, width: int) -> np.ndarray:
    """The numbers of accessor `index`, a [count, width] copy; normalised integers become floats in [-1, 1] or [0, 1].

    Raises:
        InputError: another width, an unknown type, sparse storage, or bytes that do not exist.
    """
    accessor = item(document, "accessors", index)
    if "sparse" in accessor:
        raise InputError("it uses sparse accessors, which are not supported; export it without them")
    if "bufferView" not in accessor:
        raise InputError(f"accessor {index} has no data (a compressed file?); export it uncompressed")
    component, kind = accessor.get("componentType"), accessor.get("type")
    if component not in _COMPONENTS or kind not in _WIDTHS or _WIDTHS[kind] != width:
        raise InputError(f"accessor {index} has type {kind!r} of {component!r}, which does not fit its use")
    count = whole(accessor.get("count"), "an accessor's count")
    if count * width > MAX_ELEMENTS:
        raise InputError(f"accessor {index} holds {count * width:,} numbers, more than the {MAX_ELEMENTS:,} allowed")
    dtype = np.dtype(_COMPONENTS[component])
    packed = dtype.itemsize * width
    stride = whole(item(document, "bufferViews", accessor["bufferView"]).get("byteStride", packed), "a byteStride")
    offset = whole(accessor.get("byteOffset", 0), "an accessor's byteOffset")
    data = view_bytes(document, buffers, accessor["bufferView"])
    if stride < packed or (count and offset + (count - 1) * stride + packed > len(data)):
        raise InputError(f"accessor {index} reaches beyond its buffer view; the file is truncated or damaged")
    if count == 0:
        return np.zeros((0, width), dtype)
    values = np.ndarray((count, width), dtype, data, offset, (stride, dtype.itemsize)).copy()
    if accessor.get("normalized") is True and dtype.kind in "iu":
        return np.maximum(values.astype(np.float32) / np.iinfo(dtype).max, -1.0)
    return values
