"""Scenes for a program, read back with trimesh, usd-core, MuJoCo, yourdfpy and, where it is, Blender or Chromium."""

import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
import trimesh
import yourdfpy
from PIL import Image
from pxr import Usd, UsdGeom
from scripts.open_in_browser import UnavailableError, open_in_browser

from scenewright.errors import InputError
from scenewright.geometry.frames import YUP_FROM_ZUP
from scenewright.io.conversion import convert
from scenewright.io.glb import load_glb, save_glb
from scenewright.io.programs import PROGRAMS, program_named
from scenewright.runs.export import export
from scenewright.types import Scene
from tests.io.test_rigid_bodies import room

WITHOUT_SPLATS = [item for item in room().objects if item.parts]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save_glb(replace(room(), objects=tuple(WITHOUT_SPLATS)), tmp_path / "source.glb")


def pose_of_table() -> np.ndarray:
    return WITHOUT_SPLATS[0].world_from_object.double().numpy()


def corners_in_world(scene: Scene) -> np.ndarray:
    return torch.cat([part.vertices.double() for item in scene.objects for part in item.placed_parts()]).numpy()


def sorted_rows(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(np.round(points, 4).T)]


@pytest.mark.parametrize("name", ["blender", "unity", "unreal", "three"])
def test_glb_for_a_program_stands_where_the_scene_does(source: Path, tmp_path: Path, name: str) -> None:
    path = convert(source, tmp_path / "out.glb", program=name)
    loaded = trimesh.load(path, process=False)
    matrix, _ = loaded.graph["table"]
    yup_from_zup = YUP_FROM_ZUP.numpy()
    np.testing.assert_allclose(matrix, yup_from_zup @ pose_of_table() @ yup_from_zup.T, atol=1e-5)
    points = np.concatenate([mesh.vertices for mesh in loaded.dump()]) @ yup_from_zup[:3, :3]
    np.testing.assert_allclose(sorted_rows(points), sorted_rows(corners_in_world(load_glb(source))), atol=1e-5)
    names = [item.name for item in load_glb(path).objects]
    assert len(set(names)) == len(names)
    bad = {"blender": "\0", "unity": "/", "unreal": " ñ/", "three": " /.:[]"}[name]
    assert not any(letter in word for word in names for letter in bad)


@pytest.mark.parametrize(
    ("name", "suffix", "unit", "x_forward"),
    [("blender", ".usdc", 1.0, False), ("unreal", ".usda", 0.01, False), ("isaac", ".usdc", 1.0, True)],
)
def test_usd_for_a_program_has_its_unit_and_front(
    source: Path, tmp_path: Path, name: str, suffix: str, unit: float, x_forward: bool
) -> None:
    stage = Usd.Stage.Open(str(convert(source, tmp_path / f"out{suffix}", program=name)))
    assert UsdGeom.GetStageUpAxis(stage) == "Z"
    assert UsdGeom.GetStageMetersPerUnit(stage) == pytest.approx(unit)
    table = UsdGeom.Xformable(stage.GetPrimAtPath("/world/table"))
    pose = np.array(table.GetLocalTransformation()).T
    np.testing.assert_allclose(pose[:3, 3] * unit, pose_of_table()[:3, 3], atol=1e-5)
    rotation = pose_of_table()[:3, :3] / 2
    forward, front = ([1, 0, 0] if x_forward else [0, -1, 0]), rotation @ [0, -1, 0]
    np.testing.assert_allclose(pose[:3, :3] @ forward, front, atol=1e-5)
    points = np.concatenate(
        [
            np.array(UsdGeom.Mesh(prim).GetPointsAttr().Get()) @ (m := np.array(pose_in_world(prim)))[:3, :3] + m[3, :3]
            for prim in stage.Traverse()
            if "_part_" in prim.GetName()
        ]
    )
    np.testing.assert_allclose(sorted_rows(points * unit), sorted_rows(corners_in_world(load_glb(source))), atol=2e-5)


def pose_in_world(prim: Usd.Prim) -> np.ndarray:
    return UsdGeom.Xformable(prim).ComputeLocalToWorldTransform(Usd.TimeCode.Default())


def test_mujoco_has_the_scenes_own_axes(source: Path, tmp_path: Path) -> None:
    model = mujoco.MjModel.from_xml_path(str(convert(source, tmp_path / "out.xml", program="mujoco")))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.body("table").xmat.reshape(3, 3), pose_of_table()[:3, :3] / 2, atol=1e-5)
    np.testing.assert_allclose(data.body("table").xpos, pose_of_table()[:3, 3], atol=1e-5)


