"""Training panoramas of mini's distance network: made rooms from several places each, with exact distances.

compose_room -> write_panoramas; FOLDER/panoramas-000000.npz, one chunk of rooms: `rgb`, `distance_mm`, and
`instance`, 0 for the room itself
"""

from pathlib import Path

import numpy as np
import torch

from scenewright.data.ground_truth import prepare_scene
from scenewright.data.rooms import compose_room
from scenewright.data.selection import Selector
from scenewright.encoders.panorama_distance import HEIGHT
from scenewright.io.atomic import atomic_path

__all__ = ["write_panoramas"]

_PLACES = 4


def write_panoramas(selector: Selector, folder: Path, *, seed: int, chunk: int, num_rooms: int) -> None:
    """One chunk of rooms; left alone if it is there."""
    path = folder / f"panoramas-{chunk:06d}.npz"
    if path.exists():
        return
    pictures, distances, instances = [], [], []
    for number in range(chunk * num_rooms, (chunk + 1) * num_rooms):
        scene = compose_room(selector, np.random.default_rng([seed, number]), panoramas=_PLACES)
        prepared = prepare_scene(scene, shadow_size=256)
        for pose in scene.panorama_poses:
            picture = prepared.panorama(pose, HEIGHT)
            pictures.append(picture.rgb.numpy())
            distances.append((picture.depth_m * 1000).round().clamp(0, 65535).numpy().astype(np.uint16))
            is_object = picture.instance <= prepared.num_objects
            instances.append(torch.where(is_object, picture.instance, 0).numpy().astype(np.uint8))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, rgb=np.stack(pictures), distance_mm=np.stack(distances), instance=np.stack(instances))
