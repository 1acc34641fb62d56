"""Reading and writing .vxz, the compressed voxel files of O-Voxel.

A file is "VXZ", a version byte 0, the big-endian uint32 offset of the binary part, a JSON header, and the binary
part: per chunk of `chunk_size`^3 voxels an octree and its attribute streams, each compressed on its own. Attributes
are uint8. Voxels come back chunk by chunk, in Z-order inside a chunk: a permutation of what was written.

Legend: N voxels, C channels. Source: microsoft/TRELLIS.2 o-voxel/o_voxel/io/vxz.py. One field is ours: `resolution`,
the cells per side of the grid, which published files lack (and published readers do not look at).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from scenewright.errors import InputError, ScenewrightError
from scenewright.files import json_value, read_file, reading, spend
from scenewright.io.atomic import write_bytes
from scenewright.io.vxz_compression import LEVELS, StreamError, compress, decompress
from scenewright.types import SparseVoxels

__all__ = ["VxzOptions", "decode_vxz", "encode_vxz", "read_vxz", "write_vxz"]

_CHOICES = {
    "filter": ("none", "parent", "neighbor"),
    "compression": tuple(LEVELS),
    "interleave": ("none", "as_is", "all"),
}

_MAGIC = b"VXZ\x00"
_KIND = ("a .vxz file", "copy it again")
# Codes, coordinates and their copies; attributes are held up to three times beside.
_BYTES_PER_VOXEL = 64
_BYTES_PER_COORDINATE_ROW = 12
MAX_CHUNK_SIZE = 1024
MAX_CHANNELS = 256
# Far above any real object (a 1536^3 surface has some 6 million voxels); a file that claims more is refused unread.
MAX_VOXELS = 1 << 26
MAX_COORDINATE = 1 << 20


@dataclass(frozen=True)
class VxzOptions:
    """Choices of writing a file; defaults are the published writer's.

    `filter` is none, parent or neighbor; `compression` none, deflate, lzma or zstd. `interleave`: one stream per
    attribute ("as_is"), per channel ("none"), or one for all ("all", which the published reader cannot read back).
    """

    chunk_size: int = 256
    filter: str = "none"
    compression: str = "lzma"
    interleave: str = "as_is"

    def __post_init__(self) -> None:
        size = self.chunk_size
        if not (2 <= size <= MAX_CHUNK_SIZE and size & (size - 1) == 0):
            raise InputError(f"Expected a chunk size that is a power of two from 2 to {MAX_CHUNK_SIZE}, got {size}.")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise InputError(f"Expected the {name} of a .vxz to be one of {', '.join(choices)}; got '{value:.40}'.")


def write_vxz(path: str | Path, voxels: SparseVoxels, options: VxzOptions | None = None) -> Path:
    """Write voxels with uint8 attributes; returns the path.

    Raises:
        InputError: an attribute is not uint8 `[N]` or `[N, C]`, a coordinate is negative or repeated, or the folder
            cannot be written.
        MissingExtraError: the options ask for zstd and it is not installed.
    """
    return write_bytes(path, encode_vxz(voxels.coords, voxels.attributes, options, resolution=voxels.resolution))


def read_vxz(path: str | Path) -> SparseVoxels:
    """The voxels of a file. Where it does not name its resolution: the smallest power of two that holds them.

    Raises:
        InputError: the file cannot be read, is no .vxz, is cut short or damaged, or declares more than it can hold.
        MissingExtraError: the file uses zstd and it is not installed.
    """
    with reading(Path(path), *_KIND):
        return decode_vxz(read_file(path), name=str(path))


def encode_vxz(
    coords: Int[Tensor, "N 3"],
    attributes: Mapping[str, Tensor],
    options: VxzOptions | None = None,
    resolution: int | None = None,
) -> bytes:
    """The bytes of a file; without `resolution` they follow the published layout to the letter. See `write_vxz`."""
    options = options or VxzOptions()
    rows, columns = _arrays(coords, attributes)
    channels = [(name, values.shape[1]) for name, values in columns.items()]
    size = options.chunk_size
    chunk_of = rows // size
    order = np.lexsort((_z_order(rows % size), chunk_of[:, 2], chunk_of[:, 1], chunk_of[:, 0]))
    rows, chunk_of = rows[order], chunk_of[order]
    columns = {name: values[order] for name, values in columns.items()}
    borders = np.flatnonzero((chunk_of[1:] != chunk_of[:-1]).any(1)) + 1
    borders = np.r_[0, borders, len(rows)] if len(rows) else np.zeros(1, np.int64)
    chunks: list[dict[str, Any]] = []
    body = bytearray()
    for begin, end in pairwise(borders.tolist()):
        of_chunk = {name: values[begin:end] for name, values in columns.items()}
        streams = _encode_chunk(rows[begin:end] % size, of_chunk, options)
        entry: dict[str, Any] = {"idx": chunk_of[begin].tolist()}
        start = len(body)
        for name, stream in streams:
            entry[name] = [len(body) - start, len(stream)]
            body += stream
        entry["ptr"] = [start, len(body) - start]
        chunks.append(entry)
    raw_size = len(rows) * (_BYTES_PER_COORDINATE_ROW + sum(count for _, count in channels))
    header: dict[str, Any] = {
        "num_voxel": len(rows),
        "chunk_size": size,
        "filter": options.filter,
        "compression": options.compression,
        "compression_level": LEVELS[options.compression],
        "raw_size": raw_size,
        "compressed_size": len(body),
        "compress_ratio": raw_size / max(len(body), 1),
        "attr_interleave": options.interleave,
        "attr": [list(pair) for pair in channels],
        "chunks": chunks,
    }
    if resolution is not None:
        header["resolution"] = resolution
    text = json.dumps(header).encode()
    return _MAGIC + (8 + len(text)).to_bytes(4, "big") + text + bytes(body)


def _arrays(coords: Tensor, attributes: Mapping[str, Tensor]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rows = coords.detach().cpu().numpy().astype(np.int64)
    if len(rows) and (rows.min() < 0 or rows.max() >= MAX_COORDINATE):
        raise InputError(
            f"Expected voxel coordinates from 0 to {MAX_COORDINATE - 1}, got {rows.min()} to {rows.max()}."
        )
    columns = {}
    for name, values in attributes.items():
        if values.dtype != torch.uint8 or values.ndim not in (1, 2) or len(values) != len(rows):
            raise InputError(
                f"A .vxz stores uint8 attributes of shape [{len(rows)}] or [{len(rows)}, C]; "
                f"'{name}' is {values.dtype} {tuple(values.shape)}. Quantise it first."
            )
        if name in ("idx", "ptr", "svo"):
            raise InputError(f"An attribute of a .vxz cannot be called '{name}'; rename it.")
        values = values[:, None] if values.ndim == 1 else values
        columns[name] = np.ascontiguousarray(values.detach().cpu().numpy())
    return rows, columns


def _z_order(rows: np.ndarray) -> np.ndarray:
    codes = np.zeros(len(rows), np.int64)
    for bit in range(MAX_CHUNK_SIZE.bit_length() - 1):
        for axis in range(3):
            codes |= (rows[:, axis] >> bit & 1) << (3 * bit + 2 - axis)
    return codes


def _from_z_order(codes: np.ndarray) -> np.ndarray:
    rows = np.zeros((len(codes), 3), np.int32)
    for bit in range(MAX_CHUNK_SIZE.bit_length() - 1):
        for axis in range(3):
            rows[:, axis] |= ((codes >> (3 * bit + 2 - axis) & 1) << bit).astype(np.int32)
    return rows


def _encode_chunk(local: np.ndarray, columns: dict[str, np.ndarray], options: VxzOptions) -> list[tuple[str, bytes]]:
    from scenewright.io.vxz_codec import neighbor_encode, octree_encode, parent_encode  # compiled: slow to import

    codes, depth = _z_order(local), options.chunk_size.bit_length() - 1
    if (codes[1:] == codes[:-1]).any():
        raise InputError("Expected every voxel once, got repeated coordinates; merge them before writing.")
    nodes = octree_encode(codes, depth)
    streams = [("svo", nodes)]
    filtered = {}
    for name, values in columns.items():
        if options.filter == "parent":
            values = parent_encode(values, codes, nodes, depth)
        elif options.filter == "neighbor":
            values = neighbor_encode(values, local.astype(np.int32))
        filtered[name] = values
    if options.interleave == "all":
        if filtered:
            streams.append(("attr", np.concatenate(list(filtered.values()), 1)))
    else:
        for name, values in filtered.items():
            if options.interleave == "as_is":
                streams.append((name, values))
            else:
                streams += [(f"{name}_{channel}", values[:, channel]) for channel in range(values.shape[1])]
    return [(name, compress(stream.tobytes(), options.compression)) for name, stream in streams]


def decode_vxz(content: bytes, name: str = "<bytes>") -> SparseVoxels:
    """The voxels in the bytes of a file; `name` is what errors call it. See `read_vxz`."""
    try:
        with reading(f"'{name}'", *_KIND, size=len(content)):
            return _decode(content)
    except _Damaged as error:
        raise InputError(f"Cannot read '{name}' as .vxz: {error}. Is the file complete?") from None
    except StreamError as error:
        raise InputError(f"Cannot read '{name}' as .vxz: a stream is damaged ({error}). Copy it again.") from None


class _Damaged(ScenewrightError):
    """A fault of the file, told without its name."""


def _decode(content: bytes) -> SparseVoxels:
    if content[:4] != _MAGIC or len(content) < 8:
        raise _Damaged(f"it should start with 'VXZ' and version 0, but starts with {content[:4]!r}")
    offset = int.from_bytes(content[4:8], "big")
    if not 8 < offset <= len(content):
        raise _Damaged(f"its header should end at byte {offset}, but the file has {len(content)} bytes")
    try:
        header = json_value(content[8:offset], dict)
    except ValueError:
        raise _Damaged("its header is not a JSON object") from None
    num_voxels = _whole(header, "num_voxel", 0, MAX_VOXELS)
    try:
        choices = [str(header.get(name)) for name in ("filter", "compression", "attr_interleave")]
        options = VxzOptions(_whole(header, "chunk_size", 2, MAX_CHUNK_SIZE), *choices)
    except InputError as error:
        raise _Damaged(str(error).rstrip(".")) from None
    channels = _channels(header)
    total = sum(channels.values())
    spend(num_voxels * (_BYTES_PER_VOXEL + 3 * total), f"its {num_voxels:,} voxels of {total} channels")
    body = memoryview(content)[offset:]
    entries = header.get("chunks")
    if not isinstance(entries, list):
        raise _Damaged("its header lists no chunks")
    coords_parts, attribute_parts = [np.empty((0, 3), np.int32)], [np.empty((0, total), np.uint8)]
    left, seen = num_voxels, set()
    for entry in entries:
        if not isinstance(entry, dict):
            raise _Damaged("a chunk's entry is not an object")
        index = entry.get("idx")
        limit = MAX_COORDINATE // options.chunk_size
        if not (isinstance(index, list) and len(index) == 3 and all(type(i) is int and 0 <= i < limit for i in index)):
            raise _Damaged(
                f"a chunk's position should be three whole numbers from 0 to {limit - 1}, but is {index!r:.60}"
            )
        if tuple(index) in seen:
            raise _Damaged(f"chunk {index} is listed twice")
        seen.add(tuple(index))
        start, length = _span(entry, "ptr", len(body))
        local, values = _decode_chunk(body[start : start + length], entry, channels, options, left)
        left -= len(local)
        coords_parts.append(local + np.array(index, np.int32) * options.chunk_size)
        attribute_parts.append(values)
    if left:
        raise _Damaged(f"it declares {num_voxels} voxels but holds {num_voxels - left}")
    coords, values = np.concatenate(coords_parts), np.concatenate(attribute_parts)
    attributes, at = {}, 0
    for name, count in channels.items():
        attributes[name] = torch.from_numpy(np.ascontiguousarray(values[:, at : at + count]))
        at += count
    needed = int(coords.max()) + 1 if len(coords) else 1
    resolution = 1 << (needed - 1).bit_length()
    if "resolution" in header:
        resolution = _whole(header, "resolution", needed, MAX_COORDINATE)
    return SparseVoxels(torch.from_numpy(coords), resolution, attributes)


def _decode_chunk(
    data: memoryview, entry: dict[str, Any], channels: dict[str, int], options: VxzOptions, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Local coords [n, 3] and all attributes side by side [n, C] of one chunk of at most `limit` voxels."""
    from scenewright.io.vxz_codec import neighbor_decode, octree_decode, parent_decode  # compiled: slow to import

    depth = options.chunk_size.bit_length() - 1

    def stream(name: str, max_size: int) -> np.ndarray:
        start, length = _span(entry, name, len(data))
        return np.frombuffer(decompress(bytes(data[start : start + length]), options.compression, max_size), np.uint8)

    # No node has fewer than one leaf below it, and no chunk more leaves than cells.
    nodes = stream("svo", min(limit * depth, 2 * options.chunk_size**3 // 8 + depth))
    codes = octree_decode(nodes, depth, limit)
    if not len(codes):
        raise _Damaged(f"the octree of chunk {entry['idx']} is damaged or has too many voxels")
    local = _from_z_order(codes)
    parts = []
    for name, width in _streams(channels, options):
        values = stream(name, len(codes) * width)
        if len(values) != len(codes) * width:
            raise _Damaged(f"stream '{name}' of chunk {entry['idx']} should have {len(codes) * width} bytes")
        parts.append(values.reshape(len(codes), width))
    values = np.ascontiguousarray(np.concatenate(parts, 1)) if parts else np.empty((len(codes), 0), np.uint8)
    if options.filter == "parent":
        values = parent_decode(values, codes, nodes, depth)
    elif options.filter == "neighbor":
        values = neighbor_decode(values, local)
    return local, values


def _streams(channels: dict[str, int], options: VxzOptions) -> list[tuple[str, int]]:
    """Names and widths of a chunk's attribute streams, in the order of the attributes."""
    if options.interleave == "as_is":
        return list(channels.items())
    if options.interleave == "all":
        return [("attr", sum(channels.values()))] if channels else []
    return [(f"{name}_{channel}", 1) for name, count in channels.items() for channel in range(count)]


def _channels(header: dict[str, Any]) -> dict[str, int]:
    pairs = header.get("attr")
    channels: dict[str, int] = {}
    for pair in pairs if isinstance(pairs, list) else [None]:
        if not (
            isinstance(pair, list)
            and len(pair) == 2
            and isinstance(pair[0], str)
            and type(pair[1]) is int
            and 0 < pair[1] <= MAX_CHANNELS
            and pair[0] not in channels
        ):
            raise _Damaged("its header's list of attributes should hold pairs of a new name and a channel count")
        channels[pair[0]] = pair[1]
    if sum(channels.values()) > MAX_CHANNELS:
        raise _Damaged(f"it declares more than {MAX_CHANNELS} channels")
    return channels


def _whole(header: dict[str, Any], name: str, low: int, high: int) -> int:
    value = header.get(name)
    if type(value) is not int or not low <= value <= high:
        raise _Damaged(f"its '{name}' should be a whole number from {low} to {high}, but is {value!r:.60}")
    return value


def _span(entry: dict[str, Any], name: str, available: int) -> tuple[int, int]:
    span = entry.get(name)
    if not (isinstance(span, list) and len(span) == 2 and all(type(value) is int and value >= 0 for value in span)):
        raise _Damaged(f"a chunk's '{name}' should be an offset and a length, but is {span!r:.60}")
    if span[0] + span[1] > available:
        raise _Damaged(f"a chunk's '{name}' reaches {span[0] + span[1]} of {available} bytes")
    return span[0], span[1]
