"""GLB and glTF files: the container around `gltf_export` and `gltf_import`, bounded when reading.

A GLB is a 12-byte header, one JSON chunk and at most one binary chunk (glTF 2.0, section 4.4). A `.gltf` may refer to
files in its own folder, never outside it and never to the network.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from scenewright.errors import InputError
from scenewright.files import inside, json_value, read_file, reading
from scenewright.io.atomic import write_bytes, write_together
from scenewright.io.format import Content, Format
from scenewright.io.gltf_data import table, whole
from scenewright.io.gltf_export import GltfOptions, export_document
from scenewright.io.gltf_import import import_document, read_data_uri
from scenewright.types import Scene

__all__ = ["GLB", "GLTF", "glb_bytes", "load_glb", "parse_glb", "read_beside", "save_glb", "save_gltf"]

_KIND = ("well-formed glTF", "export it again")
_PLAIN = GltfOptions()
_MAGIC, _VERSION = 0x46546C67, 2
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942


def save_glb(scene: Scene, path: str | Path, options: GltfOptions = _PLAIN) -> Path:
    """Write the scene's meshes, placements, materials and camera to `path`, whole or not at all; returns the path.

    Raises:
        InputError: the folder cannot be written, or the scene holds what GLB cannot.
    """
    return write_bytes(path, glb_bytes(scene, options))


def glb_bytes(scene: Scene, options: GltfOptions = _PLAIN) -> bytes:
    """The scene as the bytes of a GLB file; the same scene gives the same bytes.

    Raises:
        InputError: the scene holds what GLB cannot: splats without a mesh, numbers that are not finite.
        MissingExtraError: it is to be packed without the extra `gltf`.
    """
    document, binary = export_document(scene, options)
    text = _json_bytes(document)
    chunks = _chunk(_JSON_CHUNK, text + b" " * (-len(text) % 4))
    if binary:
        chunks += _chunk(_BINARY_CHUNK, binary)
    return struct.pack("<III", _MAGIC, _VERSION, 12 + len(chunks)) + chunks


def save_gltf(scene: Scene, path: str | Path) -> Path:
    """Write the scene as `path` and, beside it, the same name with `.bin` for all numbers and pictures.

    Raises:
        InputError: as `save_glb`.
    """
    path = Path(path)
    document, binary = export_document(scene)
    if not binary:
        return write_bytes(path, _json_bytes(document))
    beside = path.with_suffix(".bin")
    document["buffers"][0] = {"uri": quote(beside.name), **document["buffers"][0]}
    content = _json_bytes(document)
    with write_together(beside, path) as (numbers, names):
        numbers.write_bytes(binary)
        names.write_bytes(content)
    return path


def _json_bytes(document: dict[str, Any]) -> bytes:
    try:
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"The scene's extras or provenance are not plain JSON data ({error}).") from error


def _chunk(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", len(content), kind) + content


def load_glb(path: str | Path) -> Scene:
    """The scene in a `.glb` or `.gltf` file, converted to z up.

    Raises:
        InputError: the file is missing, damaged, too large, or uses what is not supported; the message says which.
    """
    path = Path(path)
    with reading(path, *_KIND):
        return parse_glb(read_file(path), name=f"'{path}'", read=lambda uri: read_beside(path.parent, unquote(uri)))


def _no_file(uri: str) -> bytes:
    raise InputError(f"it refers to '{uri}', but nothing beside it can be read; export it as one .glb file")


def parse_glb(content: bytes, *, name: str = "the scene", read: Callable[[str], bytes] = _no_file) -> Scene:
    """The scene held in the bytes of a `.glb` or `.gltf` file; `read` gives the content of files that it names.

    Raises:
        InputError: as `load_glb`.
    """
    if not content:
        raise InputError(f"Scene {name} is empty (0 bytes); export it again.")
    with reading(name, *_KIND, size=len(content)):
        try:
            document, binary = _split(content)
            return import_document(document, _buffers(document, binary, read), read)
        except InputError as error:
            raise InputError(f"Cannot read {name}: {str(error).rstrip('.')}.") from error


def _split(content: bytes) -> tuple[dict[str, Any], bytes | None]:
    """The JSON document and the binary chunk."""
    binary = None
    if content[:4] == struct.pack("<I", _MAGIC):
        if len(content) < 20:
            raise InputError("it is truncated within its header")
        _, version, length = struct.unpack_from("<III", content)
        if version != _VERSION:
            raise InputError(f"it is glTF version {version}; version 2 is supported")
        if length > len(content):
            raise InputError(f"it is truncated: its header promises {length:,} bytes, there are {len(content):,}")
        chunks = list(_chunks(content, length))
        if not chunks or chunks[0][0] != _JSON_CHUNK:
            raise InputError("its first chunk is not JSON")
        text = chunks[0][1]
        if len(chunks) > 1 and chunks[1][0] == _BINARY_CHUNK:
            binary = chunks[1][1]
    else:
        text = content
    try:
        document = json_value(text, dict)
    except ValueError as error:
        raise InputError("it is neither GLB nor glTF JSON") from error
    if not isinstance(document.get("asset"), dict):
        raise InputError("it is not a glTF document: it has no 'asset'")
    version, least = (document["asset"].get(name) for name in ("version", "minVersion"))
    if str(version).partition(".")[0] != str(_VERSION):
        raise InputError(f"it is glTF version {version!r}; version 2 is supported")
    if least is not None and str(least) not in ("2", "2.0"):
        raise InputError(f"it needs a reader of glTF {least!r}; version 2.0 is supported, so export it as that")
    return document, binary


def _chunks(content: bytes, length: int) -> list[tuple[int, bytes]]:
    chunks, offset = [], 12
    while offset + 8 <= length:
        size, kind = struct.unpack_from("<II", content, offset)
        if offset + 8 + size > length:
            raise InputError("a chunk reaches beyond the end of the file; it is truncated or damaged")
        chunks.append((kind, content[offset + 8 : offset + 8 + size]))
        offset += 8 + size
    return chunks


def _buffers(document: dict[str, Any], binary: bytes | None, read: Callable[[str], bytes]) -> list[bytes]:
    entries = document.get("buffers", [])
    if not isinstance(entries, list) or len(entries) > 1024:
        raise InputError("its list of buffers is malformed")
    buffers = []
    for index, entry in enumerate(entries):
        length = whole(entry.get("byteLength"), "a buffer's byteLength")
        if any(name.endswith("meshopt_compression") for name in table(entry.get("extensions"))) and "uri" not in entry:
            buffers.append(b"")  # a stand-in that only readers without this extension would look for
            continue
        if "uri" not in entry and index == 0 and binary is not None:
            content = binary
        else:
            content = read_data_uri(entry.get("uri"), read)
        if len(content) < length:
            raise InputError(f"buffer {index} has {len(content):,} bytes instead of {length:,}; the file is truncated")
        buffers.append(content)
    return buffers


def read_beside(folder: Path, name: str) -> bytes:
    """Content of a file that another names by a relative path, which must lie in that file's own folder.

    Raises:
        InputError: it lies elsewhere, is missing or too large.
    """
    return read_file(inside(folder, name))


_HOLDS: frozenset[Content] = frozenset({"meshes", "objects", "materials", "textures", "colors", "cameras"})
GLB = Format("glTF, one binary file", ".glb", _HOLDS, load_glb, save_glb)
GLTF = Format("glTF with a .bin beside it", ".gltf", _HOLDS, load_glb, save_gltf)
