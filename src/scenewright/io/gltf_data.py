"""Bounded reading of a glTF document's numbers: every count, offset and stride is checked against the bytes that exist.

Buffer views may be packed by meshoptimizer, accessors may be sparse (glTF 2.0, section 3.6). What reading takes is
spent from the file's budget (`scenewright.files`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scenewright.errors import InputError
from scenewright.files import spend
from scenewright.io import gltf_codecs

__all__ = ["Document", "GltfData", "item", "numbers", "table", "whole"]

_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")

# A number of an accessor is copied, converted and turned.
_BYTES_PER_NUMBER = 16

Document = Mapping[str, Any]


def table(value: Any) -> dict[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def item(document: Document, name: str, index: Any) -> dict[str, Any]:
    """Entry `index` of the document's table `name`.

    Raises:
        InputError: the table or the entry does not exist.
    """
    entries = document.get(name)
    if not isinstance(entries, list) or isinstance(index, bool) or not isinstance(index, int):
        raise InputError(f"it refers to '{name}' {index!r}, which does not exist")
    if not 0 <= index < len(entries) or not isinstance(entries[index], dict):
        raise InputError(f"it refers to '{name}' {index}, which does not exist")
    return entries[index]


def whole(value: Any, what: str) -> int:
    """`value` as a whole number of at least zero.

    Raises:
        InputError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{what} is {value!r} instead of a whole number of at least 0")
    return value


def numbers(value: Any, count: int, what: str) -> list[float]:
    """`value` as a list of `count` finite numbers.

    Raises:
        InputError: it is something else.
    """
    numeric = isinstance(value, list) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    if not numeric or len(value) != count or not np.isfinite(np.array(value, np.float64)).all():
        raise InputError(f"{what} is not a list of {count} finite numbers")
    return [float(v) for v in value]


class GltfData:
    """The numbers of one document. `buffers` holds the content of each entry of `document["buffers"]`."""

    def __init__(self, document: Document, buffers: Sequence[bytes]) -> None:
        self.document, self._buffers = document, buffers
        self._unpacked: dict[int, bytes] = {}

    def view(self, index: Any) -> memoryview:
        """The bytes of buffer view `index`, unpacked.

        Raises:
            InputError: the view leaves its buffer.
            MissingExtraError: it is packed, and the extra `gltf` is not installed.
        """
        view = item(self.document, "bufferViews", index)
        extensions = table(view.get("extensions"))
        packed = next((extensions[name] for name in _MESHOPT if name in extensions), None)
        if packed is None:
            return self._stored(view, f"buffer view {index}")
        if index not in self._unpacked:
            count, stride = whole(packed.get("count"), "a count"), whole(packed.get("byteStride"), "a byteStride")
            spend(count * stride, f"buffer view {index}")
            content = self._stored(packed, f"buffer view {index}")
            self._unpacked[index] = gltf_codecs.unpack_view(
                content, count, stride, str(packed.get("mode")), str(packed.get("filter", "NONE"))
            )
        return memoryview(self._unpacked[index])

    def _stored(self, view: Mapping[str, Any], what: str) -> memoryview:
        buffer = whole(view.get("buffer"), "a buffer view's buffer")
        offset = whole(view.get("byteOffset", 0), "a buffer view's byteOffset")
        length = whole(view.get("byteLength"), "a buffer view's byteLength")
        if buffer >= len(self._buffers) or offset + length > len(self._buffers[buffer]):
            raise InputError(f"{what} reaches beyond its buffer; the file is truncated or damaged")
        return memoryview(self._buffers[buffer])[offset : offset + length]

    def width(self, index: Any) -> int:
        """Numbers per element of accessor `index`."""
        return _WIDTHS.get(str(item(self.document, "accessors", index).get("type")), 0)

    def accessor(self, index: Any, width: int) -> np.ndarray:
        """The numbers of accessor `index`, [count, width]; normalised integers become floats in [-1, 1] or [0, 1].

        Raises:
            InputError: another width, an unknown type, or bytes that do not exist.
            MissingExtraError: its bytes are packed, and the extra `gltf` is not installed.
        """
        accessor = item(self.document, "accessors", index)
        component, kind = accessor.get("componentType"), accessor.get("type")
        if component not in _COMPONENTS or _WIDTHS.get(str(kind)) != width:
            raise InputError(f"accessor {index} has type {kind!r} of {component!r}, which does not fit its use")
        count, dtype = whole(accessor.get("count"), "an accessor's count"), np.dtype(_COMPONENTS[component])
        # Many small entries may refer to the same bytes: what they add up to counts.
        spend(_BYTES_PER_NUMBER * count * width, f"accessor {index}")
        if "bufferView" in accessor:
            values = self._rows(accessor, count, width, dtype, f"accessor {index}")
        else:
            values = np.zeros((count, width), dtype)
        if "sparse" in accessor:
            self._replace(values, table(accessor["sparse"]), dtype, f"accessor {index}")
        return self.normalised(index, values)

    def normalised(self, index: Any, values: np.ndarray) -> np.ndarray:
        """`values` read for accessor `index`, as floats where it says that its integers stand for fractions."""
        if item(self.document, "accessors", index).get("normalized") is not True or values.dtype.kind not in "iu":
            return values
        return np.maximum(values.astype(np.float32) / np.iinfo(values.dtype).max, -1.0)

    def _rows(self, source: Mapping[str, Any], count: int, width: int, dtype: np.dtype, what: str) -> np.ndarray:
        packed = dtype.itemsize * width
        view = item(self.document, "bufferViews", source.get("bufferView"))
        stride = whole(view.get("byteStride", packed), "a byteStride")
        offset = whole(source.get("byteOffset", 0), "an accessor's byteOffset")
        data = self.view(source["bufferView"])
        if stride < packed or (count and offset + (count - 1) * stride + packed > len(data)):
            raise InputError(f"{what} reaches beyond its buffer view; the file is truncated or damaged")
        if count == 0:
            return np.zeros((0, width), dtype)
        return np.ndarray((count, width), dtype, data, offset, (stride, dtype.itemsize)).copy()

    def _replace(self, values: np.ndarray, sparse: Mapping[str, Any], dtype: np.dtype, what: str) -> None:
        count, places, changed = (sparse.get(key) for key in ("count", "indices", "values"))
        component = table(places).get("componentType")
        if component not in (5121, 5123, 5125):
            raise InputError(f"{what} has sparse indices of type {component!r}, which are no whole numbers")
        count = whole(count, "a sparse accessor's count")
        rows = self._rows(table(places), count, 1, np.dtype(_COMPONENTS[component]), what)[:, 0].astype(np.int64)
        if len(rows) and rows.max() >= len(values):
            raise InputError(f"{what} replaces elements that it does not have; the file is damaged")
        values[rows] = self._rows(table(changed), count, values.shape[1], dtype, what)
