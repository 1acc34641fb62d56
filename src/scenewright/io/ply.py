"""The PLY container: tables of numbers and lists per element (vertices, faces), in text or binary of either byte order.

    tables = read_elements(path)
    tables["vertex"]["x"]                 # an array
    tables["face"]["vertex_indices"]      # a `Lists`: faces may have different numbers of corners

Elements may come in any order. The header is limited in length, and the declared number of rows is compared with the
bytes that exist before any memory is taken.

No library with a permissive licence reads all that tools write: trimesh refuses faces of mixed sizes, and meshio strips
and faces that come before their vertices.
"""

import re
import struct
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scenewright.errors import InputError
from scenewright.files import MAX_BYTES, read_file, reader, spend, work

__all__ = ["Lists", "Table", "has_property", "read_elements", "read_vertices", "vertex_ply_bytes"]

_MAX_HEADER = 1 << 16
# As the modules struct and numpy call them.
_TYPES = {
    "char": "b", "uchar": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I",
    "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q",
    "float": "f", "double": "d", "float16": "e", "float32": "f", "float64": "d",
}  # fmt: skip
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
_END = re.compile(rb"(?<=[\r\n])end_header[ \t]*(\r\n|\n|\r)")
# A word of text is a pointer and an object; a row that is read by itself takes so many steps for each property.
_BYTES_PER_WORD, _ROW_STEPS = 48, 8


class Lists(NamedTuple):
    """A list for each row: how long each is, and what they hold, one after the other."""

    lengths: np.ndarray
    values: np.ndarray


class _Property(NamedTuple):
    """The type of a number; of lists, that of their numbers and that of their length."""

    kind: str
    length_kind: str = ""

    def stored(self, order: str) -> "_Property":
        """As it lies in the file; text is read as doubles."""
        if order == "ascii":
            return _Property("=d", self.length_kind and "=d")
        return _Property(_ORDERS[order] + self.kind, self.length_kind and _ORDERS[order] + self.length_kind)


class _Element(NamedTuple):
    num_rows: int
    properties: dict[str, _Property]


Table = dict[str, np.ndarray | Lists]


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
    elements = _parse_header(read_file(path), str(path))[1]
    return "vertex" in elements and name in elements["vertex"].properties


@reader("a PLY file", "export it again")
def read_vertices(path: str | Path) -> dict[str, np.ndarray]:
    """The numbers of the vertices by name; float64 arrays [N].

    Raises:
        InputError: the file is missing, not a PLY file, truncated, or without plain vertices.
    """
    content = read_file(path)
    order, elements, start = _parse_header(content, str(path))
    if "vertex" not in elements or not elements["vertex"].properties:
        raise InputError(f"'{path}' has a PLY header without vertices; export it again.")
    if any(entry.length_kind for entry in elements["vertex"].properties.values()):
        raise InputError(f"'{path}' has a PLY header that cannot be read (a vertex has a list); export it without.")
    columns = _tables(content, order, elements, start, str(path))["vertex"]
    return {name: column.astype(np.float64) for name, column in columns.items() if isinstance(column, np.ndarray)}


@reader("a PLY file", "export it again")
def read_elements(path: str | Path, *, max_bytes: int = MAX_BYTES) -> dict[str, Table]:
    """The properties of each element by name: arrays [N] of the type that the header declares, or lists.

    Raises:
        InputError: the file is missing, not a PLY file, truncated or too large.
    """
    content = read_file(path, max_bytes=max_bytes)
    return _tables(content, *_parse_header(content, str(path)), str(path))


def _tables(content: bytes, order: str, elements: Mapping[str, _Element], start: int, path: str) -> dict[str, Table]:
    for name, element in elements.items():
        spend(3 * 8 * element.num_rows * len(element.properties), f"its {_rows(name, element.num_rows)}")
    if order == "ascii":
        words = content[start:].split()
        spend(_BYTES_PER_WORD * len(words), "its numbers")
        content, start = np.fromiter(map(float, words), np.float64, len(words)).tobytes(), 0
    tables: dict[str, Table] = {}
    for name, element in elements.items():
        stored = {key: entry.stored(order) for key, entry in element.properties.items()}
        try:
            table, start = _even_rows(content, start, element.num_rows, stored) or _uneven_rows(
                content, start, element.num_rows, stored
            )
        except (EOFError, struct.error) as error:
            raise InputError(
                f"'{path}' is truncated: its header promises {_rows(name, element.num_rows)}, the file ends earlier; "
                "export it again."
            ) from error
        tables[name] = {key: _converted(column, element.properties[key].kind) for key, column in table.items()}
    return tables


def _rows(name: str, count: int) -> str:
    return f"{count:,} vertices" if name == "vertex" else f"{count:,} rows of '{name}'"


def _converted(column: np.ndarray | Lists, kind: str) -> np.ndarray | Lists:
    with np.errstate(invalid="ignore", over="ignore"):
        return Lists(column[0], column[1].astype(kind)) if isinstance(column, Lists) else column.astype(kind)


