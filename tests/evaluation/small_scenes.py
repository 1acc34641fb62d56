"""Scenes of boxes for the evaluation tests, and the protocol that scores them quickly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image

from scenewright.evaluation.protocols import PROTOCOLS, EvaluationProtocol
from scenewright.io.scene_file import save_scene
from scenewright.types import Mesh, Scene, SceneObject

__all__ = ["QUICK", "chair", "quick", "room", "save_room", "save_source_folder"]


def quick(name: str = "scenewright-1") -> EvaluationProtocol:
    return replace(PROTOCOLS[name], points_per_object=3000, num_bootstrap=200)


QUICK = quick()


def chair(name: str, place: tuple[float, float, float], size: float = 1.0, turns: int = 0) -> SceneObject:
    """A lopsided thing: a seat, a back and one arm."""
    parts = [
        trimesh.creation.box(bounds=[[-0.25, -0.25, 0.0], [0.25, 0.25, 0.45]]),
        trimesh.creation.box(bounds=[[-0.25, 0.2, 0.45], [0.25, 0.25, 0.95]]),
        trimesh.creation.box(bounds=[[0.2, -0.2, 0.45], [0.25, 0.1, 0.65]]),
    ]
    shape = trimesh.util.concatenate(parts)
    mesh = Mesh(torch.tensor(np.asarray(shape.vertices)).float() * size, torch.tensor(np.asarray(shape.faces)))
    c, s = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)][turns % 4]
    matrix = torch.tensor([[c, -s, 0, place[0]], [s, c, 0, place[1]], [0, 0, 1, place[2]], [0, 0, 0, 1]])
    return SceneObject(name, (mesh,), world_from_object=matrix)


def room(count: int = 3) -> Scene:
    """Chairs of different sizes apart from each other."""
    return Scene(tuple(chair(f"obj_{i + 1:02d}", (1.1 * i, 0.4 * (i % 2), 0), 1 + 0.3 * i, i) for i in range(count)))


def save_room(scene: Scene, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_scene(scene, path)


def save_source_folder(folder: Path, scene: Scene) -> None:
    """Picture, label picture and truth of the general layout: object k covers the k-th column."""
    save_room(scene, folder / "gt.glb")
    Image.new("RGB", (40, 20), (90, 120, 60)).save(folder / "rgb.png")
    labels = np.zeros((20, 40), np.uint8)
    for index in range(len(scene.objects)):
        labels[8:16, 2 + 10 * index : 9 + 10 * index] = index + 1
    Image.fromarray(labels).save(folder / "masks.png")
