"""Scenes packed for the rasteriser: one triangle soup in the world frame and one bank of materials.

Packing is the slow part of a render, so it is separate: a data loader packs its assets once (`pack_objects` gives all
of them one shared `MaterialBank`), then composes thousands of scenes from them with `place`, which only moves vertices.

Legend: V vertices, F faces, M materials, T textures, X texels. Frame: world, z up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.types import Mesh, PBRMaterial, Scene, SceneObject, Wrap

__all__ = [
    "CATCHER",
    "MaterialBank",
    "TriangleScene",
    "add_ground",
    "pack_meshes",
    "pack_objects",
    "pack_scene",
    "place",
]

ALPHA_MODES = {"OPAQUE": 0, "MASK": 1, "BLEND": 2}
_GROUND_GAP = 2e-3  # in scene sizes: less than a pixel of most pictures, more than what depths are rounded by
WRAPS = {"repeat": 0, "clamp": 1, "mirror": 2}
CATCHER = 3  # invisible surface that only darkens the background where it lies in shadow


@dataclass(frozen=True)
class MaterialBank:
    """Materials as arrays.

    `factors`: linear base colour RGBA, metallic, roughness, emissive RGB, alpha cutoff. `kinds`: alpha mode (0 opaque,
    1 mask, 2 blend, 3 shadow catcher), then texture rows for base colour, metallic-roughness, normal, emission (-1:
    none). `textures`: first texel, height, width, and continuation along u and v (`WRAPS`) of each texture in `texels`
    (RGBA).
    """

    factors: Float[Tensor, "M 10"]
    kinds: Int[Tensor, "M 5"]
    textures: Int[Tensor, "T 5"]
    texels: UInt8[Tensor, "X 4"]

    def to(self, device: torch.device | str) -> "MaterialBank":
        return MaterialBank(*(getattr(self, name).to(device) for name in ("factors", "kinds", "textures", "texels")))


@dataclass(frozen=True)
class TriangleScene:
    """Triangles ready to render.

    `vertex_normals` rows of zero ask for flat shading. `face_instance` is 0 for what belongs to no object, else the
    object's number from 1.
    """

    vertices: Float[Tensor, "V 3"]
    vertex_normals: Float[Tensor, "V 3"]
    uv: Float[Tensor, "V 2"]
    colors: Float[Tensor, "V 4"]
    faces: Int[Tensor, "F 3"]
    face_instance: Int[Tensor, " F"]
    face_material: Int[Tensor, " F"]
    bank: MaterialBank

    def to(self, device: torch.device | str) -> "TriangleScene":
        """The same scene on another device."""
        return TriangleScene(**{name: getattr(self, name).to(device) for name in _ARRAYS}, bank=self.bank.to(device))

    def bounds(self) -> Float[Tensor, "2 3"]:
        """Low and high corner of all that has an area, but shadow catchers; zeros if there is nothing."""
        is_used = torch.zeros(len(self.vertices), dtype=torch.bool, device=self.vertices.device)
        faces = self.faces
        if bool((self.bank.kinds[:, 0] == CATCHER).any()):
            faces = faces[self.bank.kinds[:, 0][self.face_material.long()] != CATCHER]
        has_area = (area_vectors(self.vertices[faces.long()]) != 0).any(1)
        is_used[(faces[has_area] if bool(has_area.any()) else faces).flatten()] = True
        used = self.vertices[is_used]
        return torch.stack([used.amin(0), used.amax(0)]) if len(used) else self.vertices.new_zeros(2, 3)


_ARRAYS = ("vertices", "vertex_normals", "uv", "colors", "faces", "face_instance", "face_material")


def pack_scene(scene: Scene) -> TriangleScene:
    """All meshes of a scene in the world frame; object i (from 0) becomes instance i + 1. Splats are left out."""
    packed = pack_objects(scene.objects)
    return place(packed, [item.world_from_object for item in scene.objects])


def pack_objects(objects: Sequence[SceneObject]) -> list[TriangleScene]:
    """One packed scene per object, in the object's own frame, all sharing one material bank; instance ids are 1."""
    bank, rows = _pack_materials([part.material for item in objects for part in item.parts])
    result, start = [], 0
    for item in objects:
        result.append(_pack_parts(item.parts, rows[start : start + len(item.parts)], bank))
        start += len(item.parts)
    return result


