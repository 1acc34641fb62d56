"""Tiny glTF files, one per feature: a square of two triangles in the plane y = 0, one metre wide, unless told."""

import base64
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SQUARE = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 0, 0]], np.float32)
CORNERS = np.array([0, 1, 2, 0, 2, 3], np.uint16)
UV = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.float32)
_COMPONENTS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class Gltf:
    """A document of one square under one node; cases change what they are about."""

    def __init__(self, corners: np.ndarray | None = CORNERS, **attributes: np.ndarray) -> None:
        self.binary = bytearray()
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"name": "square", "mesh": 0}],
            "accessors": [],
            "bufferViews": [],
        }
        columns = {"POSITION": SQUARE, **attributes}
        primitive: dict[str, Any] = {"attributes": {name: self.accessor(values) for name, values in columns.items()}}
        if corners is not None:
            primitive["indices"] = self.accessor(corners)
        self.document["meshes"] = [{"primitives": [primitive]}]

    @property
    def node(self) -> dict[str, Any]:
        return self.document["nodes"][0]

    @property
    def primitive(self) -> dict[str, Any]:
        return self.document["meshes"][0]["primitives"][0]

    def view(self, content: bytes, **more: Any) -> int:
        self.binary += bytes(-len(self.binary) % 4)
        self.document["bufferViews"].append(
            {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(content), **more}
        )
        self.binary += content
        return len(self.document["bufferViews"]) - 1

    def accessor(self, values: np.ndarray, **more: Any) -> int:
        width = 1 if values.ndim == 1 else int(np.prod(values.shape[1:]))
        entry = {
            "componentType": _COMPONENTS[values.dtype.str[1:]],
            "count": len(values),
            "type": _KINDS[width],
            **more,
        }
        if "bufferView" not in entry and "sparse" not in entry:
            entry["bufferView"] = self.view(values.tobytes())
        self.document["accessors"].append(entry)
        return len(self.document["accessors"]) - 1

    def textured(self, picture: bytes, slot: str = "baseColorTexture", **info: Any) -> "Gltf":
        """The square's material gets a texture; `info` goes into its textureInfo."""
        material = self.document.setdefault("materials", [{"pbrMetallicRoughness": {"metallicFactor": 0}}])[0]
        self.primitive["material"] = 0
        images, textures = (self.document.setdefault(name, []) for name in ("images", "textures"))
        images.append({"bufferView": self.view(picture), "mimeType": "image/png"})
        textures.append({"source": len(images) - 1})
        owner = material["pbrMetallicRoughness"] if slot.startswith(("base", "metallic")) else material
        owner[slot] = {"index": len(textures) - 1, **info}
        return self

    def requires(self, *names: str) -> "Gltf":
        self.document["extensionsUsed"] = self.document["extensionsRequired"] = list(names)
        return self

    def glb(self) -> bytes:
        self.document["buffers"] = [{"byteLength": len(self.binary)}, *self.document.get("buffers", [{}])[1:]]
        text = json.dumps(self.document).encode()
        text += b" " * (-len(text) % 4)
        binary = bytes(self.binary) + bytes(-len(self.binary) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
        return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def picture(kind: str = "PNG", rgb: tuple[int, int, int] = (200, 40, 20), halves: bool = False) -> bytes:
    """An 8 x 8 picture of one colour; with `halves` its right half is black."""
    pixels = np.full((8, 8, 3), rgb, np.uint8)
    if halves:
        pixels[:, 4:] = 0
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, lossless=True) if kind == "WEBP" else Image.fromarray(pixels).save(
        buffer, kind
    )
    return buffer.getvalue()


def sparse() -> Gltf:
    """One corner of a flat square is replaced."""
    gltf = Gltf()
    moved = SQUARE.copy()
    moved[2] = 9
    rows, values = gltf.view(np.array([2], np.uint8).tobytes()), gltf.view(SQUARE[2:3].tobytes())
    replaced = {"count": 1, "indices": {"bufferView": rows, "componentType": 5121}, "values": {"bufferView": values}}
    gltf.primitive["attributes"]["POSITION"] = gltf.accessor(
        moved, bufferView=gltf.view(moved.tobytes()), sparse=replaced
    )
    return gltf


def sparse_alone() -> Gltf:
    """All corners but the first are replaced; there is nothing else."""
    gltf = Gltf()
    rows, values = gltf.view(np.arange(1, 4, dtype=np.uint16).tobytes()), gltf.view(SQUARE[1:].tobytes())
    replaced = {"count": 3, "indices": {"bufferView": rows, "componentType": 5123}, "values": {"bufferView": values}}
    gltf.primitive["attributes"]["POSITION"] = gltf.accessor(SQUARE, sparse=replaced)
    return gltf


