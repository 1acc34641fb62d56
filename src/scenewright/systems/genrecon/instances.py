"""Objects out of a fused mesh: masks of pictures vote for the faces they show, a face goes to the most-voted instance.

Every picture's pixels look up the nearest face under them, so that hidden faces get no votes. Masks of one object in
several pictures are either named alike, or put together where they show the same faces.
Faces that no picture sees follow their neighbours on the surface.

Legend: N pictures, F faces. Frame: world, z up, metres; cameras OpenCV. Label 0 is what no mask covers (the room).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from torch import Tensor

from scenewright.geometry.mesh.edges import edge_table, face_components
from scenewright.geometry.mesh.parts import face_areas, face_normals
from scenewright.rendering.gbuffer import rasterize
from scenewright.rendering.triangles import TriangleScene, pack_meshes
from scenewright.rendering.view import view_of_camera
from scenewright.types import Camera, Mesh

__all__ = ["SHELL_PARTS", "Instances", "LabelledView", "shell_part_of_faces", "vote_instances"]

SHELL_PARTS = ("floor", "ceiling", "walls")
# Masks are one object where they share this much of what both sides could have shown.
_SAME_OBJECT = 0.5
# Islands of an instance below this share of its area go back to what surrounds them.
_ISLAND = 0.02
_LEVEL_COSINE = 0.8


@dataclass(frozen=True)
class LabelledView:
    """Instances in one picture: 0 is none; `names` gives each label's name, alike in all pictures, if it is known."""

    camera: Camera
    labels: Int[Tensor, "height width"]
    names: Mapping[int, str] | None = None


@dataclass(frozen=True)
class Instances:
    """Instance of every face (0: the room), their names from label 1 on, and the share of votes that agreed."""

    of_face: Int[Tensor, " F"]
    names: tuple[str, ...]
    confidence: tuple[float, ...]


def vote_instances(mesh: Mesh, views: Sequence[LabelledView]) -> Instances:
    """Instances of a mesh in the world frame; without any view all faces are the room's.

    Work is one drawing of the mesh per view, and linear in pixels; masks without names are compared pairwise.
    """
    count = len(mesh.faces)
    scene = pack_meshes([Mesh(mesh.vertices.float(), mesh.faces)])
    votes = [_votes(scene, view) for view in views]
    names, label_of = _global_labels(views, votes, face_areas(mesh).double().numpy() if count else np.zeros(0))
    table = np.zeros((count, len(names) + 1))
    for own, labels in zip(votes, label_of, strict=True):
        for label, seen in own.items():
            table[seen.faces, labels.get(label, 0)] += seen.pixels
    is_seen = table.sum(1) > 0
    of_face = np.where(is_seen, table.argmax(1), -1)
    of_face = _spread(mesh, of_face)
    of_face = _without_islands(mesh, of_face, len(names))
    total = np.array([table[of_face == index].sum() for index in range(1, len(names) + 1)])
    agreed = np.array([table[of_face == index, index].sum() for index in range(1, len(names) + 1)])
    confidence = np.divide(agreed, total, out=np.zeros_like(agreed, dtype=float), where=total > 0)
    return Instances(torch.from_numpy(of_face), tuple(names), tuple(float(value) for value in confidence))


def shell_part_of_faces(mesh: Mesh, *, floor_m: float, ceiling_m: float) -> Int[Tensor, " F"]:
    """Index into `SHELL_PARTS` of every face: level faces go to the nearer of floor and ceiling, others to the walls.

    Winding does not count, as the surface of a room is seen from inside.
    """
    level = face_normals(mesh)[:, 2].abs() > _LEVEL_COSINE
    height = mesh.vertices[mesh.faces.long()][..., 2].mean(1)
    quarter = 0.25 * (ceiling_m - floor_m)
    part = torch.full((len(mesh.faces),), SHELL_PARTS.index("walls"))
    part[level & (height < floor_m + quarter)] = SHELL_PARTS.index("floor")
    part[level & (height > ceiling_m - quarter)] = SHELL_PARTS.index("ceiling")
    return part


@dataclass(frozen=True)
class _Seen:
    """Faces that a label shows in one picture, with the number of pixels of each."""

    faces: Int[np.ndarray, " n"]
    pixels: Int[np.ndarray, " n"]


