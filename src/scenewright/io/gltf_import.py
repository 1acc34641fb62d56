"""A glTF document and its buffers become a `Scene`: every mesh node an object, every triangle primitive a part.

Reading is defensive: nodes are visited once, without recursion, up to `MAX_NODES`; every reference and range is
checked; images are decoded under a pixel limit; compressed or transformed data that would be misread is refused with
a sentence. Skins, animations and morph targets are ignored (the rest pose is read); points and lines are skipped.

Frame: glTF is y up and its front +z; (x, y, z) becomes (x, -z, y) (docs/conventions.md).
"""

import base64
import binascii
import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.frames import CVCAM_FROM_GLTFCAM, ZUP_FROM_YUP, zup_from_yup
from scenewright.geometry.rotation import compose_similarity, decompose_similarity, quaternion_wxyz_to_matrix
from scenewright.io.gltf_accessors import item, read_accessor, view_bytes, whole
from scenewright.io.images import decode_image, pixels_of
from scenewright.io.scene_facts import object_facts, read_matrix, read_room
from scenewright.types import Camera, Mesh, PanoramaCamera, PBRMaterial, Scene, SceneObject

__all__ = ["MAX_NODES", "import_document", "read_data_uri"]

logger = logging.getLogger(__name__)

MAX_NODES = 100_000
_MAX_IMAGES = 4096
_MAX_IMAGE_PIXELS = 1 << 26
_MAX_TOTAL_PIXELS = 1 << 29
_MAX_TOTAL_NUMBERS = 1 << 29
_TRIANGLES = 4
# Extensions that change nothing we read, or only add quality we do not keep.
_HARMLESS = {"KHR_mesh_quantization", "KHR_materials_unlit", "KHR_lights_punctual", "KHR_node_visibility"}

Document = Mapping[str, Any]
ReadUri = Callable[[str], bytes]


def import_document(document: Document, buffers: Sequence[bytes], read_uri: ReadUri) -> Scene:
    """The scene a glTF document describes.

    Args:
        buffers: content of each entry of `document["buffers"]`.
        read_uri: content of a relative URI; raises `InputError` where that is not allowed.

    Raises:
        InputError: the document is malformed or uses something that cannot be read.
    """
    required = document.get("extensionsRequired", [])
    for extension in required if isinstance(required, list) else []:
        if extension not in _HARMLESS:
            raise InputError(f"it needs the extension {extension}, which is not supported; export it without")
    reader = _Reader(document, buffers, read_uri)
    objects: list[SceneObject] = []
    cameras: dict[str, Camera | PanoramaCamera] = {}
    for node, yup_from_node in _placed_nodes(document):
        if "mesh" in node:
            objects.append(reader.scene_object(node, yup_from_node, len(objects)))
        if (camera := _camera(document, node, yup_from_node)) is not None:
            cameras[_free_name(str(node.get("name") or "camera"), cameras)] = camera
    ours = _dict(_dict(_dict(document.get("asset")).get("extras")).get("scenewright"))
    provenance = _dict(ours.get("provenance"))
    notes = provenance.get("notes")
    return Scene(
        objects=tuple(objects),
        cameras=cameras,
        is_metric=bool(ours.get("is_metric", False)),
        room=read_room(ours.get("room")),
        world_from_system=read_matrix(provenance.get("world_from_system"), 4, 4),
        notes=tuple(str(note) for note in notes) if isinstance(notes, list) else (),
        provenance=provenance,
    )