def strip() -> Gltf:
    gltf = Gltf(np.array([0, 1, 3, 2], np.uint8))
    gltf.primitive["mode"] = 5
    return gltf


def fan() -> Gltf:
    gltf = Gltf(None)
    gltf.primitive["mode"] = 6
    return gltf


def lines_beside() -> Gltf:
    gltf = Gltf()
    gltf.document["meshes"][0]["primitives"].append({"attributes": dict(gltf.primitive["attributes"]), "mode": 1})
    return gltf


def draco() -> Gltf:
    import DracoPy

    packed = DracoPy.encode(SQUARE, faces=CORNERS.reshape(-1, 3).astype(np.uint32), quantization_bits=14)
    mesh = DracoPy.decode(packed)
    gltf = Gltf()
    count = len(mesh.attributes[0]["data"])
    gltf.document["accessors"] = [
        {"componentType": 5126, "count": count, "type": "VEC3"},
        {"componentType": 5125, "count": 6, "type": "SCALAR"},
    ]
    gltf.binary, gltf.document["bufferViews"] = bytearray(), []
    number = next(a["unique_id"] for a in mesh.attributes if a["attribute_type"] == 0)
    gltf.primitive["extensions"] = {
        "KHR_draco_mesh_compression": {"bufferView": gltf.view(packed), "attributes": {"POSITION": number}}
    }
    return gltf.requires("KHR_draco_mesh_compression")


def meshopt() -> Gltf:
    import meshopt as codec

    gltf = Gltf()
    for number, (values, stride, mode) in enumerate(((SQUARE, 12, "ATTRIBUTES"), (CORNERS, 2, "TRIANGLES"))):
        rows = values if mode == "ATTRIBUTES" else values.astype(np.uint32)
        packed = codec.encode_gltf_buffer(rows, mode) if mode == "ATTRIBUTES" else codec.encode_index_buffer(rows)
        where = gltf.view(bytes(packed))
        stored = gltf.document["bufferViews"].pop(where)
        location = {key: stored[key] for key in ("byteOffset", "byteLength")}
        gltf.document["bufferViews"][number] = {
            "buffer": 1,
            "byteLength": values.nbytes,
            "extensions": {
                "EXT_meshopt_compression": {
                    "buffer": 0,
                    "byteStride": stride,
                    "count": len(values),
                    "mode": mode,
                    **location,
                }
            },
        }
    gltf.document["buffers"] = [
        {},
        {"byteLength": 60, "extensions": {"EXT_meshopt_compression": {"fallback": True}}},
    ]
    return gltf.requires("EXT_meshopt_compression")


def webp() -> Gltf:
    gltf = Gltf(TEXCOORD_0=UV).textured(picture("WEBP"))
    gltf.document["textures"] = [{"extensions": {"EXT_texture_webp": {"source": 0}}}]
    return gltf.requires("EXT_texture_webp")


def ktx2() -> Gltf:
    """The picture was made by the Basis Universal encoder: 8 x 8 pixels of (200, 40, 20)."""
    gltf = Gltf(TEXCOORD_0=UV).textured((Path(__file__).parent / "red.ktx2").read_bytes())
    gltf.document["textures"] = [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]
    return gltf.requires("KHR_texture_basisu")


def texture_moved() -> Gltf:
    """The texture's right half is black; scaled by a half, the square shows its left half alone."""
    moved = {"KHR_texture_transform": {"scale": [0.5, 1]}}
    return Gltf(TEXCOORD_0=UV).textured(picture(halves=True), extensions=moved).requires("KHR_texture_transform")


def second_coordinates() -> Gltf:
    """Base colour by the first set, emission by the second, which shows the left half of its picture alone."""
    gltf = Gltf(TEXCOORD_0=UV, TEXCOORD_1=UV * np.array([0.5, 1], np.float32)).textured(picture())
    gltf.textured(picture(rgb=(0, 250, 0), halves=True), "emissiveTexture", texCoord=1)
    gltf.document["materials"][0]["emissiveFactor"] = [1, 1, 1]
    return gltf


def missing_coordinates() -> Gltf:
    return Gltf(TEXCOORD_0=UV).textured(picture(), texCoord=1)


def clamped() -> Gltf:
    gltf = Gltf(TEXCOORD_0=UV * 2).textured(picture(halves=True))
    gltf.document["samplers"] = [{"wrapS": 33071, "wrapT": 33648}]
    gltf.document["textures"][0]["sampler"] = 0
    return gltf


def emissive() -> Gltf:
    gltf = Gltf(TEXCOORD_0=UV).textured(picture(rgb=(0, 0, 250), halves=True), "emissiveTexture")
    gltf.document["samplers"] = [{"wrapS": 33071}]
    gltf.document["textures"][0]["sampler"] = 0
    material = gltf.document["materials"][0]
    material["emissiveFactor"] = [1, 1, 1]
    material["extensions"] = {"KHR_materials_emissive_strength": {"emissiveStrength": 2}}
    return gltf


