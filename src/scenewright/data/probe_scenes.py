"""Scenes with exact ground truth from their folders: picture, masks, camera, true meshes and surface points.

A folder holds `scene.json`, `gt.glb`, `gt_points.npz` and, for a single view, `rgb.jpg`, `instances.png` and
`depth_mm.png`. The files are y up in metres; everything here is z up: (x, y, z) -> (x, -z, y).

Legend: H, W the picture's size; N points; K objects.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.frames import ZUP_FROM_YUP, zup_from_yup
from scenewright.io.images import load_image, load_label_pixels
from scenewright.io.scene_file import load_scene
from scenewright.types import Camera, Scene

__all__ = ["TestObject", "TestScene", "find_test_scenes", "read_test_scene"]

SceneKind = Literal["single_view", "pano", "multiview"]


@dataclass(frozen=True)
class TestObject:
    """One annotated object: mask of its visible pixels, points on its outer surface (world, metres), its pose.

    `world_from_model` is rigid; `size` is the box's extent along the model's own x, y, z (z up). `facts` is the rest
    of the annotation as it stands in the file.
    """

    __test__ = False

    name: str
    mask: Bool[Tensor, "H W"] | None
    points: Float[Tensor, "N 3"]
    normals: Float[Tensor, "N 3"]
    world_from_model: Float[Tensor, "4 4"]
    size: tuple[float, float, float]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class TestScene:
    """A scene with its truth. `image` and `camera` are None where the folder is not a single view.

    `truth` holds the meshes of `gt.glb`, room parts included where the file has them.
    """

    __test__ = False

    name: str
    folder: Path
    kind: str
    objects: tuple[TestObject, ...]
    truth: Scene
    image: Image.Image | None
    camera: Camera | None
    floor_z_m: float

    @property
    def masks(self) -> list[Bool[Tensor, "H W"]]:
        """Masks in the order of `objects`; empty where the folder is not a single view."""
        return [item.mask for item in self.objects if item.mask is not None]


def find_test_scenes(folder: str | Path) -> list[Path]:
    """Folders with a `scene.json`, `folder` itself or up to two levels below, sorted; links are followed.

    Raises:
        InputError: there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"Expected a folder of test scenes, but '{folder}' is not a folder; check the path.")
    folders = sorted(path.parent for depth in ("", "*/", "*/*/") for path in folder.glob(f"{depth}scene.json"))
    if not folders:
        raise InputError(f"No scene.json below '{folder}'; give the folder that holds the test scenes.")
    return folders


def read_test_scene(folder: str | Path, *, name: str | None = None) -> TestScene:
    """Reads one scene folder.

    Raises:
        InputError: a file is missing or damaged; the message names it.
    """
    folder = Path(folder)
    meta = _read_json(folder / "scene.json")
    try:
        entries = meta["objects"]
        truth = load_scene(folder / meta.get("gt_mesh", "gt.glb"))
        points_path = folder / meta.get("gt_points", "gt_points.npz")
        is_single = meta.get("kind") == "single_view"
        image = load_image(folder / meta["image"]) if is_single else None
        labels = torch.from_numpy(load_label_pixels(folder / meta["instances"]).copy()) if is_single else None
        with _open_points(points_path) as points:
            objects = tuple(_object(entry, points, labels) for entry in entries)
        return TestScene(
            name=name or folder.name,
            folder=folder,
            kind=str(meta.get("kind", "")),
            objects=objects,
            truth=truth,
            image=image,
            camera=_camera(meta) if is_single else None,
            floor_z_m=float(meta.get("floor_y", 0.0)),
        )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(
            f"'{folder / 'scene.json'}' lacks or mangles the entry {error}; is it a test scene?"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist; give the folder of a test scene.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' is not a readable JSON file ({error}).") from error


def _open_points(path: Path) -> Any:
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"'{path}' is not a readable .npz file ({error}).") from error


def _object(entry: Mapping[str, Any], points: Any, labels: Tensor | None) -> TestObject:
    number = int(entry["instance"])
    key = f"{number:02d}"
    positions = points[f"{key}_p"].astype(np.float64) * float(points[f"{key}_scale"]) + points[f"{key}_lo"]
    normals = points[f"{key}_n"].astype(np.float64) / 127
    world_from_model = torch.tensor(entry["model_to_world"], dtype=torch.float64)
    width, height, depth = entry["obb"]["size"]
    return TestObject(
        name=f"obj_{key}",
        mask=labels == number if labels is not None else None,
        points=zup_from_yup(torch.from_numpy(positions)).float(),
        normals=zup_from_yup(torch.from_numpy(normals)).float(),
        world_from_model=(ZUP_FROM_YUP @ world_from_model @ ZUP_FROM_YUP.T).float(),
        size=(float(width), float(depth), float(height)),
        facts=dict(entry),
    )


def _camera(meta: Mapping[str, Any]) -> Camera:
    cam_from_yup = torch.tensor(meta["world_to_camera"], dtype=torch.float64)
    return Camera(
        intrinsics_px=torch.tensor(meta["intrinsics"]["K"], dtype=torch.float64).float(),
        cam_from_world=(cam_from_yup @ ZUP_FROM_YUP.T).float(),
        width=int(meta["width"]),
        height=int(meta["height"]),
    )
