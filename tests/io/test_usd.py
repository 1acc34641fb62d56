"""USD stages, read back with usd-core."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pxr import Gf, Usd, UsdGeom, UsdPhysics, UsdShade, UsdValidation

from scenewright.geometry.rotation import compose_similarity, quaternion_wxyz_to_matrix
from scenewright.io.scene_file import save_scene
from scenewright.io.usd import save_usd
from scenewright.types import Camera, Mesh, PanoramaCamera, PBRMaterial, Scene, SceneObject
from tests.io.scenes import picture
from tests.io.test_rigid_bodies import box, room


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usdz"])
def test_a_stage_keeps_units_poses_bodies_and_textures(tmp_path: Path, suffix: str, capfd) -> None:
    path = save_scene(room(), tmp_path / f"a{suffix}")
    assert capfd.readouterr().err == ""
    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(stage) == "Z"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    table = stage.GetPrimAtPath("/world/table")
    pose = np.array(UsdGeom.Xformable(table).GetLocalTransformation()).T
    rotation = quaternion_wxyz_to_matrix(torch.tensor([0.8, 0.1, -0.3, 0.5], dtype=torch.float64)).numpy()
    np.testing.assert_allclose(pose[:3, :3], rotation, atol=1e-5)
    np.testing.assert_allclose(pose[:3, 3], [1, 2, 3], atol=1e-5)
    assert table.HasAPI(UsdPhysics.RigidBodyAPI)
    assert UsdPhysics.MassAPI(table).GetMassAttr().Get() == pytest.approx(650)
    assert not stage.GetPrimAtPath("/world/lamp").HasAPI(UsdPhysics.RigidBodyAPI)
    assert stage.GetPrimAtPath("/world/table/collider_0").HasAPI(UsdPhysics.CollisionAPI)
    points = np.array(UsdGeom.Mesh.Get(stage, "/world/table/table_part_0").GetPointsAttr().Get())
    np.testing.assert_allclose(np.ptp(points, axis=0), [2.0, 1.0, 0.5], atol=1e-5)
    texture = UsdShade.Shader.Get(stage, "/world/table/material_0/base_color").GetInput("file").Get()
    assert texture.resolvedPath
    assert complaints(stage) == []


def complaints(stage: Usd.Stage) -> list[str]:
    """Everything that usd-core's own validators find."""
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    found = UsdValidation.ValidationContext(validators).Validate(stage)
    return [f"{error.GetName()}: {error.GetMessage()}" for error in found]


_MAPS = ("normal", "roughness", "metallic", "occlusion")


def test_normal_and_finish_maps_are_read_as_the_specification_asks(tmp_path: Path) -> None:
    pixels = picture(4, 4, 3)
    material = PBRMaterial(
        roughness_factor=0.5,
        metallic_factor=0.25,
        emissive_factor=(1.0, 0.5, 0.0),
        normal_texture=pixels,
        metallic_roughness_texture=pixels,
        emissive_texture=pixels,
        occlusion_texture=picture(4, 4, 1),
        wrap=("clamp", "mirror"),
    )
    mesh = box(1.0, 1.0, 1.0, uv=torch.zeros(8, 2), material=material)
    stage = Usd.Stage.Open(str(save_scene(Scene((SceneObject("a", (mesh,)),), is_metric=True), tmp_path / "a.usda")))
    assert complaints(stage) == []
    surface = UsdShade.Shader.Get(stage, "/world/a/material_0/surface")
    sources = {name: surface.GetInput(name).GetConnectedSources()[0][0] for name in _MAPS}
    assert {name: source.sourceName for name, source in sources.items()} == {
        "normal": "rgb",
        "roughness": "g",
        "metallic": "b",
        "occlusion": "r",
    }
    normal = UsdShade.Shader.Get(stage, "/world/a/material_0/normal")
    assert tuple(normal.GetInput("scale").Get()) == (2, 2, 2, 1)
    assert tuple(normal.GetInput("bias").Get()) == (-1, -1, -1, 0)
    assert normal.GetInput("sourceColorSpace").Get() == "raw"
    assert (normal.GetInput("wrapS").Get(), normal.GetInput("wrapT").Get()) == ("clamp", "mirror")
    assert tuple(UsdShade.Shader.Get(stage, "/world/a/material_0/metallic_roughness").GetInput("scale").Get())[1:3] == (
        0.5,
        0.25,
    )
    assert surface.GetInput("emissiveColor").HasConnectedSource()


