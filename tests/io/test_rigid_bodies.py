"""Files for simulators, read back with MuJoCo and yourdfpy."""

import logging
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest
import torch
import yourdfpy
from pxr import Tf, Usd, UsdGeom, UsdPhysics

from scenewright.errors import InputError, MissingExtraError
from scenewright.geometry.bodies.colliders import convex_hull
from scenewright.geometry.rotation import compose_similarity, quaternion_wxyz_to_matrix
from scenewright.io import usd
from scenewright.io.conversion import convert
from scenewright.io.rigid_bodies import floor_height, with_physics
from scenewright.io.scene_file import load_scene, save_scene
from scenewright.types import Mesh, PBRMaterial, Scene, SceneObject
from tests.io.scenes import gaussians, picture, tetrahedron


def box(*size: float, **attributes) -> Mesh:
    corners = torch.tensor([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) - torch.tensor([0.5, 0.5, 0.0])
    faces = [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ]  # fmt: skip
    return Mesh(corners * torch.tensor(size), torch.tensor(faces), **attributes)


def room() -> Scene:
    """A turned and scaled table, two things of one name that is no identifier, an open sheet, splats, a fixture."""
    turn = quaternion_wxyz_to_matrix(torch.tensor([0.8, 0.1, -0.3, 0.5], dtype=torch.float64))
    oak = PBRMaterial(base_color_texture=picture(8, 8, 3), name="oak")
    sheet = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2], [0, 2, 3]]))
    return Scene(
        (
            SceneObject(
                "table",
                (box(1.0, 0.5, 0.25, uv=torch.rand(8, 2, generator=torch.Generator().manual_seed(0)), material=oak),),
                world_from_object=compose_similarity(turn, torch.tensor([1.0, 2.0, 3.0]).double(), 2.0),
            ),
            SceneObject("1 ñ/x", (box(0.1, 0.1, 0.1),), world_from_object=torch.diag(torch.tensor([1.0, -2, 1, 1]))),
            SceneObject("1 ñ/x", (tetrahedron(),)),
            SceneObject("carpet", (sheet,)),
            SceneObject("cloud", splats=gaussians(4)),
            SceneObject("lamp", (box(0.2, 0.2, 0.2),), role="fixture"),
        ),
        is_metric=True,
    )


def test_mass_volume_and_friction_follow_shape_and_category() -> None:
    scene, notes = with_physics(room())
    table, small, _, carpet, cloud, lamp = scene.objects
    assert table.physics.mass_kg == pytest.approx(1.0 * 0.5 * 0.25 * 8 * 650)
    assert table.physics.friction == 0.45
    assert small.physics.mass_kg == pytest.approx(0.1 * 0.2 * 0.1 * 650)
    assert carpet.physics.mass_kg == pytest.approx(0.002 * 650)  # a sheet is as thick as a collider must be
    assert cloud.physics is None
    assert lamp.physics.is_static
    assert "'table': wood, 650 kg, 1 convex collider within 0.0 mm of its surface." in notes
    assert any("'carpet'" in note and "convex hull" in note for note in notes)


@pytest.mark.parametrize("suffix", [".xml", ".urdf", ".usda"])
def test_objects_of_long_names_are_written(tmp_path: Path, suffix: str) -> None:
    """File systems take names of 255 bytes; the ends of names tell these two apart."""
    scene = Scene(tuple(SceneObject(300 * "x" + end, (tetrahedron(),)) for end in "ab"), is_metric=True)
    save_scene(scene, tmp_path / f"s{suffix}")
    assert (tmp_path / f"s{suffix}").is_file()
    assert suffix == ".usda" or len(list((tmp_path / "s_meshes").glob("*.obj"))) == 4