def pack_meshes(meshes: Sequence[Mesh]) -> TriangleScene:
    """Meshes already in the world frame; mesh i (from 0) becomes instance i + 1."""
    return pack_scene(Scene(tuple(SceneObject(f"mesh_{i}", (mesh,)) for i, mesh in enumerate(meshes))))


def place(
    packed: Sequence[TriangleScene],
    world_from_object: Sequence[Float[Tensor, "4 4"]],
    instances: Sequence[int] | None = None,
) -> TriangleScene:
    """One scene of several packed objects, each moved by its matrix; object i becomes instance i + 1 or `instances[i]`.

    Items packed together share their materials at no cost; items with different banks have the banks joined.
    """
    if not packed:
        return _empty_scene()
    instances = range(1, len(packed) + 1) if instances is None else instances
    banks = [item.bank for item in packed]
    shared = all(bank is banks[0] for bank in banks)
    bank = banks[0] if shared else _join_banks(banks)
    columns: dict[str, list[Tensor]] = {name: [] for name in _ARRAYS}
    vertex_offset = material_offset = 0
    for item, matrix, instance in zip(packed, world_from_object, instances, strict=True):
        matrix = matrix.to(item.vertices)
        linear = matrix[:3, :3]
        columns["vertices"].append(item.vertices @ linear.T + matrix[:3, 3])
        # Cofactors instead of the inverse transpose: the same direction, and finite for a flattened object.
        columns["vertex_normals"].append(item.vertex_normals @ _cofactors(linear).T)
        columns["uv"].append(item.uv)
        columns["colors"].append(item.colors)
        columns["faces"].append(item.faces + vertex_offset)
        columns["face_instance"].append(torch.full_like(item.face_instance, instance))
        columns["face_material"].append(item.face_material + material_offset)
        vertex_offset += len(item.vertices)
        material_offset += 0 if shared else len(item.bank.factors)
    return TriangleScene(**{name: torch.cat(columns[name]) for name in _ARRAYS}, bank=bank)


def add_ground(scene: TriangleScene) -> TriangleScene:
    """The scene with a shadow-catching square just below its lowest point, 12 scene sizes wide.

    Below, so that a rug or a floor is not drawn half above it and half under it.
    """
    low, high = scene.bounds()
    size = float((high - low).norm()) or 1.0
    center, half, z = (low + high) / 2, 6.0 * size, float(low[2]) - _GROUND_GAP * size
    corners = torch.tensor([[-half, -half, 0.0], [half, -half, 0.0], [half, half, 0.0], [-half, half, 0.0]])
    offset = torch.tensor([float(center[0]), float(center[1]), z])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    square = pack_meshes([Mesh((corners + offset), faces, material=PBRMaterial())]).to(scene.vertices.device)
    kinds = square.bank.kinds.clone()
    kinds[:, 0] = CATCHER
    square = replace(square, bank=replace(square.bank, kinds=kinds))
    eye = torch.eye(4)
    joined = place([scene, square], [eye, eye], [1, 0])
    instance = torch.cat([scene.face_instance, square.face_instance * 0])
    return replace(joined, face_instance=instance)


def _cofactors(linear: Float[Tensor, "3 3"]) -> Float[Tensor, "3 3"]:
    a, b, c = linear
    return torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)])


def _pack_parts(parts: Sequence[Mesh], rows: Sequence[int], bank: MaterialBank) -> TriangleScene:
    if not parts:
        return replace(_empty_scene(), bank=bank)
    columns: dict[str, list[Tensor]] = {name: [] for name in _ARRAYS}
    offset = 0
    for part, row in zip(parts, rows, strict=True):
        count, device = len(part.vertices), part.vertices.device

        def given(
            value: Tensor | None, default: float, width: int, *, count: int = count, device: torch.device = device
        ) -> Tensor:
            if value is None:
                return torch.full((count, width), default, device=device)
            return value.detach().float()

        columns["vertices"].append(part.vertices.detach().float())
        columns["vertex_normals"].append(given(part.vertex_normals, 0.0, 3))
        columns["uv"].append(given(part.uv, 0.0, 2))
        columns["colors"].append(given(part.vertex_colors, 1.0, 4))
        columns["faces"].append(part.faces.int() + offset)
        columns["face_instance"].append(torch.ones(len(part.faces), dtype=torch.int32, device=device))
        columns["face_material"].append(torch.full((len(part.faces),), row, dtype=torch.int32, device=device))
        offset += count
    return TriangleScene(**{name: torch.cat(columns[name]) for name in _ARRAYS}, bank=bank)