def opaque_with_vertex_alpha() -> Gltf:
    gltf = Gltf(COLOR_0=np.array([[0.8, 0.1, 0.1, 0.0]] * 4, np.float32))
    gltf.document["materials"] = [{"pbrMetallicRoughness": {"metallicFactor": 0}}]
    gltf.primitive["material"] = 0
    return gltf


def glossy() -> Gltf:
    gltf = Gltf()
    gloss = {"diffuseFactor": [0.1, 0.6, 0.1, 1], "glossinessFactor": 0.25}
    gltf.document["materials"] = [{"extensions": {"KHR_materials_pbrSpecularGlossiness": gloss}}]
    gltf.primitive["material"] = 0
    return gltf.requires("KHR_materials_pbrSpecularGlossiness")


def transmission() -> Gltf:
    gltf = Gltf()
    gltf.document["materials"] = [{"extensions": {"KHR_materials_transmission": {"transmissionFactor": 1}}}]
    gltf.primitive["material"] = 0
    return gltf.requires("KHR_materials_transmission")


def instanced() -> Gltf:
    gltf = Gltf()
    places = gltf.accessor(np.array([[0, 0, 0], [2, 0, 0], [4, 0, 0]], np.float32))
    gltf.node["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": places}}}
    return gltf.requires("EXT_mesh_gpu_instancing")


def morphed() -> Gltf:
    """At rest the square is lifted by half of three metres."""
    gltf = Gltf()
    gltf.primitive["targets"] = [{"POSITION": gltf.accessor(np.tile(np.array([[0, 3, 0]], np.float32), (4, 1)))}]
    gltf.document["meshes"][0]["weights"] = [0.5]
    return gltf


def skinned() -> Gltf:
    """Vertices in centimetres under an armature of 0.01 that stands 2 m up. The mesh's own node does not count."""
    gltf = Gltf(
        JOINTS_0=np.zeros((4, 4), np.uint8),
        WEIGHTS_0=np.tile(np.array([[1, 0, 0, 0]], np.float32), (4, 1)),
        POSITION=SQUARE * 100,
    )
    inverse = gltf.accessor(np.eye(4, dtype=np.float32)[None])
    gltf.document["nodes"] = [
        {"name": "square", "mesh": 0, "skin": 0, "scale": [7, 7, 7]},
        {"name": "armature", "scale": [0.01, 0.01, 0.01], "translation": [0, 2, 0], "children": [2]},
        {"name": "bone"},
    ]
    gltf.document["scenes"][0]["nodes"] = [0, 1]
    gltf.document["skins"] = [{"joints": [2], "inverseBindMatrices": inverse}]
    return gltf


def hidden_by_scale() -> Gltf:
    gltf = Gltf()
    gltf.document["nodes"].append({"name": "hidden", "mesh": 0, "scale": [0, 0, 0], "translation": [50, 0, 0]})
    gltf.document["scenes"][0]["nodes"] = [0, 1]
    return gltf


def damaged_normals() -> Gltf:
    return Gltf(NORMAL=np.full((4, 3), np.nan, np.float32), TEXCOORD_0=np.full((4, 2), np.inf, np.float32))


def quantised() -> Gltf:
    gltf = Gltf(POSITION=np.array(SQUARE, np.int8).astype(np.int16))
    return gltf.requires("KHR_mesh_quantization")


CASES: dict[str, Callable[[], Gltf]] = {
    case.__name__: case
    for case in (
        sparse, sparse_alone, strip, fan, lines_beside, draco, meshopt, webp, ktx2, texture_moved, second_coordinates,
        missing_coordinates, clamped, emissive, opaque_with_vertex_alpha, glossy, transmission, instanced, morphed,
        skinned, hidden_by_scale, damaged_normals, quantised,
    )
}  # fmt: skip


def write_beside(gltf: Gltf, folder: Path, *, bom: bool = False, escaped: bool = False) -> Path:
    """The document as `.gltf` with its numbers beside it, or inside it as a percent-encoded URI."""
    uri = "square%20one.bin"
    if escaped:
        uri = "data:application/octet-stream;base64," + base64.b64encode(gltf.binary).decode().replace("=", "%3D")
    else:
        (folder / "square one.bin").write_bytes(gltf.binary)
    gltf.document["buffers"] = [{"byteLength": len(gltf.binary), "uri": uri}]
    text = json.dumps(gltf.document).encode()
    path = folder / "square.gltf"
    path.write_bytes(b"\xef\xbb\xbf" + text if bom else text)
    return path
