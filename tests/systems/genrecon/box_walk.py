"""Photographs of a walk through a box whose walls are coloured by random values in space, and their cameras."""

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import map_coordinates

from scenewright.geometry.camera.cameras import look_at

WIDTH, HEIGHT, FOCAL = 180, 135, 150.0
BOX = np.array([2.0, 1.5, 1.3])


def room_picture(pose: np.ndarray, volume: np.ndarray) -> Image.Image:
    """A box seen from inside, coloured by random values in space."""
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    rays = np.stack([(columns - WIDTH / 2) / FOCAL, (rows - HEIGHT / 2) / FOCAL, np.ones_like(rows)], -1)
    rays = rays @ pose[:3, :3]
    eye = -pose[:3, :3].T @ pose[:3, 3]
    distance = np.where(rays > 0, (BOX - eye) / rays, (-BOX - eye) / rays).min(-1)
    points = eye + rays * distance[..., None]
    place = np.moveaxis((points / BOX + 1) / 2 * (np.array(volume.shape) - 1), -1, 0)
    return Image.fromarray(map_coordinates(volume, place, order=1).astype(np.uint8)).convert("RGB")


def walk_through_box(count: int) -> tuple[list[Image.Image], list[np.ndarray]]:
    """Pictures and `cam_from_world`, along a wall and looking at the opposite one."""
    volume = np.random.default_rng(0).uniform(0, 255, (50, 40, 34))
    poses = []
    for index in range(count):
        eye = torch.tensor([-1.2 + 0.4 * index, -0.9 + 0.05 * index, 0.1 * (index % 2)]).double()
        poses.append(look_at(eye, torch.tensor([0.3, 1.5, -0.2]).double()).numpy())
    return [room_picture(pose, volume) for pose in poses], poses
