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
from scipy.spatial import cKDTree
from scripts.open_in_browser import UnavailableError, open_in_browser

from scenewright.errors import InputError
from scenewright.geometry.frames import YUP_FROM_ZUP
from scenewright.io.conversion import convert
from scenewright.io.formats import FORMATS
from scenewright.io.glb import load_glb, save_glb
from scenewright.io.programs import PROGRAMS, Program, program_named
from scenewright.runs.export import export
from tests.io.test_rigid_bodies import room

WITHOUT_SPLATS = [item for item in room().objects if item.parts]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save_glb(replace(room(), objects=tuple(WITHOUT_SPLATS)), tmp_path / "source.glb")


def pose_of_table() -> np.ndarray:
    return WITHOUT_SPLATS[0].world_from_object.double().numpy()


EVERY_PRESET = [(program, suffix) for program in PROGRAMS for suffix in program.suffixes]
EVERY_FORMAT = [entry.suffix for entry in FORMATS if {"meshes", "objects"} <= entry.holds]


@pytest.mark.parametrize(
    ("program", "suffix"), EVERY_PRESET, ids=[f"{program.name}{suffix}" for program, suffix in EVERY_PRESET]
)
def test_a_file_for_a_program_stands_where_the_scene_does(
    source: Path, tmp_path: Path, program: Program, suffix: str
) -> None:
    pose, corners = read_back(convert(source, tmp_path / f"out{suffix}", program=program.name))
    stands_where_the_scene_does(pose, corners, [1, 0, 0] if program.x_forward else [0, -1, 0])


@pytest.mark.parametrize("suffix", EVERY_FORMAT)
def test_every_format_of_objects_stands_where_the_scene_does(source: Path, tmp_path: Path, suffix: str) -> None:
    stands_where_the_scene_does(*read_back(convert(source, tmp_path / f"out{suffix}")), [0, -1, 0])


def stands_where_the_scene_does(pose: np.ndarray | None, corners: np.ndarray, front: list[int]) -> None:
    """The table's place, its front in its own frame, and all corners: each way the nearest is within 1e-5 m."""
    if pose is not None:
        np.testing.assert_allclose(pose[:3, 3], pose_of_table()[:3, 3], atol=1e-5)
        rotation = pose[:3, :3] / np.linalg.norm(pose[:3, :3], axis=0)
        np.testing.assert_allclose(rotation @ front, pose_of_table()[:3, :3] @ [0, -1, 0] / 2, atol=1e-5)
        np.testing.assert_allclose(rotation[:, 2], pose_of_table()[:3, 2] / 2, atol=1e-5)
    truth = np.concatenate([item.placed_parts()[0].vertices.double().numpy() for item in WITHOUT_SPLATS])
    assert cKDTree(truth).query(corners)[0].max() < 1e-5
    assert cKDTree(corners).query(truth)[0].max() < 1e-5


def read_back(path: Path) -> tuple[np.ndarray | None, np.ndarray]:
    """The table's pose, None in OBJ, and all corners, in the scene's axes and metres, by a library that is not ours."""
    if path.suffix == ".xml":
        return read_mujoco(path)
    if path.suffix == ".urdf":
        robot = yourdfpy.URDF.load(str(path))
        return robot.joint_map["table_joint"].origin, np.concatenate([mesh.vertices for mesh in robot.scene.dump()])
    if path.suffix.startswith(".usd"):
        return read_usd(path)
    loaded = trimesh.load_scene(path, process=False)
    zup_from_yup = YUP_FROM_ZUP.double().numpy().T
    corners = np.concatenate([mesh.vertices for mesh in loaded.dump()]) @ zup_from_yup[:3, :3].T
    return None if path.suffix == ".obj" else zup_from_yup @ loaded.graph["table"][0] @ zup_from_yup.T, corners


def read_mujoco(path: Path) -> tuple[np.ndarray, np.ndarray]:
    model = mujoco.MjModel.from_xml_path(str(path))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = data.body("table").xmat.reshape(3, 3), data.body("table").xpos
    corners = []
    for geom in np.flatnonzero(model.geom_group == 2):  # what is seen; colliders are in group 3
        mesh = model.mesh(model.geom_dataid[geom])
        points = model.mesh_vert[mesh.vertadr[0] : mesh.vertadr[0] + mesh.vertnum[0]]
        corners.append(points @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])
    return pose, np.concatenate(corners)


def read_usd(path: Path) -> tuple[np.ndarray, np.ndarray]:
    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(stage) == "Z"
    unit = UsdGeom.GetStageMetersPerUnit(stage)
    pose = np.array(UsdGeom.Xformable(stage.GetPrimAtPath("/world/table")).GetLocalTransformation()).T
    pose[:3, 3] *= unit
    corners = []
    for prim in stage.Traverse():
        if "_part_" in prim.GetName():
            world = np.array(UsdGeom.Xformable(prim).ComputeLocalToWorldTransform(Usd.TimeCode.Default()))
            points = np.array(UsdGeom.Mesh(prim).GetPointsAttr().Get(), np.float64)
            corners.append(unit * (points @ world[:3, :3] + world[3, :3]))
    return pose, np.concatenate(corners)


@pytest.mark.parametrize(("name", "bad"), [("blender", "\0"), ("unity", "/"), ("unreal", " ñ/"), ("three", " /.:[]")])
def test_names_are_unique_and_have_no_letter_that_a_program_changes(
    source: Path, tmp_path: Path, name: str, bad: str
) -> None:
    names = [item.name for item in load_glb(convert(source, tmp_path / "out.glb", program=name)).objects]
    assert len(set(names)) == len(names) == len(WITHOUT_SPLATS)
    assert not any(letter in word for word in names for letter in bad)


@pytest.mark.parametrize(("name", "unit"), [("blender", 1.0), ("unreal", 0.01), ("isaac", 1.0)])
def test_a_stage_has_the_unit_of_its_program(source: Path, tmp_path: Path, name: str, unit: float) -> None:
    stage = Usd.Stage.Open(str(convert(source, tmp_path / "out.usda", program=name)))
    assert UsdGeom.GetStageMetersPerUnit(stage) == pytest.approx(unit)
    place = UsdGeom.Xformable(stage.GetPrimAtPath("/world/table")).GetLocalTransformation().ExtractTranslation()
    np.testing.assert_allclose(np.array(place) * unit, pose_of_table()[:3, 3], atol=1e-5)


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