@pytest.mark.parametrize("suffix", [".xml", ".urdf"])
def test_mujoco_loads_poses_mass_and_inertia_without_a_warning(tmp_path: Path, suffix: str, capfd) -> None:
    scene = room()
    path = save_scene(scene, tmp_path / f"a b{suffix}")
    model = mujoco.MjModel.from_xml_path(str(path))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    assert not any(warning.number for warning in data.warning)
    assert capfd.readouterr().err == ""
    names = ["table", "object_1_x", "object_1_x_1", "carpet", "lamp"]
    assert [model.body(index).name for index in range(1, model.nbody)] == names
    table = data.body("table")
    rotation = quaternion_wxyz_to_matrix(torch.tensor([0.8, 0.1, -0.3, 0.5], dtype=torch.float64)).numpy()
    np.testing.assert_allclose(table.xmat.reshape(3, 3), rotation, atol=1e-5)
    np.testing.assert_allclose(table.xpos, [1, 2, 3], atol=1e-5)
    mass = 8 * 0.125 * 650
    assert model.body("table").mass[0] == pytest.approx(mass)
    moments = sorted(mass / 12 * np.array([1.0**2 + 0.5**2, 2.0**2 + 0.5**2, 2.0**2 + 1.0**2]))
    np.testing.assert_allclose(sorted(model.body("table").inertia), moments, rtol=1e-5)
    assert model.njnt == 4  # the fixture is fast
    assert (model.geom_contype > 0).sum() >= 5


def test_a_box_on_the_floor_stays_where_it_is_put(tmp_path: Path) -> None:
    model = mujoco.MjModel.from_xml_path(
        str(save_scene(Scene((SceneObject("a", (box(0.4, 0.4, 0.4),)),), is_metric=True), tmp_path / "a.xml"))
    )
    data = mujoco.MjData(model)
    for _ in range(int(1 / model.opt.timestep)):
        mujoco.mj_step(model, data)
    assert np.abs(data.body("a").xpos).max() < 0.002


def test_yourdfpy_reads_poses_and_meshes(tmp_path: Path) -> None:
    robot = yourdfpy.URDF.load(str(save_scene(room(), tmp_path / "a.urdf")))
    assert set(robot.link_map) == {"world", "table", "object_1_x", "object_1_x_1", "carpet", "lamp"}
    np.testing.assert_allclose(
        robot.joint_map["table_joint"].origin[:3, :3],
        quaternion_wxyz_to_matrix(torch.tensor([0.8, 0.1, -0.3, 0.5], dtype=torch.float64)),
        atol=1e-5,
    )
    assert robot.joint_map["lamp_joint"].type == "fixed"
    assert len(robot.scene.geometry) == 5


def test_urdf_names_its_meshes_relative_to_itself(tmp_path: Path) -> None:
    path = save_scene(room(), tmp_path / "a.urdf")
    tree = ElementTree.parse(path)
    files = [mesh.get("filename") for mesh in tree.iter("mesh")] + [
        item.get("filename") for item in tree.iter("texture")
    ]
    assert "a_meshes/table_0.obj" in files
    assert all((tmp_path / file).is_file() for file in files)
    (part,) = load_scene(tmp_path / "a_meshes" / "table_0.obj").objects[0].parts
    assert part.material is not None
    assert part.material.base_color_texture is not None


def test_welded_scenes_have_no_joint_that_moves(tmp_path: Path) -> None:
    source = save_scene(Scene((SceneObject("a", (tetrahedron(),)),)), tmp_path / "a.glb")
    notes: list[str] = []
    convert(source, tmp_path / "a.urdf", colliders="box", welded=True, report=notes.append)
    assert [joint.get("type") for joint in ElementTree.parse(tmp_path / "a.urdf").iter("joint")] == ["fixed"]
    assert len(notes) == 1
    assert "1 convex collider within" in notes[0]


