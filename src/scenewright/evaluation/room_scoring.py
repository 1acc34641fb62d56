"""Scores of a furnished room made from one panorama, against a room that is known exactly.

* `scenewright-room-1`, in metres, the prediction placed by its panorama's camera and not aligned: F-scores of the room
  and of assets where they stand, IoU of the rooms as volumes, AP of boxes, PSNR of the panorama drawn again.
* `inspace-2026`, in the cube of the true room without its ceiling: cells, squared Chamfer distance and F1 of the room
  and of assets paired by the centres of their cells, precision and recall of boxes.

InSpace compares with decoded latents of the true room and decodes the whole room once more; here the truth is exact and
a room is everything a composed scene holds but its ceiling. Points are drawn by seed, and the two one-sided distances
keep their names (the published code swaps them). Source: naver/inspace eval/pipeline/compute_metrics.py.

Legend: N points, C corners, B boxes. Frame: world z up, metres, floor at 0.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.spatial import cKDTree
from torch import Tensor

from scenewright.data.probe_scenes import TestScene, read_test_scene
from scenewright.data.room_shell import ear_triangles, polygon_contains
from scenewright.errors import InputError
from scenewright.evaluation.matching import match_by_place
from scenewright.files import inside
from scenewright.geometry.frames import ZUP_FROM_YUP
from scenewright.geometry.mesh.sample import sample_surface, triangle_areas
from scenewright.io.archives import read_npz_arrays
from scenewright.io.depth_file import load_depth
from scenewright.io.images import load_image, pixels_of
from scenewright.metrics.box_detection import box_iou, detection_score
from scenewright.metrics.boxes import match_detections
from scenewright.metrics.image_similarity import psnr
from scenewright.metrics.voxels import match_parts, voxel_overlap
from scenewright.rendering.lights import Ambient, Lights
from scenewright.rendering.panorama import render_panorama
from scenewright.rendering.render import RenderOptions
from scenewright.types import Mesh, OrientedBox, PanoramaCamera, Room, Scene, SceneObject

__all__ = [
    "ROOM_PROTOCOLS",
    "RoomProtocol",
    "RoomScore",
    "RoomTruth",
    "compared_panoramas",
    "read_room_truth",
    "redrawn",
    "score_room",
    "true_boxes",
]

AP_THRESHOLDS = (0.25, 0.5)
_BOX_THRESHOLDS = (0.25, 0.5, 0.75)
_UNLIT = Lights(ambient=Ambient((1.0, 1.0, 1.0), (1.0, 1.0, 1.0)))
_PANORAMA_HEIGHT = 256
_FILLED = 0.99999
_PLAN_M = 0.02
_MATCH_SHARE = 0.3


@dataclass(frozen=True)
class RoomProtocol:
    """A named set of rules; a new choice gets a new name.

    Attributes:
        thresholds: of the F-scores, in units of the frame.
        points_per_m2: density of surface points in metres; `num_points` are drawn of a whole room in the cube.
        min_cells: assets with fewer cells on either side have no distances in the cube.
    """

    name: str
    frame: Literal["metres", "cube"]
    thresholds: tuple[float, ...]
    points_per_m2: float = 400.0
    num_points: int = 10_000
    resolution: int = 32
    min_cells: int = 10
    seed: int = 0
    num_bootstrap: int = 500
    confidence_level: float = 0.95


ROOM_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        RoomProtocol("scenewright-room-1", "metres", (0.05, 0.1)),
        RoomProtocol("inspace-2026", "cube", (0.005, 0.01, 0.02)),
    )
}


@dataclass(frozen=True)
class RoomTruth:
    """A room that is known: what the panorama shows, its camera, the walls, and every object.

    Attributes:
        surfaces: points on each object's outer surface, and `areas_m2` of those surfaces.
        boxes: rows (centre, full extents, yaw) of the objects.
    """

    name: str
    rgb: UInt8[Tensor, "H W 3"]
    distance_m: Float[Tensor, "H W"]
    cam_from_world: Float[Tensor, "4 4"]
    polygon: Float[np.ndarray, "C 2"]
    height_m: float
    surfaces: tuple[Float[np.ndarray, "_ 3"], ...]
    areas_m2: tuple[float, ...]
    boxes: Float[np.ndarray, "B 7"]


@dataclass(frozen=True)
class RoomScore:
    """Numbers by name, and (confidence, true at each AP threshold) per predicted box where AP is measured."""

    metrics: dict[str, float]
    detections: tuple[tuple[float, tuple[bool, ...]], ...] | None
    num_truths: int


def read_room_truth(folder: str | Path, name: str | None = None) -> RoomTruth:
    """The truth of a panorama's test scene.

    Raises:
        InputError: a file is missing or damaged, or the scene is no panorama.
    """
    scene = read_test_scene(folder, name=name)
    meta = json.loads((Path(folder) / "scene.json").read_text())
    try:
        layout = meta["layout"]
        corners = np.array(layout["floor_polygon_xz"], dtype=np.float64) * [1, -1]
        height, depth_name, image_name = float(layout["height"]), meta["depth"], meta["image"]
        cam_from_yup = torch.tensor(meta["world_to_camera"], dtype=torch.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"'{folder}' is no panorama with a known room: its scene.json lacks {error}.") from error
    rgb = pixels_of(load_image(inside(folder, image_name)), "RGB")
    ahead = np.roll(corners, -1, 0)
    if (corners[:, 0] * ahead[:, 1] - corners[:, 1] * ahead[:, 0]).sum() < 0:
        corners = corners[::-1].copy()
    return RoomTruth(
        scene.name,
        rgb,
        load_depth(Path(folder) / depth_name),
        (cam_from_yup @ ZUP_FROM_YUP.T),
        corners,
        height,
        tuple(item.points.double().numpy() for item in scene.objects),
        _outer_areas(scene, Path(folder) / meta.get("gt_points", "gt_points.npz")),
        np.array([_box_row(item.facts) for item in scene.objects], dtype=np.float64).reshape(-1, 7),
    )


def _outer_areas(scene: TestScene, points: Path) -> tuple[float, ...]:
    """Area of every object's surface that can be seen from outside."""
    meshes = {item.name: item.placed_parts() for item in scene.truth.objects}
    stored = read_npz_arrays(points)
    return tuple(
        sum(_area(mesh) for mesh in meshes.get(item.name, ()))
        * float(stored.get(f"{item.name.removeprefix('obj_')}_outer_fraction", 1.0))
        for item in scene.objects
    )


