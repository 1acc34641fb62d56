"""USD stages, read back with usd-core where it is installed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scenewright.geometry.rotation import quaternion_wxyz_to_matrix
from scenewright.io.scene_file import save_scene
from tests.io.test_rigid_bodies import room


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usdz"])
def test_a_stage_keeps_units_poses_bodies_and_textures(tmp_path: Path, suffix: str) -> None:
    usd = pytest.importorskip("pxr.Usd", reason="needs the extra usd")
    from pxr import UsdGeom, UsdPhysics, UsdShade, UsdValidation

    path = save_scene(room(), tmp_path / f"a{suffix}")
    stage = usd.Stage.Open(str(path))
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
    points = np.array(UsdGeom.Mesh.Get(stage, "/world/table/part_0").GetPointsAttr().Get())
    np.testing.assert_allclose(np.ptp(points, axis=0), [2.0, 1.0, 0.5], atol=1e-5)
    texture = UsdShade.Shader.Get(stage, "/world/table/material_0/base_color").GetInput("file").Get()
    assert texture.resolvedPath
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    found = UsdValidation.ValidationContext(validators).Validate(stage)
    assert [f"{error.GetName()}: {error.GetMessage()}" for error in found] == []