def _votes(scene: TriangleScene, view: LabelledView) -> dict[int, _Seen]:
    """Faces under the pixels of every label, 0 included."""
    face = rasterize(scene, view_of_camera(view.camera)).face.numpy()
    labels = view.labels.numpy()
    if labels.shape != face.shape:
        raise ValueError(f"Expected labels of {face.shape[1]}x{face.shape[0]} pixels, got {labels.shape[::-1]}.")
    shown = face >= 0
    pairs, pixels = np.unique(np.stack([labels[shown], face[shown]]), axis=1, return_counts=True)
    found = {}
    for label in np.unique(pairs[0]):
        mine = pairs[0] == label
        found[int(label)] = _Seen(pairs[1, mine].astype(np.int64), pixels[mine])
    return found


def _global_labels(
    views: Sequence[LabelledView], votes: Sequence[dict[int, _Seen]], areas: Float[np.ndarray, " F"]
) -> tuple[list[str], list[dict[int, int]]]:
    """Names of all instances, and per view the instance (from 1) of each of its labels."""
    if all(view.names is not None for view in views):
        names = sorted({name for view in views for name in (view.names or {}).values()})
        number = {name: index + 1 for index, name in enumerate(names)}
        return names, [{label: number[name] for label, name in (view.names or {}).items()} for view in views]
    return _associated(votes, areas)


def _associated(
    votes: Sequence[dict[int, _Seen]], areas: Float[np.ndarray, " F"]
) -> tuple[list[str], list[dict[int, int]]]:
    """Masks joined, largest first, to the instance that shares most of the faces that both could have shown."""
    count = len(areas)
    visible = np.zeros((len(votes), count), dtype=bool)
    for view, own in enumerate(votes):
        for seen in own.values():
            visible[view, seen.faces] = True
    masks = [(view, label, seen) for view, own in enumerate(votes) for label, seen in own.items() if label > 0]
    masks.sort(key=lambda mask: -areas[mask[2].faces].sum())
    instances: list[Bool[np.ndarray, " F"]] = []
    looked_at: list[Bool[np.ndarray, " F"]] = []
    label_of: list[dict[int, int]] = [{} for _ in votes]
    for view, label, seen in masks:
        mine = np.zeros(count, dtype=bool)
        mine[seen.faces] = True
        taken = set(label_of[view].values())
        best, best_share = 0, _SAME_OBJECT
        for number, (faces, looked) in enumerate(zip(instances, looked_at, strict=True), 1):
            if number in taken:
                continue
            # Only what both sides could have shown is compared.
            both = min(areas[mine & looked].sum(), areas[faces & visible[view]].sum())
            share = areas[mine & faces].sum() / both if both > 0 else 0.0
            if share >= best_share:
                best, best_share = number, share
        if best == 0:
            instances.append(np.zeros(count, dtype=bool))
            looked_at.append(np.zeros(count, dtype=bool))
            best = len(instances)
        instances[best - 1] |= mine
        looked_at[best - 1] |= visible[view]
        label_of[view][label] = best
    return [f"obj_{number:02d}" for number in range(1, len(instances) + 1)], label_of


def _spread(mesh: Mesh, of_face: Int[np.ndarray, " F"]) -> Int[np.ndarray, " F"]:
    """Labels of unseen faces (-1) from their neighbours, ring by ring; pieces that nothing sees are the room's."""
    of_face = of_face.copy()
    if not (of_face < 0).any():
        return of_face
    pairs, _ = edge_table(mesh.faces).face_pairs()
    both = np.concatenate([pairs, pairs[:, ::-1]])
    count = max(int(of_face.max()) + 1, 1)
    while True:
        open_faces = of_face < 0
        towards = both[open_faces[both[:, 0]] & ~open_faces[both[:, 1]]]
        if not len(towards):
            break
        ballots = coo_matrix(
            (np.ones(len(towards)), (towards[:, 0], of_face[towards[:, 1]])), shape=(len(of_face), count)
        ).tocsr()
        rows = np.unique(towards[:, 0])
        of_face[rows] = np.asarray(ballots[rows].argmax(axis=1)).reshape(-1)
    of_face[of_face < 0] = 0
    return of_face


def _without_islands(mesh: Mesh, of_face: Int[np.ndarray, " F"], count: int) -> Int[np.ndarray, " F"]:
    """Small separate islands of an instance given back to the room."""
    areas = face_areas(mesh).double().numpy()
    result = of_face.copy()
    for label in range(1, count + 1):
        mine = np.flatnonzero(of_face == label)
        if not len(mine):
            continue
        _, component = face_components(mesh.faces[torch.from_numpy(mine)])
        size = np.bincount(component, weights=areas[mine])
        result[mine[size[component] < _ISLAND * areas[mine].sum()]] = 0
    return result