def _area(mesh: Mesh) -> float:
    return float(triangle_areas(mesh.vertices.double().numpy(), mesh.faces.long().numpy()).sum())


def _box_row(facts: Any) -> list[float]:
    box = facts["obb"]
    x, y, z = box["center"]
    width, height, depth = box["size"]
    return [x, -z, y, width, depth, height, float(box["yaw"])]


def true_boxes(truth: RoomTruth) -> Scene:
    """The baseline: the true walls, and every true box as a cuboid; all grey."""
    objects = [SceneObject("room", (Mesh(*_shell(truth.polygon, truth.height_m)),), role="shell")]
    for number, row in enumerate(truth.boxes, 1):
        pose = torch.eye(4)
        c, s = float(np.cos(row[6])), float(np.sin(row[6]))
        pose[:2, :2] = torch.tensor([[c, -s], [s, c]])
        pose[:3, 3] = torch.from_numpy(row[:3]).float()
        box = OrientedBox(tuple(row[:3].tolist()), tuple(row[3:6].tolist()), float(row[6]))
        objects.append(
            SceneObject(f"box_{number:02d}", (_cuboid(row[3:6]),), world_from_object=pose, role="furniture", box=box)
        )
    camera = PanoramaCamera(truth.cam_from_world.float(), truth.rgb.shape[1], truth.rgb.shape[0])
    room = Room(torch.from_numpy(truth.polygon).float(), truth.height_m)
    return Scene(tuple(objects), cameras={"camera": camera}, is_metric=True, room=room)


def _cuboid(size: Float[np.ndarray, " 3"]) -> Mesh:
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]) * size
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    return Mesh(torch.from_numpy(corners).float(), torch.tensor(faces))


