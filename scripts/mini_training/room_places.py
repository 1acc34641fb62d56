"""Made rooms as places: folders of pictures, COLMAP model, instances and truth that `scenewright evaluate` scores.

Frame: files y up in metres, as the test scenes are; arrays here z up.
"""

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image

from scenewright.data.ground_truth import prepare_scene
from scenewright.data.selection import Selector
from scenewright.geometry.frames import ZUP_FROM_YUP
from scenewright.geometry.rotation import matrix_to_quaternion_wxyz
from scenewright.io.scene_file import save_scene
from scenewright.types import Camera
from scripts.mini_training.room_examples import furnished_room, made_points

__all__ = ["write_place"]

ROOM_LABEL = 100
_WIDTH = 512


def write_place(selector: Selector, folder: Path, *, seed: int, number: int) -> None:
    """Room `number` as `FOLDER/room-00000`; the layout is that of the training example of the same number."""
    place = folder / f"room-{number:05d}"
    for part in ("images", "instances", "sparse/0"):
        (place / part).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(np.random.SeedSequence([seed, number]))
    scene = furnished_room(selector, rng, width=_WIDTH)
    shots = prepare_scene(scene, shadow_size=1024).pictures(scene.cameras, supersample=2)
    for index, shot in enumerate(shots):
        Image.fromarray(shot.rgb.numpy()).save(place / "images" / f"{index:03d}.jpg", quality=95)
        labels = shot.instance.numpy()
        is_object = (labels > 0) & (labels <= len(scene.objects))
        Image.fromarray(np.where(is_object, labels, ROOM_LABEL).astype(np.uint8)).save(
            place / "instances" / f"{index:03d}.png"
        )
    poses = np.stack([camera.cam_from_world.double().numpy() for camera in scene.cameras])
    camera = scene.cameras[0]
    unit = camera.intrinsics_px.double().numpy() / [[camera.width], [camera.height], [1.0]]
    depth = np.stack([shot.depth_m.numpy() for shot in shots])
    points, seen = made_points(depth, np.stack([shot.rgb.numpy() for shot in shots]), poses, unit, rng)
    _write_model(place / "sparse/0", camera, poses, points, seen)
    save_scene(scene.scene(), place / "gt.glb")
    (place / "scene.json").write_text(json.dumps({"kind": "multi_view", "objects": []}))
    np.savez(place / "gt_points.npz")


def _write_model(
    folder: Path,
    camera: Camera,
    poses: Float[np.ndarray, "N 4 4"],
    points: Float[np.ndarray, "P 3"],
    seen: Int[np.ndarray, "Q 2"],
) -> None:
    """COLMAP text files of the y-up world; `seen` pairs pictures with points."""
    k = camera.intrinsics_px.double().numpy()
    (folder / "cameras.txt").write_text(
        f"1 PINHOLE {camera.width} {camera.height} {k[0, 0]} {k[1, 1]} {k[0, 2]} {k[1, 2]}\n"
    )
    turn = ZUP_FROM_YUP.numpy()
    lines = []
    for index, pose in enumerate(poses):
        own = seen[seen[:, 0] == index, 1]
        image = (points[own] @ pose[:3, :3].T + pose[:3, 3]) @ k.T
        matrix = pose @ turn
        quaternion = matrix_to_quaternion_wxyz(torch.from_numpy(matrix[:3, :3])).tolist()
        lines.append(" ".join(map(str, (index + 1, *quaternion, *matrix[:3, 3], 1, f"{index:03d}.jpg"))))
        lines.append(" ".join(f"{x / z:.2f} {y / z:.2f} {p + 1}" for (x, y, z), p in zip(image, own, strict=True)))
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    in_file = points @ turn[:3, :3]
    order = seen[seen[:, 1].argsort(kind="stable")]
    tracks = np.split(order[:, 0], np.flatnonzero(np.diff(order[:, 1])) + 1)
    rows = (
        f"{p + 1} {x:.5f} {y:.5f} {z:.5f} 128 128 128 0.5 " + " ".join(f"{view + 1} 0" for view in track)
        for p, ((x, y, z), track) in enumerate(zip(in_file, tracks, strict=True))
    )
    (folder / "points3D.txt").write_text("\n".join(rows) + "\n")
