"""A glTF document and its buffers become a `Scene`: every mesh node an object, every triangle primitive a part.

Reading is defensive: nodes are visited once, without recursion, up to `MAX_NODES`; every reference and range is
checked; what numbers and pictures take is spent from the file's budget. Skins stand as their joints do in the file,
morph targets have their default weights, animations are ignored; points and lines are skipped.

Frame: glTF is y up and its front +z; (x, y, z) becomes (x, -z, y) (docs/conventions.md).
"""

import base64
import binascii
import logging
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.files import spend
from scenewright.geometry.frames import CVCAM_FROM_GLTFCAM, ZUP_FROM_YUP, zup_from_yup
from scenewright.geometry.rotation import compose_similarity, decompose_similarity, quaternion_wxyz_to_matrix
from scenewright.io.gltf_data import Document, GltfData, item, numbers, table, whole
from scenewright.io.gltf_geometry import Skin, read_primitive
from scenewright.io.gltf_materials import MaterialReader
from scenewright.io.scene_facts import object_facts, read_matrix, read_room
from scenewright.types import Camera, Mesh, PanoramaCamera, Scene, SceneObject

__all__ = ["MAX_NODES", "import_document", "read_data_uri"]

logger = logging.getLogger(__name__)

MAX_NODES = 100_000
# An object brings its transform, names and extras.
_BYTES_PER_NODE, _BYTES_PER_NUMBER = 2048, 16
# Extensions that are read, change nothing that is read, or fall back to what glTF alone says.
_READ = {
    "EXT_mesh_gpu_instancing",
    "EXT_meshopt_compression",
    "EXT_texture_avif",
    "EXT_texture_webp",
    "KHR_draco_mesh_compression",
    "KHR_lights_punctual",
    "KHR_mesh_quantization",
    "KHR_meshopt_compression",
    "KHR_node_visibility",
    "KHR_texture_basisu",
    "KHR_texture_transform",
    "KHR_xmp_json_ld",
}
_MATERIAL = re.compile(r"[A-Z]+_materials_\w+|KHR_techniques?_webgl")
_EXACT = {"KHR_materials_unlit", "KHR_materials_emissive_strength", "KHR_materials_pbrSpecularGlossiness"}

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
        if _MATERIAL.fullmatch(str(extension)):
            if extension not in _EXACT:
                logger.warning("%s is not kept; materials look as they do without it.", extension)
        elif extension not in _READ:
            raise InputError(f"it needs the extension {extension}, which is not supported; export it without")
    placed = _placed_nodes(document)
    reader = _Reader(document, buffers, read_uri, {index: matrix for index, _, matrix in placed})
    objects: list[SceneObject] = []
    cameras: dict[str, Camera | PanoramaCamera] = {}
    for _, node, yup_from_node in placed:
        if "mesh" in node:
            objects += reader.objects(node, yup_from_node, len(objects))
        if (camera := _camera(document, node, yup_from_node)) is not None:
            cameras[_free_name(str(node.get("name") or "camera"), cameras)] = camera
    ours = table(table(table(document.get("asset")).get("extras")).get("scenewright"))
    provenance = table(ours.get("provenance"))
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


def _placed_nodes(document: Document) -> list[tuple[int, dict[str, Any], Float[Tensor, "4 4"]]]:
    """Nodes of the default scene, in order of a depth-first walk: index, content, and matrix to the y-up world."""
    nodes = document.get("nodes") or []
    if not isinstance(nodes, list) or len(nodes) > MAX_NODES:
        raise InputError(f"it has more than the {MAX_NODES:,} nodes allowed, or none readable")
    if document.get("scenes"):
        roots = item(document, "scenes", document.get("scene", 0)).get("nodes", [])
    else:
        children = {child for node in nodes for child in table(node).get("children", [])}
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
        spend(_BYTES_PER_NODE, "its nodes")
        placed.append((index, node, yup_from_node))
        stack.extend((child, yup_from_node) for child in reversed(node.get("children", [])))
    return placed


