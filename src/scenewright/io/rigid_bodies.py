"""A scene as rigid bodies, which the writers of simulators share: physics filled in, poses without scale, unique names.

Frame: world z up, metres; a body's frame is the object's, turned and moved but never scaled.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from scenewright.errors import InputError
from scenewright.geometry.bodies.colliders import ColliderKind, make_colliders, slabs
from scenewright.geometry.bodies.mass import MassProperties, mass_properties
from scenewright.geometry.bodies.materials import material_for
from scenewright.io.atomic import make_folder, write_together
from scenewright.io.obj import obj_files
from scenewright.progress import SILENT, Progress
from scenewright.types import Mesh, PBRMaterial, Physics, Scene, SceneObject, merged_mesh

__all__ = [
    "BodyMesh",
    "RigidBody",
    "floor_height",
    "identifier",
    "rigid_bodies",
    "split_placement",
    "with_physics",
    "write_with_meshes",
]

logger = logging.getLogger(__name__)

_MIN_MOMENT = 1e-6
# A texture's file is named after its object twice, and file systems take 255 bytes.
_LONGEST_NAME = 100

# What the writers call things that are no object.
_RESERVED = ("world", "floor_plane", "physics_scene", "dome_light", "cameras")


@dataclass(frozen=True)
class BodyMesh:
    """A mesh in a body's frame, and the .obj it is written to, relative to the scene's file."""

    mesh: Mesh
    file: Path
    texture: Path | None = None

    @property
    def material(self) -> PBRMaterial:
        return self.mesh.material or PBRMaterial()


@dataclass(frozen=True)
class RigidBody:
    """One object: `rotation` and `translation` place its frame in the world; `mass` has the density multiplied in."""

    name: str
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    visuals: tuple[BodyMesh, ...]
    colliders: tuple[BodyMesh, ...]
    mass: MassProperties
    physics: Physics


def with_physics(
    scene: Scene,
    kind: ColliderKind = "hull",
    *,
    welded: bool = False,
    progress: Progress = SILENT,
) -> tuple[Scene, tuple[str, ...]]:
    """The scene with `physics` for every object that has a surface, and a sentence on each.

    Mass is volume times the density of the object's material (`material_for`), or area times wall and density of a
    surface that encloses none. Fixtures and shells are static; the walls of a shell collide triangle by triangle.

    Args:
        welded: nothing moves.

    Raises:
        MissingExtraError: decompositions without the extra `sim`.
    """
    objects, notes = [], []
    advance = progress.stage("colliders")
    for number, item in enumerate(scene.objects):
        if any(len(part.faces) for part in item.parts):
            item, note = _with_physics(item, kind, welded)
            notes.append(note)
        objects.append(item)
        advance(number + 1, len(scene.objects))
    return replace(scene, objects=tuple(objects)), tuple(notes)


def _with_physics(item: SceneObject, kind: ColliderKind, welded: bool) -> tuple[SceneObject, str]:
    linear, _, _ = split_placement(item)
    own_mesh, mesh = (_used(merged_mesh(parts)) for parts in (item.parts, [_bent(part, linear) for part in item.parts]))
    walls = slabs(mesh) if item.role == "shell" and kind != "none" else None
    colliders = make_colliders(own_mesh, "none" if walls else kind, linear=linear)
    shapes = walls or colliders.shapes
    material = material_for(item.category, *(part.material.name for part in item.parts if part.material), item.name)
    mass = mass_properties(mesh)
    own = np.linalg.inv(linear)
    physics = Physics(
        mass_kg=mass.kilograms(material.density_kg_m3, material.wall_m),
        friction=material.friction,
        is_static=welded or item.role in ("fixture", "shell"),
        colliders=tuple(_bent(shape, own) for shape in shapes),
    )
    error = "" if colliders.error_m is None else f" within {1000 * colliders.error_m:.1f} mm of its surface"
    shape = f"{len(shapes)} convex collider{'' if len(shapes) == 1 else 's'}{error}"
    note = f"'{item.name}': {material.name}, {physics.mass_kg:.3g} kg, {shape}"
    if mass.note:
        weighs = "its hull does" if material.wall_m is None else f"walls of {1000 * material.wall_m:g} mm do"
        note += f"; {mass.note}, so that it weighs what {weighs} and turns like its convex hull"
    return replace(item, physics=physics), f"{note}."


def floor_height(scene: Scene) -> float | None:
    """Height of the plane that a scene stands on; None where a shell has a floor of its own.

    It is 0, or the lowest point below that: of the colliders where there are any, as they are what stands there.
    """
    if any(item.role == "shell" for item in scene.objects):
        return None
    lowest = [0.0]
    for item in scene.objects:
        shapes = item.physics.colliders if item.physics is not None and item.physics.colliders else item.parts
        if any(len(shape.vertices) for shape in shapes):
            lowest.append(float(replace(item, parts=shapes, splats=None).world_bounds()[0, 2]))
    return min(lowest)


def rigid_bodies(scene: Scene, path: Path) -> tuple[RigidBody, ...]:
    """The bodies of a scene that is written to `path`; physics that is missing is filled in with hulls.

    Splats and objects without triangles are left out with a warning.

    Raises:
        InputError: no object has triangles.
    """
    if any(item.physics is None for item in scene.objects):
        filled, notes = with_physics(replace(scene, objects=tuple(i for i in scene.objects if i.physics is None)))
        fresh = iter(filled.objects)
        scene = replace(scene, objects=tuple(next(fresh) if i.physics is None else i for i in scene.objects))
        for note in notes:
            logger.info("%s", note)
    if not scene.is_metric:
        logger.warning("'%s': the scene's scale is not known; its lengths are taken as metres.", path.name)
    bodies: list[RigidBody] = []
    taken, files = set(_RESERVED), set[str]()
    for item in scene.objects:
        if item.physics is None:
            logger.warning("'%s': object '%s' has no triangles, so it is left out.", path.name, item.name)
            continue
        while True:
            name = identifier(item.name, taken)
            taken.add(name)
            body = _body(item, item.physics, name, Path(f"{path.stem}_meshes"))
            own = {str(entry.file).lower() for entry in (*body.visuals, *body.colliders)}
            # Else another object's name ends as ours do ("a" and "a_collider"), or is the same but for capitals.
            if files.isdisjoint(own):
                break
        files |= own
        bodies.append(body)
    if not bodies:
        raise InputError(f"No object has triangles, so '{path.name}' would be empty; give a scene of meshes.")
    return tuple(bodies)


def _body(item: SceneObject, physics: Physics, name: str, folder: Path) -> RigidBody:
    linear, rotation, translation = split_placement(item)
    visuals: list[BodyMesh] = []
    for part in item.parts:
        if len(part.faces):
            file = folder / f"{name}_{len(visuals)}.obj"
            has_picture = part.material is not None and part.material.base_color_texture is not None
            texture = folder / f"{file.stem}_{name}_Kd.png" if has_picture and part.uv is not None else None
            visuals.append(BodyMesh(_bent(part, linear), file, texture))
    shapes = [_bent(shape, linear) for shape in physics.colliders]
    colliders = [BodyMesh(shape, folder / f"{name}_collider_{number}.obj") for number, shape in enumerate(shapes)]
    mass = mass_properties(_used(merged_mesh([visual.mesh for visual in visuals])))
    density = physics.mass_kg / mass.volume
    mass = replace(mass, volume=physics.mass_kg, inertia=_stout(mass.inertia * density))
    return RigidBody(name, rotation, translation, tuple(visuals), tuple(colliders), mass, physics)


def _stout(inertia: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """The inertia with no moment below a millionth of the largest: a needle's would be lost in a file's nine digits."""
    moments, axes = np.linalg.eigh(inertia)
    if moments[0] >= _MIN_MOMENT * moments[2]:
        return inertia
    moments = np.maximum(moments, _MIN_MOMENT * moments[2])
    moments[2] = min(moments[2], moments[0] + moments[1])
    return axes @ np.diag(moments) @ axes.T


def write_with_meshes(path: Path, document: bytes, bodies: Sequence[RigidBody]) -> Path:
    """Write the scene's file, and in the folder `NAME_meshes` beside it an .obj (z up) per part and collider.

    Raises:
        InputError: geometry that is not finite, or the folder cannot be written.
    """
    files: dict[Path, bytes] = {}
    for body in bodies:
        for entry in (*body.visuals, *body.colliders):
            mesh = entry.mesh
            if mesh.material is not None:
                mesh = replace(mesh, material=replace(mesh.material, name=body.name))
            item = SceneObject(entry.file.stem, (replace(mesh, vertex_colors=None),))
            files |= obj_files(Scene((item,)), path.parent / entry.file, up="z")
    make_folder(path.parent / f"{path.stem}_meshes")
    files[path] = document
    with write_together(*files) as temporaries:
        for temporary, content in zip(temporaries, files.values(), strict=True):
            temporary.write_bytes(content)
    return path


def split_placement(
    item: SceneObject,
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """The polar decomposition of the placement: what bends the mesh in its own frame, then rotation and translation.

    Raises:
        InputError: the placement squeezes the object flat, or is not finite.
    """
    matrix = item.world_from_object.detach().cpu().double().numpy()
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-18:
        raise InputError(f"Object '{item.name}' is scaled to nothing, so it cannot be a body; delete or rescale it.")
    left, _, right = np.linalg.svd(matrix[:3, :3])
    rotation = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    return rotation.T @ matrix[:3, :3], rotation, matrix[:3, 3]


def _bent(mesh: Mesh, linear: Float[np.ndarray, "3 3"]) -> Mesh:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = torch.from_numpy(linear)
    (placed,) = SceneObject("", (mesh,), world_from_object=matrix).placed_parts(torch.float64)
    return placed


def _used(mesh: Mesh) -> Mesh:
    """The mesh without vertices that no face uses: they would widen its hull."""
    rows, faces = torch.unique(mesh.faces, return_inverse=True)
    return Mesh(mesh.vertices[rows], faces)


def identifier(name: str, taken: set[str]) -> str:
    """Letters, digits and underlines, not beginning with a digit, unlike those taken, and short enough for files."""
    word = re.sub(r"[^A-Za-z0-9_]+", "_", name)[:_LONGEST_NAME].strip("_") or "object"
    word = f"object_{word}" if word[0].isdigit() else word
    numbered = (f"{word}_{number}" if number else word for number in range(len(taken) + 2))
    return next(candidate for candidate in numbered if candidate not in taken)
