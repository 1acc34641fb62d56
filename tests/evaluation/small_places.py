"""A small place on disk, as `scenewright evaluate` reads it: a closed room, two chairs, a box that no picture shows."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import trimesh
from PIL import Image

from scenewright.geometry.camera.cameras import look_at
from scenewright.geometry.color import srgb_from_linear
from scenewright.geometry.frames import ZUP_FROM_YUP
from scenewright.geometry.rotation import matrix_to_quaternion_wxyz
from scenewright.io.scene_file import save_scene
from scenewright.rendering.render import RenderOptions, render
from scenewright.rendering.triangles import pack_scene
from scenewright.types import Camera, Mesh, PBRMaterial, Scene, SceneObject
from tests.evaluation.small_scenes import chair

__all__ = ["HIDDEN", "PICTURES", "ROOM_SIZE", "true_scene", "write_place"]

HIDDEN = "obj_03"
PICTURES = 8
ROOM_SIZE = (4.0, 3.0, 2.5)
_WIDTH, _HEIGHT, _FOCAL = 128, 96, 40.0


def true_scene() -> Scene:
    """Inside of a room round the origin, floor at 0; the hidden box stands outside of it."""
    x, y, z = ROOM_SIZE
    shell = trimesh.creation.box(bounds=[[-x / 2, -y / 2, 0], [x / 2, y / 2, z]])
    shell.invert()
    hidden = trimesh.creation.box(bounds=[[x / 2 + 0.5, -1, 0], [x / 2 + 1.5, 1, 1]])
    chairs = (chair("obj_01", (1.2, 0.6, 0.0)), chair("obj_02", (-1.2, -0.6, 0.0), 1.2, 2))
    return Scene((
        SceneObject("walls", (_painted(_mesh(shell), (0.5, 0.5, 0.4)),)),
        *(replace(item, parts=(_painted(item.parts[0], (0.6, 0.1, 0.1)),)) for item in chairs),
        SceneObject(HIDDEN, (_painted(_mesh(hidden), (0.1, 0.1, 0.6)),)),
    ))  # fmt: skip


def write_place(folder: Path) -> Path:
    """Files of the place `room` below `folder`; its pictures show colours without light."""
    place, scene = folder / "room", true_scene()
    model, images = place / "sparse" / "0", place / "images"
    for made in (model, images):
        made.mkdir(parents=True)
    save_scene(scene, place / "gt.glb")
    (place / "scene.json").write_text(json.dumps({"kind": "multi_view", "objects": []}))
    np.savez(place / "gt_points.npz")
    packed, lines = pack_scene(scene), []
    for index in range(PICTURES):
        angle = torch.tensor(2 * torch.pi * index / PICTURES).double()
        ahead = torch.stack([angle.cos(), angle.sin(), torch.tensor(0.0).double()])
        eye = torch.tensor([0.0, 0.0, 1.5]).double() - 0.9 * ahead
        pitch = torch.tensor([0.0, 0.0, 0.6 if index % 2 else -0.6]).double()
        pose = look_at(eye, eye + ahead + pitch)
        intrinsics = torch.tensor([[_FOCAL, 0, _WIDTH / 2], [0, _FOCAL, _HEIGHT / 2], [0, 0, 1]])
        albedo = render(packed, Camera(intrinsics, pose, _WIDTH, _HEIGHT), options=RenderOptions(supersample=1)).albedo
        pixels = (srgb_from_linear(albedo).clamp(0, 1) * 255).round().byte().numpy()
        Image.fromarray(pixels).save(images / f"{index}.png")
        matrix = pose @ ZUP_FROM_YUP
        quaternion = matrix_to_quaternion_wxyz(matrix[:3, :3]).tolist()
        lines += [" ".join(map(str, (index + 1, *quaternion, *matrix[:3, 3].tolist(), 1, f"{index}.png"))), ""]
    (model / "cameras.txt").write_text(f"1 PINHOLE {_WIDTH} {_HEIGHT} {_FOCAL} {_FOCAL} {_WIDTH / 2} {_HEIGHT / 2}\n")
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    corners = np.array([[a, b, c] for a in (-2, 2) for b in (0, 2.5) for c in (-1.5, 1.5)])
    (model / "points3D.txt").write_text(
        "".join(f"{row} {a} {b} {c} 128 128 128 0.5 1 0 2 0\n" for row, (a, b, c) in enumerate(corners))
    )
    return folder


def _mesh(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(torch.tensor(np.asarray(shape.vertices)).float(), torch.tensor(np.asarray(shape.faces)))


def _painted(mesh: Mesh, color: tuple[float, float, float]) -> Mesh:
    return replace(mesh, material=PBRMaterial(base_color_factor=(*color, 1.0)))