def _local_matrix(node: Mapping[str, Any]) -> Float[Tensor, "4 4"]:
    if "matrix" in node:
        return torch.tensor(numbers(node["matrix"], 16, "a node's matrix"), dtype=torch.float64).reshape(4, 4).T
    matrix = torch.eye(4, dtype=torch.float64)
    if "rotation" in node:
        x, y, z, w = numbers(node["rotation"], 4, "a node's rotation")
        if x * x + y * y + z * z + w * w < 1e-12:
            raise InputError("a node's rotation has no length")
        matrix[:3, :3] = quaternion_wxyz_to_matrix(torch.tensor([w, x, y, z], dtype=torch.float64))
    if "scale" in node:
        matrix[:3, :3] *= torch.tensor(numbers(node["scale"], 3, "a node's scale"), dtype=torch.float64)
    if "translation" in node:
        matrix[:3, 3] = torch.tensor(numbers(node["translation"], 3, "a node's translation"), dtype=torch.float64)
    return matrix


def _camera(
    document: Document, node: Mapping[str, Any], yup_from_node: Float[Tensor, "4 4"]
) -> Camera | PanoramaCamera | None:
    """A node's camera, if it has one; panoramas are known by our own extras."""
    panorama = table(table(table(node.get("extras")).get("scenewright")).get("panorama"))
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
    ours = table(table(camera.get("extras")).get("scenewright"))
    if "intrinsics_px" in ours:
        width, height = whole(ours.get("width"), "a camera's width"), whole(ours.get("height"), "a camera's height")
        rows = ours["intrinsics_px"] if isinstance(ours["intrinsics_px"], list) else []
        flat = [value for row in rows for value in (row if isinstance(row, list) else [row])]
        intrinsics = torch.tensor(numbers(flat, 9, "a camera's intrinsics_px")).reshape(3, 3)
        if min(width, height, float(intrinsics[0, 0]), float(intrinsics[1, 1])) <= 0 or max(width, height) > 1 << 16:
            raise InputError("a camera's size or focal length is out of range")
    else:
        yfov, aspect = numbers([perspective.get("yfov"), perspective.get("aspectRatio", 1.0)], 2, "a camera's lens")
        if not 0 < yfov < math.pi or aspect <= 0:
            raise InputError("a camera's field of view or aspect ratio is out of range")
        height = 1024
        width = max(1, min(1 << 16, round(height * aspect)))
        focal = height / (2 * math.tan(yfov / 2))
        intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return intrinsics, width, height


