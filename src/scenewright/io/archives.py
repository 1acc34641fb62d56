"""Members of zip files and NumPy arrays, one at a time: sizes are compared and counted before memory is taken.

A header that promises more than its file holds is refused, as are pickled objects and encrypted or unusual packing.
"""

import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import cast

import numpy as np

from scenewright.errors import InputError
from scenewright.files import read_file, reader, spend

__all__ = ["inflate", "map_npy", "npy_array", "npz_arrays", "open_zip", "read_npy", "read_npz_arrays", "zip_member"]

Stream = zipfile.ZipExtFile | io.BytesIO
_CHUNK = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# zipfile keeps this much of each member's name, sizes and times.
_BYTES_PER_MEMBER = 1024


def open_zip(source: Path | bytes) -> zipfile.ZipFile:
    """The zip at a path or in memory; only its table of contents is read.

    Raises:
        InputError: it is no regular file.
        Exception: it is no zip; the kinds are many, so call this inside `files.reading`.
    """
    if isinstance(source, Path) and not source.is_file():
        raise InputError(f"'{source}' is not there, or is no regular file.")
    archive = zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    spend(len(archive.infolist()) * _BYTES_PER_MEMBER, "its table of contents")
    return archive


def zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo | str) -> bytes:
    """Content of one member of a zip.

    Raises:
        InputError: it is packed in an unusual way, or is too large for its file.
        Exception: it is damaged; the kinds are many, so call this inside `files.reading`.
    """
    info = archive.getinfo(member) if isinstance(member, str) else member
    with _opened(archive, info) as file:
        spend(info.file_size, f"'{info.filename}'")
        return bytes(_exactly(file, info.file_size))


def _opened(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Stream:
    if info.compress_type not in _METHODS:
        raise InputError(f"'{info.filename}' is packed in an unusual way; pack the zip again with deflate")
    return cast(zipfile.ZipExtFile, archive.open(info))


def _exactly(file: Stream, size: int) -> bytearray:
    content, done = bytearray(size), 0
    while done < size and (chunk := file.read(min(_CHUNK, size - done))):
        content[done : done + len(chunk)] = chunk
        done += len(chunk)
    if done < size:
        raise ValueError("it ends too early")
    return content


def inflate(content: bytes) -> bytes:
    """Bytes that zlib packed, taken piece by piece, each of which is counted.

    Raises:
        InputError: it is too large for its file.
        zlib.error: it is damaged.
    """
    decoder, pieces, rest = zlib.decompressobj(), [], content
    while not decoder.eof:
        piece = decoder.decompress(rest, _CHUNK)
        if not piece and not decoder.unconsumed_tail and not decoder.eof:
            raise zlib.error("it ends too early")
        # The pieces are joined in the end, so each is held twice.
        spend(2 * len(piece), "its unpacked content")
        pieces.append(piece)
        rest = decoder.unconsumed_tail
    return b"".join(pieces)


def npy_array(file: Stream, size: int) -> np.ndarray:
    """The array of a .npy stream of `size` bytes.

    Raises:
        ValueError: it holds pickled objects, or another number of bytes than its header says.
        Exception: its header is damaged; the kinds are many, so call this inside `files.reading`.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"its format {version[0]}.{version[1]} is not read")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(file)
    if dtype.hasobject or dtype.names is not None:
        raise ValueError("it holds pickled objects or records instead of numbers")
    if not all(isinstance(side, int) and side >= 0 for side in shape) or len(shape) > 8:
        raise ValueError(f"its shape {shape} is not possible")
    num_bytes = math.prod(shape) * dtype.itemsize
    if num_bytes > size:
        raise ValueError(f"its header promises {num_bytes:,} bytes, it has {size:,}")
    spend(num_bytes, "an array")
    flat = np.frombuffer(_exactly(file, num_bytes), dtype, math.prod(shape)) if num_bytes else np.zeros(0, dtype)
    return flat.reshape(shape[::-1]).T if is_fortran else flat.reshape(shape)


def npz_arrays(source: Path | bytes) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, without pickled objects.

    Raises:
        InputError: they are too large for their file.
        Exception: it is damaged; the kinds are many, so call this inside `files.reading`.
    """
    arrays = {}
    with open_zip(source) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                raise ValueError(f"its member '{info.filename[:80]}' is no array")
            with _opened(archive, info) as file:
                arrays[info.filename.removesuffix(".npy")] = npy_array(file, info.file_size)
    return arrays


@reader("an .npz of NumPy arrays", "write it again with numpy.savez, without objects")
def read_npz_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, without pickled objects.

    Raises:
        InputError: it is missing, damaged, or too large for its file.
    """
    return npz_arrays(read_file(path))


@reader("an .npy array of numbers", "write it again with numpy.save")
def read_npy(path: str | Path) -> np.ndarray:
    """The array of an .npy file, without pickled objects.

    Raises:
        InputError: it is missing, damaged, or shorter than its header says.
    """
    content = read_file(path)
    return npy_array(io.BytesIO(content), len(content))


@reader("an .npy array of numbers", "write it again with numpy.save")
def map_npy(path: str | Path) -> np.ndarray:
    """The array of an .npy file, read from the disk where it is used.

    Raises:
        InputError: it is missing, damaged, or shorter than its header says.
    """
    return np.load(path, mmap_mode="r", allow_pickle=False)