def _shell(polygon: Float[np.ndarray, "C 2"], height: float) -> tuple[Tensor, Tensor]:
    """Vertices and faces of floor, ceiling and walls."""
    count, triangles = len(polygon), np.array(ear_triangles(polygon))
    vertices = np.concatenate([np.column_stack([polygon, np.full(count, z)]) for z in (0.0, height)])
    walls = [
        face
        for a, b in zip(range(count), [*range(1, count), 0], strict=True)
        for face in ((a, b + count, b), (a, a + count, b + count))
    ]
    faces = np.concatenate([triangles, triangles[:, ::-1] + count, np.array(walls)])
    return torch.from_numpy(vertices).float(), torch.from_numpy(faces)


def score_room(prediction: Scene, truth: RoomTruth, protocol: RoomProtocol) -> RoomScore:
    """Scores a scene, which is placed by its panorama's camera (where it has none, it is taken to be in place).

    Raises:
        InputError: it has no surface at all.
    """
    placed = _Placed.of(prediction, truth)
    if not placed.shell and not placed.assets:
        raise InputError("The prediction has no surface at all; export objects with triangles.")
    if protocol.frame == "metres":
        return _metres(placed, prediction, truth, protocol)
    return _cube(placed, truth, protocol)


@dataclass(frozen=True)
class _Placed:
    """A prediction in the true world: surfaces as (vertices, faces), boxes of the assets, and the walls."""

    shell: list[tuple[np.ndarray, np.ndarray]]
    ceiling: list[tuple[np.ndarray, np.ndarray]]
    assets: list[tuple[np.ndarray, np.ndarray]]
    boxes: Float[np.ndarray, "B 7"]
    confidence: Float[np.ndarray, " B"]
    polygon: Float[np.ndarray, "C 2"]
    height_m: float

    @classmethod
    def of(cls, prediction: Scene, truth: RoomTruth) -> "_Placed":
        motion = np.eye(4)
        camera = prediction.cameras.get("camera")
        if isinstance(camera, PanoramaCamera):
            motion = np.linalg.inv(truth.cam_from_world.numpy()) @ camera.cam_from_world.double().numpy()
        groups: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"shell": [], "ceiling": [], "assets": []}
        boxes, confidence = [], []
        turn = float(np.arctan2(motion[1, 0], motion[0, 0]))
        for item in prediction.objects:
            parts = [
                (mesh.vertices.double().numpy() @ motion[:3, :3].T + motion[:3, 3], mesh.faces.long().numpy())
                for mesh in item.placed_parts()
            ]
            parts = [part for part in parts if len(part[1])]
            if item.role == "shell":
                groups["ceiling" if item.name.startswith("ceiling") else "shell"] += parts
            elif parts:
                groups["assets"].append(_joined(parts))
                confidence.append(1.0 if item.confidence is None else float(item.confidence))
                boxes.append(_moved_box(item.box, parts, motion, turn))
        room = prediction.room
        corners = np.zeros((0, 3)) if room is None else np.pad(room.floor_polygon.double().numpy(), ((0, 0), (0, 1)))
        return cls(
            groups["shell"],
            groups["ceiling"],
            groups["assets"],
            np.array(boxes, dtype=np.float64).reshape(-1, 7),
            np.array(confidence),
            (corners @ motion[:3, :3].T + motion[:3, 3])[:, :2],
            0.0 if room is None else room.height,
        )


def _moved_box(box: OrientedBox | None, parts: Sequence[Any], motion: np.ndarray, turn: float) -> list[float]:
    if box is None:
        points = _joined(parts)[0]
        low, high = points.min(0), points.max(0)
        return [*((low + high) / 2), *(high - low), 0.0]
    center = motion[:3, :3] @ np.array(box.centre) + motion[:3, 3]
    return [*center, *box.size, box.yaw + turn]


