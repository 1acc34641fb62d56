"""The PLY container, as far as splats and points need it: a table of scalar properties per vertex.

The header is limited in length, and the declared number of vertices is compared with the bytes that exist before any
memory is taken. Meshes in PLY go through `mesh_file`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scenewright.errors import InputError
from scenewright.files import read_file, reader, spend

__all__ = ["has_property", "read_vertices", "vertex_ply_bytes"]

_MAX_HEADER = 1 << 16
_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float": "f4", "double": "f8", "float32": "f4", "float64": "f8",
}  # fmt: skip
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}


def vertex_ply_bytes(names: Sequence[str], rows: np.ndarray) -> bytes:
    """A binary little-endian PLY file of float32 vertex properties; `rows` is [N, len(names)]."""
    properties = "".join(f"property float {name}\n" for name in names)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n{properties}end_header\n"
    return header.encode("ascii") + np.ascontiguousarray(rows, dtype="<f4").tobytes()


@reader("a PLY file", "export it again")
def has_property(path: str | Path, name: str) -> bool:
    """Whether the vertices of the PLY file have the property `name`.

    Raises:
        InputError: the file is missing or is not a PLY file.
    """
    return name in _parse_header(read_file(path), str(path))[2]


@reader("a PLY file", "export it again")
def read_vertices(path: str | Path) -> dict[str, np.ndarray]:
    """The scalar properties of the first element, which must be the vertices, by name; float64 arrays [N].

    Raises:
        InputError: the file is missing, not a PLY file, truncated, or its first element is not plain vertices.
    """
    content = read_file(path)
    order, count, properties, start = _parse_header(content, str(path))
    spend(3 * 8 * max(count, 0) * len(properties), f"its {count:,} vertices")
    row = np.dtype([(name, _ORDERS[order] + kind) for name, kind in properties.items()])
    try:
        if order == "ascii":
            values = content[start:].split(maxsplit=count * len(properties))[: count * len(properties)]
            table = np.array(values, dtype=np.float64)
            if len(table) != count * len(properties):
                raise InputError(_truncated(str(path), count))
            return {name: table[index :: len(properties)] for index, name in enumerate(properties)}
        if start + count * row.itemsize > len(content):
            raise InputError(_truncated(str(path), count))
        records = np.frombuffer(content, row, count, start)
    except InputError:
        raise
    except (ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"'{path}' holds damaged numbers ({error}); export it again.") from error
    return {name: records[name].astype(np.float64) for name in properties}


def _truncated(path: str, count: int) -> str:
    return f"'{path}' is truncated: its header promises {count:,} vertices, the file ends earlier; export it again."


def _parse_header(content: bytes, path: str) -> tuple[str, int, dict[str, str], int]:
    """Byte order, number of vertices, numpy type by property, and where the data begins."""
    end = content.find(b"end_header", 0, _MAX_HEADER)
    line_end = content.find(b"\n", end, _MAX_HEADER) if end >= 0 else -1
    if not content.startswith(b"ply") or line_end < 0:
        raise InputError(f"'{path}' is not a PLY file: it does not begin with a PLY header.")
    order, count, properties = "", -1, {}
    try:
        for line in content[:end].decode("ascii").splitlines()[1:]:
            words = line.split()
            if not words or words[0] in ("comment", "obj_info"):
                continue
            if words[0] == "format":
                order = words[1]
            elif words[0] == "element" and count >= 0:
                break
            elif words[0] == "element":
                count = int(words[2]) if words[1] == "vertex" else -2
            elif words[0] == "property":
                if words[2] in properties:
                    raise ValueError(f"property {words[2]} is listed twice")
                if words[1] not in _TYPES:
                    raise ValueError(f"a vertex has a property of the type {words[1]}")
                properties[words[2]] = _TYPES[words[1]]
    except (UnicodeDecodeError, ValueError, IndexError) as error:
        raise InputError(f"'{path}' has a PLY header that cannot be read ({error}).") from error
    if order not in _ORDERS or count < 0 or not properties:
        raise InputError(f"'{path}' has a PLY header without a known format or without vertices first.")
    return order, count, properties, line_end + 1
