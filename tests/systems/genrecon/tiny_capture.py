"""A small capture on disk: a room of points, cameras in a circle, pictures of plain stripes, COLMAP text files."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scenewright.geometry.camera.cameras import look_at
from scenewright.geometry.rotation import matrix_to_quaternion_wxyz

ROOM = np.array([3.0, 1.6, 2.6])
HEIGHT = 1.6
WIDTH, TALL, FOCAL = 96, 72, 60.0
# The files' frame: y up, half the size, moved.
FILE_FROM_WORLD = np.array([[0.5, 0, 0, 1.0], [0, 0, 0.5, 2.0], [0, -0.5, 0, 3.0], [0, 0, 0, 1]])


def room_points(count: int = 4000) -> np.ndarray:
    """Points on floor, ceiling and walls, z up, floor at 0, the middle at x = y = 0."""
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(count, 3)) * ROOM - [ROOM[0] / 2, ROOM[1] / 2, 0]
    axis = rng.integers(0, 3, count)
    side = rng.integers(0, 2, count)
    low, high = np.array([-ROOM[0] / 2, -ROOM[1] / 2, 0]), np.array([ROOM[0] / 2, ROOM[1] / 2, ROOM[2]])
    points[np.arange(count), axis] = np.where(side == 1, high[axis], low[axis])
    return points


def camera_poses(count: int) -> list[np.ndarray]:
    """`cam_from_world` of cameras at 1.6 m, on a circle of half a metre, looking outwards and a little down."""
    poses = []
    for index in range(count):
        angle = 2 * np.pi * index / count
        direction = torch.tensor([np.cos(angle), np.sin(angle), 0.0])
        eye = -0.5 * direction + torch.tensor([0.0, 0.0, HEIGHT])
        poses.append(look_at(eye.double(), (eye + direction - torch.tensor([0, 0, 0.3])).double()).numpy())
    return poses


def write_capture(folder: Path, *, count: int = 8, names: list[str] | None = None) -> Path:
    model, images = folder / "sparse" / "0", folder / "images"
    model.mkdir(parents=True)
    images.mkdir()
    names = names or [f"picture {index:02d}.png" for index in range(count)]
    (model / "cameras.txt").write_text(f"1 PINHOLE {WIDTH} {TALL} {FOCAL} {FOCAL} {WIDTH / 2} {TALL / 2}\n")
    world_from_file = np.linalg.inv(FILE_FROM_WORLD)
    lines = []
    # The file lists pictures in another order than their names'.
    for index, (name, pose) in reversed(list(enumerate(zip(names, camera_poses(count), strict=True)))):
        matrix = pose @ world_from_file
        matrix[:3] /= np.linalg.norm(matrix[0, :3])
        q = matrix_to_quaternion_wxyz(torch.from_numpy(matrix[:3, :3])).tolist()
        lines += [" ".join(map(str, (index + 1, *q, *matrix[:3, 3], 1, name))), ""]
        stripes = np.zeros((TALL, WIDTH, 3), np.uint8)
        stripes[:, :: 2 + index] = (200, 40 + 20 * index, 90)
        (images / name).parent.mkdir(exist_ok=True)
        Image.fromarray(stripes).save(images / name)
    (model / "images.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = room_points() @ FILE_FROM_WORLD[:3, :3].T + FILE_FROM_WORLD[:3, 3]
    (model / "points3D.txt").write_text(
        "".join(f"{i} {x:.6f} {y:.6f} {z:.6f} 128 128 128 0.5 1 0 2 0 3 0 4 0\n" for i, (x, y, z) in enumerate(rows))
    )
    return folder