class _Reader:
    """Reads the meshes of one document; each is read once in each pose, however often it is used."""

    def __init__(
        self,
        document: Document,
        buffers: Sequence[bytes],
        read_uri: ReadUri,
        yup_from_node: Mapping[int, Float[Tensor, "4 4"]],
    ) -> None:
        self._document, self._yup_from_node = document, yup_from_node
        self._data = GltfData(document, buffers)
        self._materials = MaterialReader(self._data, lambda uri: read_data_uri(uri, read_uri))
        self._parts: dict[tuple[Any, ...], tuple[Mesh, ...]] = {}

    def objects(self, node: Mapping[str, Any], yup_from_node: Float[Tensor, "4 4"], first: int) -> list[SceneObject]:
        """The node's mesh as an object, or as one for each of its instances; `first` numbers those without names."""
        mesh = item(self._document, "meshes", node["mesh"])
        weights = node.get("weights") or mesh.get("weights") or []
        weights = numbers(weights, len(weights), "a mesh's weights") if isinstance(weights, list) else []
        skin = None if "skin" not in node else self._skin(node["skin"])
        # A skinned mesh stands where its joints are; its own node's place does not count (glTF 2.0, section 3.7.3.3).
        placement = torch.eye(4, dtype=torch.float64) if skin is not None else yup_from_node
        key = (node["mesh"], tuple(weights), node.get("skin"))
        name = str(node.get("name") or mesh.get("name") or f"object_{first:02d}")
        if key not in self._parts:
            self._parts[key] = self._mesh(mesh, name, weights, skin)
        extras = dict(table(node.get("extras")))
        facts = object_facts(table(extras.pop("scenewright", None)))
        instancing = table(node.get("extensions")).get("EXT_mesh_gpu_instancing")
        if instancing is None:
            parts, world_from_object = self._placed(self._parts[key], placement)
            return [SceneObject(name, parts, world_from_object=world_from_object, extras=extras, **facts)]
        result = []
        for number, matrix in enumerate(self._instances(table(table(instancing).get("attributes")))):
            parts, world_from_object = self._placed(self._parts[key], placement @ matrix)
            result.append(
                SceneObject(f"{name}_{number}", parts, world_from_object=world_from_object, extras=extras, **facts)
            )
        return result

    def _placed(
        self, parts: tuple[Mesh, ...], yup_from_node: Float[Tensor, "4 4"]
    ) -> tuple[tuple[Mesh, ...], Float[Tensor, "4 4"]]:
        """The parts and their placement; what a similarity cannot express is baked into the vertices."""
        # Every instance becomes geometry of its own wherever a scene is drawn, measured or converted.
        spend(_BYTES_PER_NUMBER * sum(part.vertices.numel() + part.faces.numel() for part in parts), "its instances")
        world_from_object = ZUP_FROM_YUP @ yup_from_node @ ZUP_FROM_YUP.T
        try:
            decompose_similarity(world_from_object, tolerance=1e-5)
        except ValueError:
            baked = SceneObject("", parts, world_from_object=world_from_object).placed_parts(torch.float64)
            return tuple(_single_precision(part) for part in baked), torch.eye(4)
        return parts, world_from_object.float()

    def _mesh(
        self, mesh: Mapping[str, Any], name: str, weights: Sequence[float], skin: Skin | None
    ) -> tuple[Mesh, ...]:
        primitives = mesh.get("primitives")
        if not isinstance(primitives, list) or not all(isinstance(described, dict) for described in primitives):
            raise InputError("a mesh has no list of primitives")
        parts = []
        for described in primitives:
            primitive = read_primitive(self._data, described, f"Mesh '{name}'", weights, skin)
            if primitive is None:
                continue
            material, uv = None, None if 0 not in primitive.uv else torch.from_numpy(primitive.uv[0])
            if "material" in described:
                material, uv = self._materials.fitted(described["material"], primitive)
            normals, colors = primitive.normals, primitive.colors
            parts.append(
                Mesh(
                    vertices=zup_from_yup(torch.from_numpy(primitive.positions)),
                    faces=torch.from_numpy(primitive.faces),
                    vertex_normals=None if normals is None else zup_from_yup(torch.from_numpy(normals)),
                    vertex_colors=None if colors is None else torch.from_numpy(colors),
                    uv=uv,
                    material=material,
                )
            )
        return tuple(parts)

    def _skin(self, index: Any) -> Skin:
        skin = item(self._document, "skins", index)
        joints = skin.get("joints")
        if not isinstance(joints, list) or not joints or not all(joint in self._yup_from_node for joint in joints):
            raise InputError(f"skin {index} has joints that are not in the scene")
        world = np.stack([self._yup_from_node[joint].numpy() for joint in joints])
        if "inverseBindMatrices" not in skin:
            return Skin(world)
        bind = self._data.accessor(skin["inverseBindMatrices"], 16).astype(np.float64)
        if len(bind) < len(joints) or not np.isfinite(bind).all():
            raise InputError(f"skin {index} has matrices that are missing or not finite")
        return Skin(world @ bind[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1))

    def _instances(self, attributes: Mapping[str, Any]) -> list[Float[Tensor, "4 4"]]:
        """Matrices of EXT_mesh_gpu_instancing."""
        columns: dict[str, list[list[float]]] = {}
        for name, width in (("TRANSLATION", 3), ("ROTATION", 4), ("SCALE", 3)):
            if name in attributes:
                columns[name.lower()] = self._data.accessor(attributes[name], width).astype(np.float64).tolist()
        counts = {len(rows) for rows in columns.values()}
        if len(counts) > 1 or (counts and max(counts) > MAX_NODES):
            raise InputError(f"a node has {max(counts):,} instances, more than allowed, or of different numbers")
        spend(_BYTES_PER_NODE * max(counts, default=0), "its instances")
        return [_local_matrix(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def read_data_uri(uri: Any, read_uri: ReadUri) -> bytes:
    """Content of a `data:` URI, or of a relative one through `read_uri`."""
    if not isinstance(uri, str):
        raise InputError("a buffer or image has neither data nor a URI")
    if not uri.startswith("data:"):
        return read_uri(uri)
    kind, _, content = uri.partition(",")
    spend(len(content), "a data URI")
    if not kind.endswith(";base64"):
        return unquote_to_bytes(content)
    try:
        return base64.b64decode(unquote_to_bytes(content), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("a data URI is not valid base64") from error


def _single_precision(mesh: Mesh) -> Mesh:
    normals = mesh.vertex_normals
    return replace(mesh, vertices=mesh.vertices.float(), vertex_normals=None if normals is None else normals.float())
