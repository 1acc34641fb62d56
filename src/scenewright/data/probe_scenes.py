"""Scenes with exact ground truth from their folders: picture, masks, camera, true meshes and surface points.

A folder holds `scene.json`, `gt.glb`, `gt_points.npz` and, for a single view, `rgb.jpg`, `instances.png` and
`depth_mm.png`. The files are y up in metres; everything here is z up: (x, y, z) -> (x, -z, y).

Legend: H, W the picture's size; N points; K objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Le, MaxLen
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.files import Matrix3, Matrix4, Number, Row3, inside, json_value, read_file, reading, spend
from scenewright.geometry.frames import ZUP_FROM_YUP, zup_from_yup
from scenewright.io.archives import read_npz_arrays
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


@dataclass(frozen=True)
class _Box:
    size: Row3


@dataclass(frozen=True)
class _Entry:
    instance: Annotated[int, Ge(0), Le(65535)]
    model_to_world: Matrix4
    obb: _Box


@dataclass(frozen=True)
class _Lens:
    K: Matrix3 | None = None


@dataclass(frozen=True)
class _SceneFile:
    objects: Annotated[tuple[_Entry, ...], MaxLen(4096)]
    kind: str = ""
    gt_mesh: str = "gt.glb"
    gt_points: str = "gt_points.npz"
    image: str = "rgb.jpg"
    instances: str = "instances.png"
    width: Annotated[int, Ge(1), Le(1 << 16)] = 0
    height: Annotated[int, Ge(1), Le(1 << 16)] = 0
    intrinsics: _Lens = _Lens()
    world_to_camera: Matrix4 | None = None
    floor_y: Number = 0.0


def read_test_scene(folder: str | Path, *, name: str | None = None) -> TestScene:
    """Reads one scene folder; the files that its `scene.json` names lie in it.

    Raises:
        InputError: a file is missing or damaged; the message names it.
    """
    folder = Path(folder)
    with reading(folder / "scene.json", "a test scene", "restore the scene's folder"):
        return _read(folder, name)


def _read(folder: Path, name: str | None) -> TestScene:
    content = read_file(folder / "scene.json")
    meta, facts = json_value(content, _SceneFile), json_value(content, dict)["objects"]
    is_single = meta.kind == "single_view"
    truth = load_scene(inside(folder, meta.gt_mesh))
    image = load_image(inside(folder, meta.image)) if is_single else None
    labels = torch.from_numpy(load_label_pixels(inside(folder, meta.instances)).copy()) if is_single else None
    if labels is not None:
        spend(labels.numel() * (5 + len(meta.objects)), "its masks")
    points = read_npz_arrays(inside(folder, meta.gt_points))
    return TestScene(
        name=name or folder.name,
        folder=folder,
        kind=meta.kind,
        objects=tuple(_object(entry, known, points, labels) for entry, known in zip(meta.objects, facts, strict=True)),
        truth=truth,
        image=image,
        camera=_camera(meta) if is_single else None,
        floor_z_m=meta.floor_y,
    )


def _object(
    entry: _Entry, facts: Mapping[str, Any], points: Mapping[str, np.ndarray], labels: Tensor | None
) -> TestObject:
    key = f"{entry.instance:02d}"
    # Steps of a grid: positions are `lo + scale * p`.
    positions = points[f"{key}_p"].astype(np.float64) * float(points[f"{key}_scale"]) + points[f"{key}_lo"]
    normals = points[f"{key}_n"].astype(np.float64) / 127
    if positions.ndim != 2 or positions.shape[1] != 3 or normals.shape != positions.shape:
        raise ValueError(f"the points of object {key} have the shape {positions.shape}")
    if not np.isfinite(positions).all():
        raise ValueError(f"the points of object {key} are not finite")
    width, height, depth = entry.obb.size
    world_from_model = torch.tensor(entry.model_to_world, dtype=torch.float64)
    return TestObject(
        name=f"obj_{key}",
        mask=labels == entry.instance if labels is not None else None,
        points=zup_from_yup(torch.from_numpy(positions)).float(),
        normals=zup_from_yup(torch.from_numpy(normals)).float(),
        world_from_model=(ZUP_FROM_YUP @ world_from_model @ ZUP_FROM_YUP.T).float(),
        size=(width, depth, height),
        facts=dict(facts),
    )


def _camera(meta: _SceneFile) -> Camera:
    if meta.world_to_camera is None or meta.intrinsics.K is None or not meta.width or not meta.height:
        raise ValueError("a single view needs width, height, intrinsics.K and world_to_camera")
    cam_from_yup = torch.tensor(meta.world_to_camera, dtype=torch.float64)
    return Camera(
        intrinsics_px=torch.tensor(meta.intrinsics.K, dtype=torch.float64).float(),
        cam_from_world=(cam_from_yup @ ZUP_FROM_YUP.T).float(),
        width=meta.width,
        height=meta.height,
    )
