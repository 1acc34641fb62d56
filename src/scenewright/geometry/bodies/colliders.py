"""Convex shapes that stand for a mesh in a collision, with their error against it.

A hull, a box, or a decomposition into convex pieces (V-HACD 4: Mamou, "Volumetric Hierarchical Approximate Convex
Decomposition", Game Engine Gems 3, 2016; by `vhacdx`). A mesh that its hull follows within 2 % of its size has that
hull alone. None is thinner than 2 mm: Bullet grows a collider by 1 mm (`gUrdfDefaultCollisionMargin`, in bullet3's
importer of URDF), and MuJoCo's contacts stiffen over 1 mm (`solimp`, chapter "Modeling" of its documentation), on
either side.

Unit: metres. Legend: V vertices, N points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from scenewright.errors import InputError, MissingExtraError
from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.geometry.mesh.sample import sample_surface
from scenewright.geometry.mesh.simplify import simplify
from scenewright.geometry.mesh.triangle_tree import closest_points
from scenewright.types import Mesh, merged_mesh

__all__ = ["MIN_THICKNESS_M", "ColliderKind", "Colliders", "convex_hull", "make_colliders", "slabs"]

ColliderKind = Literal["hull", "decomposition", "box", "none"]

MIN_THICKNESS_M = 0.002
# PhysX takes convex shapes of up to 255 vertices, which have 506 faces.
_MAX_HULL_VERTICES = 255
# The time of a decomposition grows with faces and voxels; its pieces follow the outline, not the detail.
_DECOMPOSED_FACES = 4_000
_VOXELS = 30_000
_HULL_IS_ENOUGH = 0.02
_MAX_PIECE_VERTICES = 64
_SAMPLES = 4_000
_MAX_SLABS = 1_000


@dataclass(frozen=True)
class Colliders:
    """Convex `shapes`, and the Hausdorff distance between their common surface and the mesh (None of no shape)."""

    shapes: tuple[Mesh, ...]
    error_m: float | None


def make_colliders(
    mesh: Mesh, kind: ColliderKind, *, linear: Float[np.ndarray, "3 3"] | None = None, max_parts: int = 32
) -> Colliders:
    """The colliders of a mesh.

    A decomposition is a matter of chance to the last bit of the mesh: a piece may end a voxel lower or higher. So that
    an object has the same pieces wherever it stands, it is made of the mesh as it is, before `linear`.

    Args:
        linear: bends the mesh before it collides: its scale, in metres; None leaves it.
        max_parts: most pieces of a decomposition.

    Raises:
        InputError: the mesh has no vertices.
        MissingExtraError: a decomposition without the extra `sim`.
    """
    if kind == "none":
        return Colliders((), None)
    bend = np.eye(3) if linear is None else linear
    bent = _bent(mesh, bend)
    if kind == "box":
        shapes = [_box(bent)]
    elif kind == "hull":
        shapes = [convex_hull(bent)]
    else:
        shapes = _decomposition(mesh, bent, bend, max_parts)
    return Colliders(tuple(shapes), hausdorff(bent, shapes))


def convex_hull(mesh: Mesh) -> Mesh:
    """The hull of the vertices, as thick as a collider must be, with at most 255 vertices.

    Raises:
        InputError: there are no vertices, or some are not finite.
    """
    points = _points(mesh)
    # A sheet, a line or a point has no hull before it is thick across.
    centred = points - points.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    for axis in axes.T:
        points = _thickened(points, axis)
    hull = _of_few_vertices(_hull(points))
    for _ in range(3):
        corners = np.asarray(hull.vertices)
        extents = np.ptp(corners @ hull.face_normals.T, axis=0)
        thinnest = int(extents.argmin())
        if extents[thinnest] >= MIN_THICKNESS_M * (1 - 1e-6):
            break
        hull = _of_few_vertices(_hull(_thickened(corners, hull.face_normals[thinnest])))
    return _mesh(hull)


def _of_few_vertices(hull: Any) -> Any:
    if len(hull.vertices) <= _MAX_HULL_VERTICES:
        return hull
    small = _hull(simplify(_mesh(hull), 2 * _MAX_HULL_VERTICES - 4).vertices.double().numpy())
    if len(small.vertices) <= _MAX_HULL_VERTICES:
        return small
    # Simplification has stalled: the farthest vertices along directions spread evenly (a Fibonacci sphere).
    rank = np.arange(_MAX_HULL_VERTICES)
    z, angle = 1 - (2 * rank + 1) / _MAX_HULL_VERTICES, np.pi * (1 + 5**0.5) * rank
    flat = np.sqrt(1 - z * z)
    directions = np.stack([flat * np.cos(angle), flat * np.sin(angle), z])
    corners = np.asarray(hull.vertices)
    return _hull(corners[np.unique((corners @ directions).argmax(0))])


def slabs(mesh: Mesh) -> tuple[Mesh, ...] | None:
    """A thick convex piece for every triangle, as a room's walls need it; None of more than 1,000 triangles.

    A hull of walls would fill the room.
    """
    if len(mesh.faces) > _MAX_SLABS:
        return None
    corners = mesh.vertices.detach().cpu()[mesh.faces.cpu().long()]
    alone = torch.tensor([[0, 1, 2]])
    return tuple(convex_hull(Mesh(triangle, alone)) for triangle in corners)


def hausdorff(mesh: Mesh, shapes: Sequence[Mesh]) -> float:
    """The symmetric Hausdorff distance between the mesh and the surface of the union of convex shapes, by samples.

    Points of a shape that lie in another one are inside the union and do not count.
    """
    draw = np.random.default_rng(0)
    union = merged_mesh(shapes)
    own = sample_surface(mesh.vertices.detach().cpu().numpy(), mesh.faces.cpu().numpy(), _SAMPLES, draw)
    if not len(own):
        own = _points(mesh)
    there = closest_points(union, torch.from_numpy(own)).distance
    if not len(mesh.faces):
        return float(there.max())
    planes = [_planes(shape) for shape in shapes]
    tolerance = 1e-4 * float(np.ptp(own, axis=0).max())
    outer = []
    for number, shape in enumerate(shapes):
        points = sample_surface(shape.vertices.numpy(), shape.faces.numpy(), max(_SAMPLES // len(shapes), 200), draw)
        points = np.concatenate([points, shape.vertices.double().numpy()])
        for other, (normals, offsets) in enumerate(planes):
            if other != number:
                points = points[(points @ normals.T - offsets).max(1) > tolerance]
        outer.append(points)
    back = closest_points(mesh, torch.from_numpy(np.concatenate(outer))).distance
    return max(float(there.max()), float(back.max()) if len(back) else 0.0)


def _points(mesh: Mesh) -> Float[np.ndarray, "V 3"]:
    points = np.unique(mesh.vertices.detach().cpu().double().numpy(), axis=0)
    if not len(points) or not np.isfinite(points).all():
        raise InputError("Expected a mesh with finite vertices to make a body of, got none or damaged ones.")
    return points


def _thickened(points: Float[np.ndarray, "V 3"], axis: Float[np.ndarray, "3"]) -> Float[np.ndarray, "N 3"]:
    missing = MIN_THICKNESS_M - float(np.ptp(points @ axis))
    if missing <= 0:
        return points
    return np.concatenate([points - axis * missing / 2, points + axis * missing / 2])


def _hull(points: Float[np.ndarray, "V 3"]) -> Any:
    import trimesh

    return trimesh.convex.convex_hull(points)


def _mesh(hull: Any) -> Mesh:
    return Mesh(torch.from_numpy(np.array(hull.vertices)), torch.from_numpy(np.array(hull.faces, np.int64)))


def _planes(shape: Mesh) -> tuple[Float[np.ndarray, "F 3"], Float[np.ndarray, " F"]]:
    corners = shape.vertices.double().numpy()[shape.faces.numpy()]
    normals = area_vectors(corners)
    lengths = np.linalg.norm(normals, axis=1)
    kept = lengths > 1e-16
    normals = normals[kept] / lengths[kept, None]
    return normals, (normals * corners[kept, 0]).sum(1)


def _box(mesh: Mesh) -> Mesh:
    """The box along the object's own axes: what stands upright keeps an upright box."""
    points = _points(mesh)
    low, high = points.min(0), points.max(0)
    missing = np.maximum(MIN_THICKNESS_M - (high - low), 0) / 2
    low, high = low - missing, high + missing
    corners = [
        [(low, high)[i][0], (low, high)[j][1], (low, high)[k][2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)
    ]
    return convex_hull(Mesh(torch.tensor(corners), torch.zeros(0, 3, dtype=torch.long)))


def _bent(mesh: Mesh, linear: Float[np.ndarray, "3 3"]) -> Mesh:
    return Mesh(mesh.vertices.detach().cpu().double() @ torch.from_numpy(linear.T.copy()), mesh.faces.cpu())


def _decomposition(mesh: Mesh, bent: Mesh, bend: Float[np.ndarray, "3 3"], max_parts: int) -> list[Mesh]:
    try:
        import vhacdx
    except ImportError as error:
        raise MissingExtraError("A convex decomposition", "sim") from error
    whole = convex_hull(bent)
    size = float(np.linalg.norm(np.ptp(_points(bent), axis=0)))
    if hausdorff(bent, [whole]) < _HULL_IS_ENOUGH * size:
        return [whole]
    plain = simplify(Mesh(mesh.vertices.detach().cpu().double(), mesh.faces.cpu()), _DECOMPOSED_FACES)
    faces = np.insert(plain.faces.numpy(), 0, 3, axis=1)  # each begins with its number of corners
    pieces = vhacdx.compute_vhacd(
        plain.vertices.numpy(),
        faces.astype(np.uint32).reshape(-1),
        maxConvexHulls=max_parts,
        resolution=_VOXELS,
        maxNumVerticesPerCH=_MAX_PIECE_VERTICES,
        asyncACD=False,  # the same pieces every time
    )
    none = torch.zeros(0, 3, dtype=torch.long)
    low, high = plain.vertices.numpy().min(0), plain.vertices.numpy().max(0)
    shapes = []
    for vertices, _ in pieces:
        if len(vertices):
            # A piece may stick out of the mesh by a voxel: an object does not stand on what is not there.
            kept = np.clip(np.array(vertices), low, high)
            shapes.append(convex_hull(_bent(Mesh(torch.from_numpy(kept), none), bend)))
    return shapes or [whole]
