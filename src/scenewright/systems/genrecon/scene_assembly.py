"""The scene of a reconstructed surface: pieces of chunks, or objects by name and the rest as floor, walls, ceiling.

Frame: world z up, metres. Every piece has a frame of its own at its middle, axes of the world, chunk sides as unit.
Legend: F faces.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.errors import EmptyStructureError, InputError
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.rotation import compose_similarity
from scenewright.jobs.store import key_of
from scenewright.progress import SILENT, Progress
from scenewright.systems.genrecon.assembly import assign_faces
from scenewright.systems.genrecon.instances import (
    SHELL_PARTS,
    Instances,
    LabelledView,
    shell_part_of_faces,
    vote_instances,
)
from scenewright.systems.genrecon.lattice import ChunkLattice
from scenewright.systems.genrecon.pipeline import KEEP_NOTHING, KeptStages, SceneSurface
from scenewright.systems.genrecon.scene_pieces import (
    SCENE_FINISH,
    SceneVoxels,
    WholeSurface,
    baked_piece,
    faces_by_label,
    published_piece,
    published_shell,
    whole_surface,
)
from scenewright.systems.genrecon.scene_plan import ScenePlan
from scenewright.systems.genrecon.tiling import Chunks
from scenewright.types import Mesh, OrientedBox, Role, SceneObject

__all__ = ["scene_objects"]

# Holes where an object stood on something, up to this perimeter, are closed.
_OBJECT_HOLE_M = 0.6


@dataclass(frozen=True)
class _Piece:
    """Faces of the coarse surface that become one mesh of one object."""

    name: str
    faces: Int[Tensor, " _"]
    role: Role
    confidence: float | None = None


def scene_objects(
    surface: SceneSurface,
    plan: ScenePlan,
    *,
    labelled: Sequence[LabelledView] = (),
    finish: FinishOptions = SCENE_FINISH,
    published: bool = False,
    stages: KeptStages = KEEP_NOTHING,
    progress: Progress = SILENT,
) -> tuple[SceneObject, ...]:
    """Placed, textured objects of the scene.

    Args:
        published: the published assembly, one piece per chunk: a double shell whose chunks are finished apart. Ours
            simplifies the scene as one and gives pieces common normals, so that they meet.
        labelled: pictures with instances; without any, the scene is cut by chunk alone.
        stages: keeps every textured piece.

    Raises:
        EmptyStructureError: the surface has no face.
        InputError: instances are given with the published assembly, which knows none.
    """
    chunks = plan.chunks
    if published:
        if labelled:
            raise InputError("The published assembly makes pieces of chunks, no objects; leave the masks out.")
        return _published_objects(surface, plan, finish, stages, progress)
    progress.stage("clean")(0, 1)
    whole = whole_surface(surface.mesh, finish, len(chunks.centres))
    in_world = _world_mesh(whole.coarse, chunks)
    instances = vote_instances(in_world, labelled) if labelled else None
    pieces = list(_pieces(whole, in_world, plan, instances))
    stages = replace(stages, key=key_of(surface=stages.key, finish=asdict(finish), names=[p.name for p in pieces]))
    advance = progress.stage("texture")
    parts: dict[str, list[Mesh]] = {}
    for index, piece in enumerate(pieces):

        def build(piece: _Piece = piece) -> Mesh:
            hole = _OBJECT_HOLE_M / chunks.size if piece.role == "object" else 0.0
            return baked_piece(whole, piece.faces, surface.materials, finish, max_hole_perimeter=hole)

        mesh = stages.kept(f"piece_{index:03d}_{len(piece.faces)}", Mesh, build)
        parts.setdefault(piece.name, []).append(mesh)
        advance(index + 1, len(pieces))
    first = {piece.name: piece for piece in reversed(pieces)}
    return tuple(_placed(name, first[name], meshes, chunks) for name, meshes in parts.items())


def _published_objects(
    surface: SceneSurface, plan: ScenePlan, finish: FinishOptions, stages: KeptStages, progress: Progress
) -> tuple[SceneObject, ...]:
    chunks = plan.chunks
    progress.stage("clean")(0, 1)
    if len(surface.mesh.faces) == 0:
        raise EmptyStructureError("The decoder found no surface anywhere in the scene; try another seed.")
    voxels = surface.materials
    if not isinstance(voxels, SceneVoxels):
        raise InputError("Scenes are assembled as published from GenRecon's own networks alone; give their --weights.")
    translations = chunks.relative_translation.float()
    lattice = ChunkLattice.from_translations(translations, voxels.voxels_per_side)
    stages = replace(stages, key=key_of(surface=stages.key, finish=asdict(finish)))
    shell = stages.kept("shell", Mesh, lambda: published_shell(surface.mesh, lattice, chunks.size))
    advance, objects = progress.stage("texture"), []
    labels = faces_by_label(assign_faces(_world_mesh(shell, chunks), chunks.centres))
    for done, (number, faces) in enumerate(labels, 1):

        def build(faces: Int[Tensor, " F"] = faces) -> Mesh:
            return published_piece(shell, faces, voxels, finish, chunks.size)

        piece = _Piece(f"chunk_{number:03d}", faces, "shell")
        mesh = stages.kept(f"published_{number:03d}", Mesh, build)
        objects.append(_placed(piece.name, piece, [mesh], chunks))
        advance(done, len(labels))
    return tuple(objects)


def _pieces(whole: WholeSurface, in_world: Mesh, plan: ScenePlan, instances: Instances | None) -> Iterator[_Piece]:
    """Objects in the order of their names, then the shell (or everything) by chunk."""
    chunk = assign_faces(in_world, plan.chunks.centres)
    if instances is None:
        for number, faces in faces_by_label(chunk):
            yield _Piece(f"chunk_{number:03d}", faces, "shell")
        return
    for number, faces in faces_by_label(instances.of_face):
        if number > 0:
            yield _Piece(instances.names[number - 1], faces, "object", instances.confidence[number - 1])
    extent = plan.extent
    shell = shell_part_of_faces(in_world, floor_m=extent.z_floor, ceiling_m=extent.z_ceiling)
    rest = instances.of_face == 0
    for part, name in enumerate(SHELL_PARTS):
        for number in range(len(plan.chunks.centres)):
            faces = (rest & (shell == part) & (chunk == number)).nonzero()[:, 0]
            if len(faces):
                yield _Piece(name, faces, "shell")


def _world_mesh(mesh: Mesh, chunks: Chunks) -> Mesh:
    return Mesh(mesh.vertices.double() * chunks.size + chunks.centres[0], mesh.faces)


def _placed(name: str, piece: _Piece, meshes: Sequence[Mesh], chunks: Chunks) -> SceneObject:
    """An object at the middle of its meshes, with its box."""
    bounds = torch.stack([torch.stack([mesh.vertices.amin(0), mesh.vertices.amax(0)]) for mesh in meshes])
    low, high = bounds[:, 0].amin(0), bounds[:, 1].amax(0)
    middle = (low + high) / 2
    scale = torch.tensor(chunks.size, dtype=torch.float64)
    centre = middle.double() * scale + chunks.centres[0]
    return SceneObject(
        name=name,
        parts=tuple(replace(mesh, vertices=mesh.vertices - middle) for mesh in meshes),
        world_from_object=compose_similarity(torch.eye(3, dtype=torch.float64), centre, scale).float(),
        confidence=piece.confidence,
        role=piece.role,
        box=_box(centre, (high - low).double() * scale) if piece.role == "object" else None,
    )


def _box(centre: Float[Tensor, " 3"], size: Float[Tensor, " 3"]) -> OrientedBox:
    x, y, z = centre.tolist()
    width, depth, height = size.tolist()
    return OrientedBox((x, y, z), (width, depth, height))
