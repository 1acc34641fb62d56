"""Quality profiles of exports: budgets of faces and texels, levels of detail, packing, and numbers that prove them.

An object above its face budget is simplified, unwrapped anew and baked from what it was, normals included; all its
parts become one with one texture. So does one that a profile wants closed and small mends close. Others keep their
meshes and texture coordinates. Textures above the budget shrink.
Then every object is measured (`metrics.mesh_quality`), and what the profile promises is checked: a gate that fails
names the object and the reason, and stands in the manifest. The file is written all the same.

Budgets are ours: there is no standard for them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.mesh.closing import close_surface
from scenewright.geometry.mesh.finish import bake_material, clean_surface, reduce_surface
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.normal_map import smooth_vertex_normals
from scenewright.geometry.mesh.occlusion import bake_occlusion
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.geometry.mesh.uv import unwrap
from scenewright.io.atomic import write_bytes
from scenewright.io.glb import save_glb
from scenewright.io.gltf_export import GltfOptions
from scenewright.metrics.mesh_quality import MeshQuality, mesh_quality
from scenewright.progress import SILENT, Progress
from scenewright.rendering.surface_field import TexturedField
from scenewright.runs.manifest import sha256_of_bytes
from scenewright.types import Mesh, PBRMaterial, Scene, SceneObject, merged_mesh

__all__ = ["PROFILES", "Profile", "Quality", "profile_named", "profiled", "quality_of", "write_quality", "writer_for"]


@dataclass(frozen=True)
class Profile:
    """The promises of an export.

    Attributes:
        max_faces: of one object.
        max_texture: longest side of a texture, in texels.
        textures: how GLB stores pictures.
        packed: vertices of GLB packed by meshoptimizer, where the extra `gltf` is there.
        lods: faces of coarser versions, as shares of the object's own.
        blends: whether see-through materials may blend; otherwise they are cut out at one half, which needs no sorting.
        occlusion: whether textured objects get an occlusion map of how they shade themselves.
        closed: whether every object must be watertight.
        max_bytes: of the file.
    """

    name: str
    max_faces: int
    max_texture: int
    textures: Literal["png", "jpeg", "webp"]
    packed: bool = False
    lods: tuple[float, ...] = ()
    blends: bool = True
    occlusion: bool = False
    closed: bool = False
    max_bytes: int | None = None


PROFILES = (
    Profile("web", 20_000, 1024, "webp", packed=True, max_bytes=10_000_000),
    Profile("game", 30_000, 2048, "jpeg", lods=(0.5, 0.25), blends=False, occlusion=True),
    Profile("film", 200_000, 4096, "png", occlusion=True),
    Profile("sim", 10_000, 512, "jpeg", blends=False, closed=True),
)
# Closing an object that was reduced to its budget may add faces.
_ROOM_TO_CLOSE = 0.98
# Below this a coarser version saves nothing that matters.
_MIN_LOD_FACES = 200
# Light from all around changes slowly over a surface: more texels show nothing more.
_OCCLUSION_SIDE = 512
# Texels that two places share cannot say how open either is.
_MAX_OVERLAP = 0.01


def profile_named(name: str) -> Profile:
    """The profile of that name.

    Raises:
        InputError: there is none.
    """
    for profile in PROFILES:
        if profile.name == name:
            return profile
    raise InputError(f"Expected --profile {', '.join(profile.name for profile in PROFILES)}; got '{name}'.")


@dataclass(frozen=True)
class Quality:
    """Numbers of a written scene: `objects` by name, equal names numbered; `failed`: a sentence per gate that fails."""

    profile: str
    file: str
    file_bytes: int
    file_sha256: str
    objects: Mapping[str, MeshQuality]
    failed: tuple[str, ...] = field(default=())


def profiled(scene: Scene, profile: Profile, *, progress: Progress = SILENT) -> Scene:
    """The scene within the budgets of a profile."""
    advance, objects = progress.stage(f"profile {profile.name}"), []
    for number, item in enumerate(scene.objects, 1):
        parts = item.parts
        if sum(len(part.faces) for part in parts) > profile.max_faces:
            parts = (_reduced(item, profile.max_faces, profile.max_texture, closed=profile.closed),)
        elif profile.closed:
            parts = _closed(item, profile)
        objects.append(replace(item, parts=_finished(parts, profile)))
        advance(number, len(scene.objects))
    return replace(scene, objects=tuple(objects))


def writer_for(scene: Scene, profile: Profile, path: Path) -> Callable[[Scene, Path], Path] | None:
    """The writer of GLB in the forms of a profile; None for formats that have no choice.

    Args:
        scene: within the profile's budgets.
    """
    if path.suffix.lower() != ".glb":
        return None
    lods = {number: _lods(item, profile) for number, item in enumerate(scene.objects) if profile.lods and item.parts}
    packed = profile.packed and find_spec("meshopt") is not None
    options = GltfOptions(profile.textures, packed, lods)
    return lambda final, target: save_glb(final, target, options)


def quality_of(scene: Scene, profile: Profile, path: Path) -> Quality:
    """The numbers of a scene that was written to `path`, and the gates of the profile that do not hold."""
    content = path.read_bytes()
    objects: dict[str, MeshQuality] = {}
    failed: list[str] = []
    for item in scene.objects:
        if not any(len(part.faces) for part in item.parts):
            continue
        found = _quality(item, profile)
        names = (f"{item.name} ({number})" if number else item.name for number in range(len(scene.objects)))
        objects[next(name for name in names if name not in objects)] = found
        if not found.is_within_budget:
            failed.append(f"'{item.name}' has {found.num_faces:,} faces, more than {profile.max_faces:,}")
        if profile.closed and not found.is_watertight:
            edges = f"{found.num_boundary_edges} open and {found.num_nonmanifold_edges} non-manifold edges"
            failed.append(f"'{item.name}' is not watertight: {edges}; its colliders are closed all the same")
        if found.texture_range == (0, 0):
            failed.append(f"'{item.name}' has a texture that is all black")
    if profile.packed and path.suffix.lower() == ".glb" and find_spec("meshopt") is None:
        failed.append("the file is not packed: pip install 'scenewright[gltf]'")
    if profile.max_bytes is not None and len(content) > profile.max_bytes:
        largest = max(objects, key=lambda name: objects[name].num_faces, default="nothing")
        size = f"{len(content) / 1e6:.1f} MB, more than {profile.max_bytes / 1e6:.0f}"
        failed.append(f"the file has {size}; '{largest}' has the most faces")
    return Quality(profile.name, path.name, len(content), sha256_of_bytes(content), objects, tuple(failed))


def write_quality(quality: Quality, facts: Mapping[str, Any], path: Path) -> Path:
    """Writes the numbers, and `facts` on the export, as `NAME.SUFFIX.json` beside the file; returns the path."""
    content = {"kind": "scenewright export", "format": 1, **facts, **asdict(quality)}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return write_bytes(path.with_name(f"{path.name}.json"), text.encode())


def _reduced(item: SceneObject, max_faces: int, max_texture: int, *, closed: bool = False) -> Mesh:
    """The object as one mesh of at most so many faces, with one texture baked from what it was.

    Args:
        closed: whether the mesh is made watertight where small mends do that, which may add a few faces.
    """
    parts = tuple(part for part in item.parts if len(part.faces))
    whole = _shape_of(parts)
    options = replace(_finish_options(parts, max_texture), max_faces=max_faces, normal_map=True)
    fine = clean_surface(whole, options)
    coarse = reduce_surface(fine, replace(options, max_faces=int(_ROOM_TO_CLOSE * max_faces)) if closed else options)
    return _baked(close_surface(coarse) or coarse if closed else coarse, fine, parts, options)


def _closed(item: SceneObject, profile: Profile) -> tuple[Mesh, ...]:
    """The object as one watertight mesh with one texture; its own parts where they are that, or no mend makes them."""
    parts = tuple(part for part in item.parts if len(part.faces))
    if not parts or mesh_quality(whole := _shape_of(parts)).is_watertight:
        return item.parts
    closed = close_surface(whole)
    if closed is None or len(closed.faces) > profile.max_faces:
        return item.parts
    return (_baked(closed, whole, parts, _finish_options(parts, profile.max_texture)),)


def _shape_of(parts: tuple[Mesh, ...]) -> Mesh:
    return merged_mesh([replace(part, uv=None, material=None, vertex_colors=None) for part in parts])


def _finish_options(parts: tuple[Mesh, ...], max_texture: int) -> FinishOptions:
    """Small holes closed, and a texture no larger than the largest of the parts asks for."""
    corners = torch.cat([part.vertices for part in parts])
    looks = [part.material for part in parts if part.material is not None]
    sides = [max(texture.shape[:2]) for look in looks for texture in look.textures if texture is not None]
    largest = max(sides, default=256)
    return FinishOptions(
        texture_size=min(max_texture, 1 << (largest - 1).bit_length()),
        max_hole_perimeter=0.03 * float((corners.amax(0) - corners.amin(0)).max()),
        alpha_mode="auto",
        double_sided=any(look.double_sided for look in looks),
    )


def _baked(coarse: Mesh, fine: Mesh, parts: tuple[Mesh, ...], options: FinishOptions) -> Mesh:
    coarse = unwrap(replace(coarse, vertex_normals=smooth_vertex_normals(coarse)), texture_size=options.texture_size)
    baked = bake_material(coarse, fine, TexturedField(parts), options)
    names = dict.fromkeys(part.material.name for part in parts if part.material is not None and part.material.name)
    # Densities go by the names of materials.
    return replace(baked, material=replace(baked.material or PBRMaterial(), name=" ".join(names)))


def _lods(item: SceneObject, profile: Profile) -> tuple[tuple[Mesh, ...], ...]:
    faces = sum(len(part.faces) for part in item.parts)
    budgets = [int(share * faces) for share in profile.lods if share * faces >= _MIN_LOD_FACES]
    sizes = [profile.max_texture >> number for number in range(1, len(budgets) + 1)]
    made = (_reduced(item, budget, size) for budget, size in zip(budgets, sizes, strict=True))
    return tuple(_finished((mesh,), profile) for mesh in made)


def _finished(parts: tuple[Mesh, ...], profile: Profile) -> tuple[Mesh, ...]:
    parts = tuple(_within(part, profile) for part in parts)
    if not profile.occlusion or not any(len(part.faces) for part in parts):
        return parts
    tree = TriangleTree(merged_mesh([Mesh(part.vertices, part.faces) for part in parts]))
    return tuple(_with_occlusion(part, tree) for part in parts)


def _with_occlusion(part: Mesh, tree: TriangleTree) -> Mesh:
    """The part with a map of how the whole object shades it; as it is without a texture, or where that is tiled."""
    look = part.material
    sides = [max(pixels.shape[:2]) for pixels in look.textures if pixels is not None] if look is not None else []
    if look is None or not sides or look.occlusion_texture is not None or not _is_atlas(part):
        return part
    size = min(_OCCLUSION_SIDE, 1 << (max(sides) - 1).bit_length())
    try:
        shade = bake_occlusion(part, size, tree, double_sided=look.double_sided)
    except InputError:  # no triangle covers a texel
        return part
    if (finish := look.metallic_roughness_texture) is not None:  # one picture holds both where they are of one size
        shade = _resized(shade, finish.shape[0], finish.shape[1], Image.Resampling.BILINEAR)
    return replace(part, material=replace(look, occlusion_texture=shade))


def _is_atlas(part: Mesh) -> bool:
    """Whether every texel belongs to one place of the surface."""
    found = mesh_quality(part)
    return bool(found.is_uv_in_range) and (found.uv_overlap or 0.0) <= _MAX_OVERLAP


def _within(part: Mesh, profile: Profile) -> Mesh:
    look = part.material
    if look is None:
        return part
    base, finish, normal, glow, shade = (_shrunk(pixels, profile.max_texture) for pixels in look.textures)
    look = replace(
        look,
        base_color_texture=base,
        metallic_roughness_texture=finish,
        normal_texture=normal,
        emissive_texture=glow,
        occlusion_texture=shade,
    )
    if look.alpha_mode == "BLEND" and not profile.blends:
        look = replace(look, alpha_mode="MASK", alpha_cutoff=0.5)
    return replace(part, material=look)


def _shrunk(
    pixels: UInt8[Tensor, "height width channels"] | None, side: int
) -> UInt8[Tensor, "height2 width2 channels"] | None:
    if pixels is None or max(pixels.shape[:2]) <= side:
        return pixels
    factor = side / max(pixels.shape[:2])
    height, width = (max(1, round(factor * length)) for length in pixels.shape[:2])
    return _resized(pixels, height, width, Image.Resampling.BOX)


def _resized(
    pixels: UInt8[Tensor, "height width channels"], height: int, width: int, resampling: Image.Resampling
) -> UInt8[Tensor, "height2 width2 channels"]:
    array = np.ascontiguousarray(pixels.cpu().numpy())
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).resize((width, height), resampling)
    return torch.from_numpy(np.asarray(image).copy()).reshape(height, width, array.shape[2])


def _quality(item: SceneObject, profile: Profile) -> MeshQuality:
    """Numbers of an object: its surface as a whole, its texture as that of its parts with the worst values."""
    parts = [part for part in item.placed_parts(torch.float64) if len(part.faces)]
    whole = mesh_quality(merged_mesh(parts), face_budget=profile.max_faces)
    pieces = [mesh_quality(part) for part in parts if part.uv is not None and _has_texture(part.material)]
    if not pieces:
        return replace(whole, uv_coverage=None, is_uv_in_range=None, texture_range=None, uv_overlap=None)
    ranges = [piece.texture_range for piece in pieces if piece.texture_range is not None]
    return replace(
        whole,
        uv_coverage=min(piece.uv_coverage or 0.0 for piece in pieces),
        uv_overlap=max(piece.uv_overlap or 0.0 for piece in pieces),
        is_uv_in_range=all(piece.is_uv_in_range for piece in pieces),
        texel_density=min((piece.texel_density for piece in pieces if piece.texel_density is not None), default=None),
        texture_range=(min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None,
    )


def _has_texture(material: PBRMaterial | None) -> bool:
    return material is not None and any(texture is not None for texture in material.textures)