@pytest.mark.parametrize(
    ("colliders", "message"), [("sphere", "Expected colliders to be hull, decomposition, box, none; got 'sphere'")]
)
def test_unknown_colliders_are_refused(tmp_path: Path, colliders: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        convert("a.glb", tmp_path / "a.xml", colliders=colliders)


def test_what_cannot_be_a_body_is_one_sentence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flat = SceneObject("flat", (tetrahedron(),), world_from_object=torch.diag(torch.tensor([1.0, 1, 0, 1])))
    with pytest.raises(InputError, match="'flat' is scaled to nothing"):
        save_scene(Scene((flat,)), tmp_path / "a.xml")
    for suffix in (".xml", ".urdf", ".usda", ".usdz", ".glb"):
        with pytest.raises(InputError, match="has splats only"):
            save_scene(Scene((SceneObject("cloud", splats=gaussians(4)),)), tmp_path / f"a{suffix}")
    with pytest.raises(InputError, match=r"a\.xml' is MuJoCo MJCF, which is only written"):
        load_scene(tmp_path / "a.xml")
    assert not list(tmp_path.iterdir())
    with caplog.at_level(logging.WARNING):
        save_scene(room(), tmp_path / "b.xml")
    assert "object 'cloud' has no triangles" in caplog.text


@pytest.mark.parametrize(("module", "suffix", "extra"), [("vhacdx", ".xml", "sim"), ("pxr", ".usda", "usd")])
def test_a_missing_extra_is_named_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, suffix: str, extra: str
) -> None:
    source = save_scene(Scene((SceneObject("a", (tetrahedron(),)),)), tmp_path / "a.glb")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'scenewright\[{extra}\]'"):
        convert(source, tmp_path / f"b{suffix}", colliders="decomposition" if module == "vhacdx" else "hull")
    assert [path.name for path in tmp_path.iterdir()] == ["a.glb"]


@pytest.mark.parametrize("suffix", [".xml", ".urdf", ".usda", ".glb"])
def test_bad_surfaces_still_become_bodies_that_programs_load(tmp_path: Path, suffix: str) -> None:
    """An open sheet, a mesh of no volume, a surface that crosses itself, and one whose texture is missing."""
    sheet = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2], [0, 2, 3]]))
    needle = Mesh(torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0]]), torch.tensor([[0, 1, 2]]))
    turned = box(1.0, 1.0, 1.0)
    crossed = Mesh(
        torch.cat([turned.vertices, turned.vertices * torch.tensor([0.9, 0.9, 2.0])]),
        torch.cat([turned.faces, turned.faces.flip(1) + 8]),
    )
    untextured = box(1.0, 1.0, 1.0, uv=torch.zeros(8, 2), material=PBRMaterial(name="oak"))
    meshes = {"sheet": sheet, "needle": needle, "crossed": crossed, "untextured": untextured}
    objects = tuple(SceneObject(name, (mesh,)) for name, mesh in meshes.items())
    scene, notes = with_physics(Scene(objects, is_metric=True))
    for name, reason in (("sheet", "is open"), ("needle", "is open"), ("crossed", "crosses itself")):
        (note,) = [note for note in notes if f"'{name}'" in note]
        assert reason in note
    path = save_scene(scene, tmp_path / f"a{suffix}")
    if suffix == ".glb":
        assert [item.name for item in load_scene(path).objects] == list(meshes)
    elif suffix == ".usda":
        stage = Usd.Stage.Open(str(path))
        masses = [UsdPhysics.MassAPI(stage.GetPrimAtPath(f"/world/{name}")).GetMassAttr().Get() for name in meshes]
        assert min(masses) > 0
    else:
        model = mujoco.MjModel.from_xml_path(str(path))
        assert (model.body_mass[1:] > 0).all()
        assert (model.body_inertia[1:] > 0).all()


def test_a_mesh_of_two_million_faces_becomes_a_hull_of_few() -> None:
    """A height field of 1,000 x 1,000 cells."""
    n = 1001
    u = torch.linspace(0, 1, n)
    x, y = (side.reshape(-1) for side in torch.meshgrid(u, u, indexing="ij"))
    row, column = torch.meshgrid(torch.arange(n - 1), torch.arange(n - 1), indexing="ij")
    a = (row * n + column).reshape(-1)
    faces = torch.cat([torch.stack([a, a + n, a + n + 1], 1), torch.stack([a, a + n + 1, a + 1], 1)])
    field = Mesh(torch.stack([x, y, 0.1 * torch.sin(9 * x) * torch.sin(9 * y)], 1), faces)
    hull = convex_hull(field)
    assert len(field.faces) == 2_000_000
    assert len(hull.vertices) <= 255
    torch.testing.assert_close(hull.vertices[:, :2].amax(0).float(), torch.ones(2), atol=0.02, rtol=0)