def _joined(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts[:-1])])
    faces = [part[1] + start for part, start in zip(parts, starts, strict=True)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(faces)


def _drawn(surface: tuple[np.ndarray, np.ndarray], density: float, rng: np.random.Generator) -> np.ndarray:
    """Points on a surface, so many to the square metre."""
    count = round(float(triangle_areas(*surface).sum()) * density)
    return sample_surface(*surface, max(count, 8), rng)


def _true_room(truth: RoomTruth, density: float, rng: np.random.Generator, *, has_ceiling: bool) -> np.ndarray:
    vertices, faces = (values.numpy() for values in _shell(truth.polygon, truth.height_m))
    if not has_ceiling:
        below = vertices[faces][:, :, 2].min(1) < truth.height_m - 1e-6
        faces = faces[below]
    clouds = [_drawn((vertices.astype(np.float64), faces), density, rng)]
    for points, area in zip(truth.surfaces, truth.areas_m2, strict=True):
        clouds.append(points[rng.permutation(len(points))[: max(8, round(area * density))]])
    return np.concatenate(clouds)


def _metres(placed: _Placed, prediction: Scene, truth: RoomTruth, protocol: RoomProtocol) -> RoomScore:
    rng = np.random.default_rng(protocol.seed)
    density = protocol.points_per_m2
    assets = [_drawn(surface, density, rng) for surface in placed.assets]
    shell = [_drawn(surface, density, rng) for surface in (*placed.shell, *placed.ceiling)]
    whole = np.concatenate([*shell, *assets])
    metrics = {
        f"room_f_{round(100 * tau)}cm": _f_score(whole, _true_room(truth, density, rng, has_ceiling=True), tau)
        for tau in protocol.thresholds
    }
    metrics |= _asset_scores(assets, truth, protocol.thresholds)
    metrics["layout_iou"] = _layout_iou(placed, truth)
    iou = box_iou(placed.boxes, truth.boxes)
    hits = np.stack([match_detections(iou, placed.confidence, level) for level in AP_THRESHOLDS], 1)
    metrics["psnr"] = psnr(*compared_panoramas(prediction, truth))
    detections = [
        (float(confidence), tuple(bool(flag) for flag in flags))
        for confidence, flags in zip(placed.confidence, hits, strict=True)
    ]
    return RoomScore(metrics, tuple(detections), len(truth.boxes))


def _asset_scores(assets: Sequence[np.ndarray], truth: RoomTruth, thresholds: Sequence[float]) -> dict[str, float]:
    """Mean F-score over the true objects, where they stand; what has no counterpart scores 0."""
    clouds = [torch.from_numpy(cloud) for cloud in assets], [torch.from_numpy(cloud) for cloud in truth.surfaces]
    pairs = match_by_place(*clouds).pairs if assets and truth.surfaces else ()
    count = max(len(truth.surfaces), 1)
    return {
        f"asset_f_{round(100 * tau)}cm": sum(_f_score(assets[a], truth.surfaces[b], tau) for a, b in pairs) / count
        for tau in thresholds
    }


def _f_score(predicted: np.ndarray, true: np.ndarray, tau: float) -> float:
    """Percent."""
    precision = float((cKDTree(true).query(predicted)[0] < tau).mean())
    recall = float((cKDTree(predicted).query(true)[0] < tau).mean())
    return 100 * 2 * precision * recall / max(precision + recall, 1e-12)


def _layout_iou(placed: _Placed, truth: RoomTruth) -> float:
    """IoU of the rooms as volumes: floor polygon times height."""
    if len(placed.polygon) < 3:
        return 0.0
    corners = np.concatenate([placed.polygon, truth.polygon])
    low, high = corners.min(0), corners.max(0)
    axes = [np.arange(a + _PLAN_M / 2, b, _PLAN_M) for a, b in zip(low, high, strict=True)]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    mine, its = (polygon_contains(polygon, cells) for polygon in (placed.polygon, truth.polygon))
    shared = float((mine & its).sum()) * min(placed.height_m, truth.height_m)
    total = float(mine.sum()) * placed.height_m + float(its.sum()) * truth.height_m
    return shared / max(total - shared, 1e-12)


def redrawn(scene: Scene, truth: RoomTruth, height: int = _PANORAMA_HEIGHT) -> Float[Tensor, "height width 3"]:
    """The scene without light from the panorama's camera, sRGB in [0, 1]."""
    camera = scene.cameras.get("camera")
    pose = camera.cam_from_world if isinstance(camera, PanoramaCamera) else truth.cam_from_world.float()
    options = RenderOptions(tone_map=False, threads=1 if torch.get_num_threads() == 1 else None)
    return render_panorama(scene, pose, height, _UNLIT, options).rgb.clamp(0, 1)


def compared_panoramas(scene: Scene, truth: RoomTruth) -> tuple[Float[Tensor, "3 h w"], Float[Tensor, "3 h w"]]:
    """The panorama drawn again (`redrawn`) and the given one at its size, in [0, 1]."""
    size = (2 * _PANORAMA_HEIGHT, _PANORAMA_HEIGHT)
    picture = Image.fromarray(truth.rgb.numpy()).resize(size, Image.Resampling.BOX)
    true = torch.from_numpy(np.array(picture)).float() / 255
    return redrawn(scene, truth).cpu().permute(2, 0, 1), true.permute(2, 0, 1)


def _cube(placed: _Placed, truth: RoomTruth, protocol: RoomProtocol) -> RoomScore:
    """InSpace's own measures, of everything but the ceiling."""
    rng = np.random.default_rng(protocol.seed)
    low, high = np.append(truth.polygon.min(0), 0.0), np.append(truth.polygon.max(0), truth.height_m)
    center, scale = (low + high) / 2, _FILLED / float((high - low).max())

    def cells(points: np.ndarray) -> Tensor:
        cube = np.clip((points - center) * scale, -0.5 + 1e-6, 0.5 - 1e-6)
        return torch.from_numpy(((cube + 0.5) * protocol.resolution).astype(np.int64)).unique(dim=0)

    # Enough points that no cell of a surface is missed.
    dense = 40 * (protocol.resolution * scale) ** 2
    assets = [_drawn(surface, dense, rng) for surface in placed.assets]
    whole = np.concatenate([*(_drawn(surface, dense, rng) for surface in placed.shell), *assets])
    true = _true_room(truth, dense, rng, has_ceiling=False)
    overlap = voxel_overlap(cells(whole), cells(true))
    metrics = {
        "voxel_iou": overlap.iou,
        "voxel_precision": overlap.precision,
        "voxel_recall": overlap.recall,
        "voxel_f1": overlap.f1,
    }
    metrics |= _distances("room", whole, true, protocol, scale, rng)
    own, its = [cells(cloud) for cloud in assets], [cells(cloud) for cloud in truth.surfaces]
    matches = match_parts(own, its, _MATCH_SHARE * protocol.resolution)
    metrics["asset_recall"] = len(matches) / max(len(its), 1)
    metrics["asset_precision"] = len(matches) / max(len(own), 1)
    rows = []
    for match in matches:
        parts = voxel_overlap(own[match.predicted], its[match.true])
        row = {"asset_voxel_iou": parts.iou, "asset_voxel_f1": parts.f1}
        if min(len(own[match.predicted]), len(its[match.true])) >= protocol.min_cells:
            surfaces = assets[match.predicted], truth.surfaces[match.true]
            row |= _distances("asset", *surfaces, protocol, scale, rng)
        rows.append(row)
    for name in sorted({name for row in rows for name in row}):
        metrics[name] = float(np.mean([row[name] for row in rows if name in row]))
    order = np.argsort(-placed.confidence, kind="stable")
    for level in _BOX_THRESHOLDS:
        found = detection_score([(placed.boxes[order], truth.boxes)], "obb3d", level)
        percent = round(100 * level)
        metrics |= {f"box_precision_{percent}": found.precision, f"box_recall_{percent}": found.recall}
    return RoomScore(metrics, None, len(truth.boxes))


def _distances(
    name: str, predicted: np.ndarray, true: np.ndarray, protocol: RoomProtocol, scale: float, rng: np.random.Generator
) -> dict[str, float]:
    """Half the sum of the mean squared distances, and F1, in cube units."""
    drawn = [points[rng.permutation(len(points))[: protocol.num_points]] * scale for points in (predicted, true)]
    there, back = cKDTree(drawn[1]).query(drawn[0])[0], cKDTree(drawn[0]).query(drawn[1])[0]
    found = {f"{name}_cd": float((there**2).mean() + (back**2).mean()) / 2}
    for tau in protocol.thresholds:
        precision, recall = float((there < tau).mean()), float((back < tau).mean())
        found[f"{name}_f1_{tau:g}"] = 2 * precision * recall / max(precision + recall, 1e-12)
    return found