def test_ros_looks_along_x_and_stands_where_it_did(source: Path, tmp_path: Path) -> None:
    robot = yourdfpy.URDF.load(str(convert(source, tmp_path / "out.urdf", program="ros")))
    origin = robot.joint_map["table_joint"].origin
    np.testing.assert_allclose(origin[:3, 3], pose_of_table()[:3, 3], atol=1e-5)
    np.testing.assert_allclose(origin[:3, 0], pose_of_table()[:3, :3] @ [0, -1, 0] / 2, atol=1e-5)
    points = np.concatenate([mesh.vertices for mesh in robot.scene.dump()])
    low, high = corners_in_world(load_glb(source)).min(0), corners_in_world(load_glb(source)).max(0)
    np.testing.assert_allclose([points.min(0), points.max(0)], [low, high], atol=1e-4)


def test_a_file_that_the_program_does_not_read_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--for unity writes \.glb, not 'out\.xml'; name it 'out\.glb'"):
        convert(source, tmp_path / "out.xml", program="unity")
    with pytest.raises(InputError, match=r"Expected --for blender, unity, .*; got 'maya'"):
        program_named("maya")
    assert not (tmp_path / "out.xml").exists()
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS)


@pytest.mark.parametrize("suffix", [".glb", ".usdc"])
def test_blender_puts_objects_where_they_stand(source: Path, tmp_path: Path, suffix: str) -> None:
    """Blender's numpy is older than ours, so that it runs as a program of its own."""
    program = shutil.which("blender")
    if program is None and find_spec("bpy") is None:
        pytest.skip("needs Blender: `blender` on the path, or `bpy`, whose wheels want numpy 1")
    script = Path(__file__).parent / "blender_bounds.py"
    path = convert(source, tmp_path / f"out{suffix}", program="blender")
    head = [sys.executable, str(script)] if program is None else [program, "-b", "-P", str(script), "--"]
    said = subprocess.run([*head, str(path)], capture_output=True, text=True, check=True).stdout
    if "no USD" in said:
        pytest.skip("this Blender was built without USD, as Debian's is")
    (line,) = [line for line in said.splitlines() if line.startswith("bounds ")]
    bounds = json.loads(line.removeprefix("bounds "))
    words = ["table", "1 ñ/x", "1 ñ/x_1", "carpet", "lamp"]
    if suffix != ".glb":
        words = [f"{word}_part_0" for word in ("table", "object_1_x", "object_1_x_1", "carpet", "lamp")]
    for word, item in zip(words, load_glb(source).objects, strict=True):
        np.testing.assert_allclose(bounds[word], item.world_bounds().numpy(), atol=1e-5)


@pytest.mark.parametrize("library", ["three", "model-viewer"])
def test_a_page_shows_what_stands_in_the_scene(source: Path, tmp_path: Path, library: str) -> None:
    """The file for three.js, and one of the web profile: packed by meshoptimizer, with WebP."""
    plain = convert(source, tmp_path / "plain.glb", program="three")
    export(source, packed := tmp_path / "packed.glb", profile="web", program="three", report=lambda line: None)
    try:
        pages = open_in_browser(library, [plain, packed])
    except UnavailableError as error:
        pytest.skip(str(error))
    for path, seen in zip([plain, packed], pages, strict=True):
        # A page that is slow to draw only warns.
        assert [line for line in seen.complaints if library == "three" or line.startswith("error")] == []
        objects = load_glb(path).objects
        corners = [item.world_bounds().double() @ YUP_FROM_ZUP[:3, :3].T for item in objects]
        boxes = {item.name: [c.amin(0).tolist(), c.amax(0).tolist()] for item, c in zip(objects, corners, strict=True)}
        if library == "model-viewer":
            low, high = (torch.tensor(list(boxes.values()))[:, end] for end in (0, 1))
            boxes = {"scene": [low.amin(0).tolist(), high.amax(0).tolist()]}
        assert seen.boxes.keys() == boxes.keys()
        for name, box in boxes.items():
            np.testing.assert_allclose(seen.boxes[name], box, atol=1e-5)
        assert seen.picture is not None
        with Image.open(io.BytesIO(seen.picture)) as image:
            pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        assert (pixels != pixels[0]).any(1).mean() > 0.02
        assert len(np.unique(pixels, axis=0)) > 50