def test_the_floor_lies_below_what_collides_and_not_below_what_is_only_seen() -> None:
    whole = box(1.0, 1.0, 1.0)
    fringe = replace(whole, vertices=whole.vertices - torch.tensor([0.0, 0.0, 0.01]))
    scene, _ = with_physics(Scene((SceneObject("a", (whole,)),), is_metric=True))
    (item,) = scene.objects
    assert floor_height(replace(scene, objects=(replace(item, parts=(fringe,)),))) == pytest.approx(0, abs=1e-9)
    assert floor_height(Scene((SceneObject("a", (fringe,)),))) == pytest.approx(-0.01)
    assert floor_height(Scene((SceneObject("a", (whole,), role="shell"),))) is None


@pytest.mark.parametrize("suffix", [".xml", ".urdf", ".usda"])
def test_objects_whose_names_end_like_files_of_others_keep_their_own_meshes(tmp_path: Path, suffix: str) -> None:
    """The object "a" has the collider a_collider_0, and "a_collider" would have a mesh of that name."""
    names = {"a": 1.0, "a_collider": 2.0, "world": 3.0, "a collider": 4.0}
    scene = Scene(tuple(SceneObject(name, (box(side, 1.0, 1.0),)) for name, side in names.items()), is_metric=True)
    path = save_scene(scene, tmp_path / f"s{suffix}")
    if suffix == ".usda":
        stage = Usd.Stage.Open(str(path))
        prims = [prim for prim in stage.Traverse() if "_part_" in prim.GetName()]
        widths = [np.ptp(np.array(UsdGeom.Mesh(prim).GetPointsAttr().Get())[:, 0]) for prim in prims]
    else:
        tree = ElementTree.parse(path)
        if suffix == ".xml":
            file_of = {mesh.get("name"): mesh.get("file") for mesh in tree.iter("mesh")}
            files = [file_of[geom.get("mesh")] for geom in tree.iter("geom") if geom.get("group") == "2"]
        else:
            files = [mesh.get("filename") for visual in tree.iter("visual") for mesh in visual.iter("mesh")]
        boxes = [load_scene(tmp_path / file).objects[0].world_bounds() for file in files]
        widths = [float(high[0] - low[0]) for low, high in boxes]
        assert mujoco.MjModel.from_xml_path(str(path)).nbody == 5
    assert sorted(widths) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("suffix", [".gltf", ".obj", ".xml", ".urdf", ".usda", ".usdz"])
@pytest.mark.parametrize("stem", ["a\nb", "a:b", "a\\b", "a\udcffb"])
def test_names_that_cannot_stand_in_a_file_are_refused(tmp_path, stem, suffix):
    with pytest.raises(InputError, match="names files beside it after itself; give it a name of letters"):
        save_scene(room(), tmp_path / f"{stem}{suffix}")
    assert not list(tmp_path.iterdir())


def test_names_that_differ_in_capitals_alone_have_files_of_their_own(tmp_path):
    scene = Scene((SceneObject("Lamp", (box(1, 1, 1),)), SceneObject("lamp", (box(2, 1, 1),))))
    save_scene(scene, tmp_path / "a.xml")
    files = [file.name.lower() for file in (tmp_path / "a_meshes").iterdir()]
    assert len(set(files)) == len(files)
    assert mujoco.MjModel.from_xml_path(str(tmp_path / "a.xml")).nbody == 3


def test_usd_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    def full(*arguments: object) -> None:
        raise Tf.ErrorException("\n\tError in 'Replace' at line 1 in file x.cpp : 'No space left on device'")

    monkeypatch.setattr(usd, "_write_stage", full)
    with pytest.raises(InputError, match=r"Cannot write '.*a\.usda': No space left on device\."):
        save_scene(room(), tmp_path / "a.usda")
    assert not list(tmp_path.iterdir())