def _free_name(name: str, taken: Collection[str]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _placed_nodes(document: Document) -> list[tuple[dict[str, Any], Float[Tensor, "4 4"]]]:
    """Nodes of the default scene in file order of a depth-first walk, with their matrices to the y-up world."""
    nodes = document.get("nodes") or []
    if not isinstance(nodes, list) or len(nodes) > MAX_NODES:
        raise InputError(f"it has more than the {MAX_NODES:,} nodes allowed, or none readable")
    if document.get("scenes"):
        roots = item(document, "scenes", document.get("scene", 0)).get("nodes", [])
    else:
        children = {child for node in nodes for child in _dict(node).get("children", [])}
        roots = [index for index in range(len(nodes)) if index not in children]
    placed, seen = [], set()
    stack = [(index, torch.eye(4, dtype=torch.float64)) for index in reversed(roots)]
    while stack:
        index, yup_from_parent = stack.pop()
        node = item(document, "nodes", index)
        if index in seen:
            raise InputError(f"node {index} is reached twice (a cycle or a shared child)")
        seen.add(index)
        yup_from_node = yup_from_parent @ _local_matrix(node)
        if not bool(yup_from_node.isfinite().all()):
            raise InputError(f"node {index} has a transform that is not finite")
        placed.append((node, yup_from_node))
        stack.extend((child, yup_from_node) for child in reversed(node.get("children", [])))
    return placed


def _numbers(value: Any, count: int, what: str) -> list[float]:
    numeric = isinstance(value, list) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    if not numeric or len(value) != count or not all(math.isfinite(v) for v in value):
        raise InputError(f"{what} is not a list of {count} finite numbers")
    return [float(v) for v in value]


def _local_matrix(node: Mapping[str, Any]) -> Float[Tensor, "4 4"]:
    if "matrix" in node:
        return torch.tensor(_numbers(node["matrix"], 16, "a node's matrix"), dtype=torch.float64).reshape(4, 4).T
    matrix = torch.eye(4, dtype=torch.float64)
    if "rotation" in node:
        x, y, z, w = _numbers(node["rotation"], 4, "a node's rotation")
        if x * x + y * y + z * z + w * w < 1e-12:
            raise InputError("a node's rotation has no length")
        matrix[:3, :3] = quaternion_wxyz_to_matrix(torch.tensor([w, x, y, z], dtype=torch.float64))
    if "scale" in node:
        matrix[:3, :3] *= torch.tensor(_numbers(node["scale"], 3, "a node's scale"), dtype=torch.float64)
    if "translation" in node:
        matrix[:3, 3] = torch.tensor(_numbers(node["translation"], 3, "a node's translation"), dtype=torch.float64)
    return matrix


def _camera(
    document: Document, node: Mapping[str, Any], yup_from_node: Float[Tensor, "4 4"]
) -> Camera | PanoramaCamera | None:
    """A node's camera, if it has one; panoramas are known by our own extras."""
    panorama = _dict(_dict(_dict(node.get("extras")).get("scenewright")).get("panorama"))
    lens = _lens(item(document, "cameras", node["camera"])) if "camera" in node else None
    if lens is None and not panorama:
        return None
    try:
        rotation, translation, _ = decompose_similarity(ZUP_FROM_YUP @ yup_from_node @ CVCAM_FROM_GLTFCAM)
    except ValueError:
        logger.warning("The camera's node is not a rigid transform; the camera was left out.")
        return None
    cam_from_world = compose_similarity(rotation.T, -rotation.T @ translation).float()
    if lens is not None:
        return Camera(lens[0], cam_from_world, *lens[1:])
    width, height = (whole(panorama.get(side), f"a panorama's {side}") for side in ("width", "height"))
    return PanoramaCamera(cam_from_world, width, height)


def _lens(camera: Mapping[str, Any]) -> tuple[Float[Tensor, "3 3"], int, int] | None:
    """Intrinsics and size, of our own extras, else from the field of view alone; None of an orthographic camera."""
    perspective = camera.get("perspective")
    if not isinstance(perspective, dict):
        return None
    ours = _dict(_dict(camera.get("extras")).get("scenewright"))
    if "intrinsics_px" in ours:
        width, height = whole(ours.get("width"), "a camera's width"), whole(ours.get("height"), "a camera's height")
        rows = ours["intrinsics_px"] if isinstance(ours["intrinsics_px"], list) else []
        flat = [value for row in rows for value in (row if isinstance(row, list) else [row])]
        intrinsics = torch.tensor(_numbers(flat, 9, "a camera's intrinsics_px")).reshape(3, 3)
        if min(width, height, float(intrinsics[0, 0]), float(intrinsics[1, 1])) <= 0 or max(width, height) > 1 << 16:
            raise InputError("a camera's size or focal length is out of range")
    else:
        yfov, aspect = _numbers([perspective.get("yfov"), perspective.get("aspectRatio", 1.0)], 2, "a camera's lens")
        if not 0 < yfov < math.pi or aspect <= 0:
            raise InputError("a camera's field of view or aspect ratio is out of range")
        height = 1024
        width = max(1, min(1 << 16, round(height * aspect)))
        focal = height / (2 * math.tan(yfov / 2))
        intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return intrinsics, width, height


class _Reader:
    """Reads meshes, materials and images of one document; each is read once, however often it is used."""

    def __init__(self, document: Document, buffers: Sequence[bytes], read_uri: ReadUri) -> None:
        self._document, self._buffers, self._read_uri = document, buffers, read_uri
        self._meshes: dict[int, tuple[Mesh, ...]] = {}
        self._materials: dict[int, tuple[PBRMaterial, int]] = {}
        self._images: dict[tuple[int, str], Tensor] = {}
        self._pixels_left, self._numbers_left = _MAX_TOTAL_PIXELS, _MAX_TOTAL_NUMBERS

    def scene_object(self, node: Mapping[str, Any], yup_from_node: Float[Tensor, "4 4"], number: int) -> SceneObject:
        """The node's mesh as an object; what a similarity cannot express is baked into the vertices."""
        index = node["mesh"]
        mesh = item(self._document, "meshes", index)
        if index not in self._meshes:
            self._meshes[index] = self._parts(mesh)
        parts = self._meshes[index]
        world_from_object = ZUP_FROM_YUP @ yup_from_node @ ZUP_FROM_YUP.T
        try:
            decompose_similarity(world_from_object, tolerance=1e-5)
        except ValueError:
            self._spend(sum(part.vertices.numel() + part.faces.numel() for part in parts))
            baked = SceneObject("", parts, world_from_object=world_from_object).placed_parts(torch.float64)
            parts = tuple(_single_precision(part) for part in baked)
            world_from_object = torch.eye(4, dtype=torch.float64)
        extras = dict(_dict(node.get("extras")))
        facts = object_facts(_dict(extras.pop("scenewright", None)))
        name = node.get("name") or mesh.get("name") or f"object_{number:02d}"
        return SceneObject(
            name=str(name),
            parts=parts,
            world_from_object=world_from_object.float(),
            extras=extras,
            **facts,
        )

    def _parts(self, mesh: Mapping[str, Any]) -> tuple[Mesh, ...]:
        primitives = mesh.get("primitives")
        if not isinstance(primitives, list):
            raise InputError("a mesh has no list of primitives")
        parts = []
        for primitive in primitives:
            mode = primitive.get("mode", _TRIANGLES)
            if mode in (5, 6):
                raise InputError("it uses triangle strips or fans, which are not supported; export plain triangles")
            if mode != _TRIANGLES:
                logger.warning("A primitive of points or lines was skipped.")
                continue
            parts.append(self._part(primitive))
        return tuple(parts)

    def _part(self, primitive: Mapping[str, Any]) -> Mesh:
        if "KHR_draco_mesh_compression" in _dict(primitive.get("extensions")):
            raise InputError("its meshes are Draco-compressed, which is not supported; export it uncompressed")
        attributes = primitive.get("attributes")
        if not isinstance(attributes, dict) or "POSITION" not in attributes:
            raise InputError("a primitive has no POSITION")
        positions = self._floats(attributes["POSITION"], 3)
        if "indices" in primitive:
            faces = self._read(primitive["indices"], 1)
            if faces.dtype.kind not in "iu":
                raise InputError("a primitive's indices are not whole numbers")
            faces = faces.astype(np.int64).reshape(-1)
        else:
            faces = np.arange(len(positions))
        if len(faces) % 3 or (len(faces) and (faces.max() >= len(positions) or faces.min() < 0)):
            raise InputError("a primitive's triangles refer to vertices that do not exist")
        material, uv_set = self._material(primitive["material"]) if "material" in primitive else (None, 0)
        normals = self._optional(attributes, "NORMAL", 3, len(positions))
        return Mesh(
            vertices=zup_from_yup(torch.from_numpy(positions)),
            faces=torch.from_numpy(faces.reshape(-1, 3)),
            vertex_normals=None if normals is None else zup_from_yup(normals),
            vertex_colors=self._colors(attributes, len(positions)),
            uv=self._optional(attributes, f"TEXCOORD_{uv_set}", 2, len(positions)),
            material=material,
        )

    def _spend(self, count: int) -> None:
        """Many small entries may refer to the same bytes; what they add up to in memory is bounded here."""
        self._numbers_left -= count
        if self._numbers_left < 0:
            raise InputError(f"it unfolds to more than the {_MAX_TOTAL_NUMBERS:,} numbers allowed")

    def _read(self, accessor: Any, width: int) -> np.ndarray:
        values = read_accessor(self._document, self._buffers, accessor, width)
        self._spend(values.size)
        return values

    def _floats(self, accessor: Any, width: int) -> np.ndarray:
        values = self._read(accessor, width).astype(np.float32)
        if not np.isfinite(values).all():
            raise InputError("it holds numbers that are not finite")
        return values

    def _optional(
        self, attributes: Mapping[str, Any], name: str, width: int, count: int
    ) -> Float[Tensor, "V width"] | None:
        if name not in attributes:
            return None
        values = self._floats(attributes[name], width)
        if len(values) != count:
            raise InputError(f"{name} has {len(values)} entries for {count} vertices")
        return torch.from_numpy(values)

    def _colors(self, attributes: Mapping[str, Any], count: int) -> Float[Tensor, "V 4"] | None:
        if "COLOR_0" not in attributes:
            return None
        width = 3 if item(self._document, "accessors", attributes["COLOR_0"]).get("type") == "VEC3" else 4
        colors = self._optional(attributes, "COLOR_0", width, count)
        if colors is None or width == 4:
            return colors
        return torch.cat([colors, torch.ones(count, 1)], dim=1)

    def _material(self, index: Any) -> tuple[PBRMaterial, int]:
        """The material and the number of the texture coordinates that all its textures use."""
        source = item(self._document, "materials", index)
        if index in self._materials:
            return self._materials[index]
        surface = _dict(source.get("pbrMetallicRoughness"))
        slots = (surface.get("baseColorTexture"), surface.get("metallicRoughnessTexture"), source.get("normalTexture"))
        used = [slot for slot in slots if isinstance(slot, dict)]
        uv_sets = {whole(slot.get("texCoord", 0), "a texture's texCoord") for slot in used}
        if len(uv_sets) > 1:
            raise InputError(f"material {index} uses two sets of texture coordinates; bake it to one and export again")
        if any("KHR_texture_transform" in _dict(slot.get("extensions")) for slot in used):
            raise InputError(f"material {index} moves its texture (KHR_texture_transform); apply that and export again")
        if "emissiveTexture" in source or "occlusionTexture" in source:
            logger.warning("Emissive and occlusion textures are not kept (material %s).", index)
        alpha_mode: Literal["OPAQUE", "MASK", "BLEND"] = (
            source["alphaMode"] if source.get("alphaMode") in ("OPAQUE", "MASK", "BLEND") else "OPAQUE"
        )
        color = _numbers(surface.get("baseColorFactor", [1, 1, 1, 1]), 4, "a material's baseColorFactor")
        emission = _numbers(source.get("emissiveFactor", [0, 0, 0]), 3, "a material's emissiveFactor")
        factors = [surface.get("metallicFactor", 1), surface.get("roughnessFactor", 1), source.get("alphaCutoff", 0.5)]
        metallic, roughness, cutoff = _numbers(factors, 3, "a material's factors")
        material = PBRMaterial(
            base_color_factor=(color[0], color[1], color[2], color[3]),
            metallic_factor=metallic,
            roughness_factor=roughness,
            emissive_factor=(emission[0], emission[1], emission[2]),
            base_color_texture=self._texture(slots[0], None),
            metallic_roughness_texture=self._texture(slots[1], "RGB"),
            normal_texture=self._texture(slots[2], "RGB"),
            alpha_mode=alpha_mode,
            alpha_cutoff=cutoff,
            double_sided=source.get("doubleSided") is True,
            name=str(source.get("name", "")),
        )
        self._materials[index] = (material, uv_sets.pop() if uv_sets else 0)
        return self._materials[index]

    def _texture(self, slot: Any, mode: str | None) -> UInt8[Tensor, "height width channels"] | None:
        if not isinstance(slot, dict):
            return None
        texture = item(self._document, "textures", slot.get("index"))
        if "source" not in texture:
            raise InputError("a texture has no PNG or JPEG source; export its images as one of these")
        key = (whole(texture["source"], "a texture's source"), mode or "")
        if key not in self._images:
            if len(self._images) >= _MAX_IMAGES:
                raise InputError(f"it has more than the {_MAX_IMAGES} images allowed")
            image = item(self._document, "images", key[0])
            content = self._image_bytes(image)
            limit = min(_MAX_IMAGE_PIXELS, self._pixels_left)
            picture = decode_image(content, name=f"in image {key[0]}", max_pixels=limit)
            self._pixels_left -= picture.width * picture.height
            self._images[key] = pixels_of(picture, mode or picture.mode)
        return self._images[key]

    def _image_bytes(self, image: Mapping[str, Any]) -> bytes:
        if "bufferView" in image:
            return bytes(view_bytes(self._document, self._buffers, image["bufferView"]))
        return read_data_uri(image.get("uri"), self._read_uri)


def read_data_uri(uri: Any, read_uri: ReadUri) -> bytes:
    """Content of a `data:` URI (base64), or of a relative one through `read_uri`."""
    if not isinstance(uri, str):
        raise InputError("a buffer or image has neither data nor a URI")
    if not uri.startswith("data:"):
        return read_uri(uri)
    try:
        return base64.b64decode(uri.partition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("a data URI is not valid base64") from error


def _single_precision(mesh: Mesh) -> Mesh:
    normals = mesh.vertex_normals
    return replace(mesh, vertices=mesh.vertices.float(), vertex_normals=None if normals is None else normals.float())