def _even_rows(content: bytes, start: int, count: int, properties: Mapping[str, _Property]) -> tuple[Table, int] | None:
    """The table of rows whose lists are all as long as those of the first row, and where it ends; None for others.

    Raises:
        EOFError: the content ends earlier.
    """
    if not count:
        none = np.zeros(0, np.int64)
        return {name: Lists(none, none) if entry.length_kind else none for name, entry in properties.items()}, start
    fields: list[tuple[Any, ...]] = []
    lengths, size = dict[str, int](), 0
    for number, (name, entry) in enumerate(properties.items()):
        lengths[name] = 1
        if entry.length_kind:
            lengths[name] = _length(content, start + size, struct.Struct(entry.length_kind))
            fields.append((f"length {number}", entry.length_kind))
            size += np.dtype(entry.length_kind).itemsize
        fields.append((f"values {number}", entry.kind, (lengths[name],)))
        size += lengths[name] * np.dtype(entry.kind).itemsize
    if start + count * size > len(content):
        if any(entry.length_kind for entry in properties.values()):
            return None  # the others may be shorter
        raise EOFError
    records = np.frombuffer(content, np.dtype(fields), count, start)
    table: Table = {}
    for number, (name, entry) in enumerate(properties.items()):
        values = records[f"values {number}"].reshape(-1)
        if entry.length_kind and (records[f"length {number}"] != lengths[name]).any():
            return None
        table[name] = Lists(np.full(count, lengths[name]), values) if entry.length_kind else values
    return table, start + count * size


def _uneven_rows(content: bytes, start: int, count: int, properties: Mapping[str, _Property]) -> tuple[Table, int]:
    """The table of rows whose lists differ in length, and where it ends.

    Raises:
        EOFError: the content ends earlier.
    """
    if count > len(content) - start:
        raise EOFError
    work(_ROW_STEPS * count * len(properties), f"{count:,} rows of different lengths")
    sizes = [np.dtype(entry.kind).itemsize for entry in properties.values()]
    readers = [struct.Struct(entry.length_kind) if entry.length_kind else None for entry in properties.values()]
    lengths, places = [array("q") for _ in sizes], [array("q") for _ in sizes]
    columns = list(zip(sizes, readers, lengths, places, strict=True))
    for _ in range(count):
        for size, reads, its_lengths, its_places in columns:
            length = 1
            if reads is not None:
                length = _length(content, start, reads)
                start += reads.size
            its_lengths.append(length)
            its_places.append(start)
            start += size * length
        if start > len(content):
            raise EOFError
    table: Table = {}
    for (name, entry), size, own, place in zip(properties.items(), sizes, lengths, places, strict=True):
        values = _gathered(content, np.array(place), np.array(own), size).view(entry.kind)
        table[name] = Lists(np.array(own), values) if entry.length_kind else values
    return table, start


def _length(content: bytes, place: int, reads: struct.Struct) -> int:
    length = int(reads.unpack_from(content, place)[0])
    if length < 0:
        raise ValueError(f"a list has the length {length}")
    return length


def _gathered(content: bytes, places: np.ndarray, lengths: np.ndarray, size: int) -> np.ndarray:
    """Bytes of the values, `size` each, of lists that begin at `places`."""
    total = int(lengths.sum())
    spend((16 + size) * total, "its lists")
    at = np.repeat(places - size * (np.cumsum(lengths) - lengths), lengths) + size * np.arange(total)
    found, stored = np.empty((total, size), np.uint8), np.frombuffer(content, np.uint8)
    for byte in range(size):
        found[:, byte] = stored[at + byte]
    return found.reshape(-1)


def _parse_header(content: bytes, path: str) -> tuple[str, dict[str, _Element], int]:
    """Byte order, elements by name, and where the data begins."""
    end = _END.search(content, 0, _MAX_HEADER)
    if not re.match(rb"ply\s", content) or end is None:
        raise InputError(f"'{path}' is not a PLY file: it does not begin with a PLY header; export it again.")
    order, elements = "", dict[str, _Element]()
    try:
        for line in content[: end.start()].decode("utf-8", errors="replace").splitlines()[1:]:
            words = line.split()
            if not words or words[0] in ("comment", "obj_info"):
                continue
            if words[0] == "format":
                order = words[1]
            elif words[0] == "element":
                name, count = words[1], int(words[2])
                if name in elements or count < 0:
                    raise ValueError(f"element {name} is listed twice or has {count} rows")
                elements[name] = _Element(count, {})
            elif words[0] == "property":
                _add_property(elements[name], words)
    except (ValueError, IndexError, KeyError, NameError) as error:
        raise InputError(f"'{path}' has a PLY header that cannot be read ({error}); export it again.") from error
    if order not in _ORDERS:
        raise InputError(f"'{path}' has a PLY header without a known format; export it again.")
    return order, elements, end.end()


def _add_property(element: _Element, words: Sequence[str]) -> None:
    kinds = words[2:4] if words[1] == "list" else words[1:2]
    name = words[1 + len(kinds) + (words[1] == "list")]
    if name in element.properties:
        raise ValueError(f"property {name} is listed twice")
    if unknown := [kind for kind in kinds if kind not in _TYPES]:
        raise ValueError(f"a property has the type {unknown[0]}")
    element.properties[name] = _Property(*(_TYPES[kind] for kind in reversed(kinds)))