@pytest.mark.parametrize("metres_per_unit", [1.0, 0.01])
def test_a_camera_projects_points_to_the_pixels_it_did(tmp_path: Path, metres_per_unit: float) -> None:
    look = quaternion_wxyz_to_matrix(torch.tensor([0.7, 0.6, 0.2, -0.1], dtype=torch.float64))
    cam_from_world = torch.eye(4, dtype=torch.float64)
    cam_from_world[:3, :3], cam_from_world[:3, 3] = look, torch.tensor([0.2, -0.1, 3.0])
    intrinsics = torch.tensor([[500.0, 0, 300], [0, 520, 250], [0, 0, 1]], dtype=torch.float64)
    scene = Scene(
        (SceneObject("camera", (box(1.0, 1.0, 1.0),)),),
        cameras={"a camera": Camera(intrinsics, cam_from_world, 640, 480), "all": PanoramaCamera(torch.eye(4), 8, 4)},
        is_metric=True,
    )
    stage = Usd.Stage.Open(str(save_usd(scene, tmp_path / "a.usda", metres_per_unit=metres_per_unit)))
    assert complaints(stage) == []
    (prim,) = stage.GetPrimAtPath("/world/cameras").GetChildren()
    assert UsdGeom.Camera(prim).GetClippingRangeAttr().Get()[0] * metres_per_unit < 0.1
    frustum = UsdGeom.Camera(prim).GetCamera(Usd.TimeCode.Default()).frustum
    point = torch.tensor([0.3, 0.2, 0.1], dtype=torch.float64)
    u, v, w = intrinsics @ (cam_from_world[:3, :3] @ point + cam_from_world[:3, 3])
    seen = Gf.Vec3d(*(point / metres_per_unit).tolist())
    x, y, _ = (frustum.ComputeViewMatrix() * frustum.ComputeProjectionMatrix()).Transform(seen)
    assert ((x + 1) / 2 * 640, (1 - y) / 2 * 480) == pytest.approx((float(u / w), float(v / w)), abs=1e-3)


def test_a_sheet_is_seen_from_both_sides_and_shaded_by_its_normals(tmp_path: Path) -> None:
    turn = quaternion_wxyz_to_matrix(torch.tensor([0.8, 0.1, -0.3, 0.5], dtype=torch.float64))
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    sheet = Mesh(
        corners,
        torch.tensor([[0, 1, 2], [0, 2, 3]]),
        vertex_normals=torch.tensor([[0.0, 0.6, 0.8]]).expand(4, 3),
        material=PBRMaterial(double_sided=True),
    )
    item = SceneObject("sheet", (sheet,), world_from_object=compose_similarity(turn, torch.zeros(3).double(), 2.0))
    solid = SceneObject("solid", (box(1.0, 1.0, 1.0),))
    stage = Usd.Stage.Open(str(save_scene(Scene((item, solid), is_metric=True), tmp_path / "a.usda")))
    assert complaints(stage) == []
    mesh = UsdGeom.Mesh.Get(stage, "/world/sheet/sheet_part_0")
    assert mesh.GetDoubleSidedAttr().Get()
    assert not UsdGeom.Mesh.Get(stage, "/world/solid/solid_part_0").GetDoubleSidedAttr().Get()
    assert mesh.GetNormalsInterpolation() == "vertex"
    np.testing.assert_allclose(np.array(mesh.GetNormalsAttr().Get()), [[0.0, 0.6, 0.8]] * 4, atol=1e-6)