# Lights darken corners themselves, so that occlusion, the last of a material's textures, is not drawn.
_DRAWN_TEXTURES = 4


def _pack_materials(materials: Sequence[PBRMaterial | None]) -> tuple[MaterialBank, list[int]]:
    """The bank of distinct materials (by identity) and the row of each given material."""
    row_of: dict[int, int] = {}
    first_texel_of: dict[int, int] = {}
    texture_of: dict[tuple[int, Wrap, Wrap], int] = {}
    factors: list[tuple[float, ...]] = []
    kinds: list[tuple[int, ...]] = []
    textures: list[tuple[int, int, int, int, int]] = []
    texels: list[Tensor] = []
    default = PBRMaterial()

    def texture_row(image: Tensor | None, wrap: tuple[Wrap, Wrap]) -> int:
        if image is None:
            return -1
        if id(image) not in first_texel_of:
            first_texel_of[id(image)] = sum(len(block) for block in texels)
            texels.append(_rgba(image))
        if (id(image), *wrap) not in texture_of:
            texture_of[id(image), *wrap] = len(textures)
            size, continued = image.shape[:2], (WRAPS[wrap[0]], WRAPS[wrap[1]])
            textures.append((first_texel_of[id(image)], size[0], size[1], *continued))
        return texture_of[id(image), *wrap]

    rows = []
    for material in materials:
        material = material or default
        if id(material) not in row_of:
            row_of[id(material)] = len(factors)
            shading = (material.metallic_factor, material.roughness_factor, *material.emissive_factor)
            factors.append((*material.base_color_factor, *shading, material.alpha_cutoff))
            rows_of_images = (texture_row(image, material.wrap) for image in material.textures[:_DRAWN_TEXTURES])
            kinds.append((ALPHA_MODES[material.alpha_mode], *rows_of_images))
        rows.append(row_of[id(material)])
    bank = MaterialBank(
        torch.tensor(factors, dtype=torch.float32).reshape(-1, 10),
        torch.tensor(kinds, dtype=torch.int32).reshape(-1, 5),
        torch.tensor(textures, dtype=torch.int64).reshape(-1, 5),
        torch.cat(texels) if texels else torch.zeros(0, 4, dtype=torch.uint8),
    )
    return bank, rows


def _rgba(image: UInt8[Tensor, "height width channels"]) -> UInt8[Tensor, "texels 4"]:
    flat = image.reshape(-1, image.shape[-1]).cpu()
    if flat.shape[1] == 1:
        flat = flat.expand(-1, 3)
    if flat.shape[1] == 3:
        flat = torch.cat([flat, torch.full((len(flat), 1), 255, dtype=torch.uint8)], 1)
    return flat.contiguous()


def _join_banks(banks: Sequence[MaterialBank]) -> MaterialBank:
    kinds, textures, texture_offset, texel_offset = [], [], 0, 0
    for bank in banks:
        moved = bank.kinds.clone()
        moved[:, 1:] += torch.where(moved[:, 1:] >= 0, texture_offset, 0).to(moved.dtype)
        kinds.append(moved)
        textures.append(bank.textures + torch.tensor([texel_offset, 0, 0, 0, 0], device=bank.textures.device))
        texture_offset += len(bank.textures)
        texel_offset += len(bank.texels)
    return MaterialBank(
        torch.cat([bank.factors for bank in banks]),
        torch.cat(kinds),
        torch.cat(textures),
        torch.cat([bank.texels for bank in banks]),
    )


def _empty_scene() -> TriangleScene:
    bank, _ = _pack_materials([None])
    none = torch.zeros(0, dtype=torch.int32)
    return TriangleScene(
        torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0, 2), torch.zeros(0, 4),
        torch.zeros(0, 3, dtype=torch.int32), none, none, bank,
    )  # fmt: skip
