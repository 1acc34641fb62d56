from dataclasses import replace

import pytest
import torch

from scenewright.errors import InputError
from scenewright.geometry.rotation import quaternion_wxyz_to_matrix
from scenewright.geometry.spherical_harmonics import spherical_harmonics
from scenewright.io.gaussian_ply import merged_splats
from scenewright.io.mesh_file import save_mesh
from scenewright.io.scene_file import load_scene, save_scene
from scenewright.types import Gaussians, Scene, SceneObject
from tests.io.scenes import gaussians, placed, rich_scene, tetrahedron


def covariances(splats: Gaussians) -> torch.Tensor:
    axes = quaternion_wxyz_to_matrix(splats.quaternions_wxyz) * splats.scales[:, None, :]
    return axes @ axes.mT


def test_scene_save_chooses_by_suffix(tmp_path):
    assert len(load_scene(rich_scene().save(tmp_path / "a.glb")).objects) == 2
    splats = Scene((SceneObject("cloud", splats=gaussians(5)),))
    assert len(load_scene(splats.save(tmp_path / "a.ply")).objects[0].splats.means) == 5
    with pytest.raises(InputError, match=r"use \.glb.* for meshes or \.ply for splats"):
        rich_scene().save(tmp_path / "a.fbx")


def test_a_ply_is_splats_or_a_mesh_by_what_it_holds(tmp_path):
    save_mesh(tetrahedron(), tmp_path / "chair.ply")
    loaded = load_scene(tmp_path / "chair.ply").objects[0]
    assert loaded.name == "chair"
    assert len(loaded.parts[0].faces) == 4


@pytest.mark.parametrize("suffix", ["glb", "obj", "stl", "ply"])
def test_an_object_that_reaches_too_far_to_compute_with_is_refused_by_name(tmp_path, suffix):
    """Squares of such lengths overflow in single precision: no collider or picture can be made of them."""
    mesh = tetrahedron()
    far = Scene((SceneObject("chair", (replace(mesh, vertices=mesh.vertices * 1e30),)),))
    path = save_scene(far, tmp_path / f"chair.{suffix}")
    with pytest.raises(InputError, match=rf"chair\.{suffix}': object 'chair' reaches beyond 1e\+12; rescale it"):
        load_scene(path)


def test_splats_of_several_objects_are_placed_and_merged():
    """Means move with the placement, and covariances turn and grow with it."""
    placement = placed(0.8, [1.0, 2.0, 3.0], 2.0)
    splats = gaussians(6)
    scene = Scene((SceneObject("a", splats=splats), SceneObject("b", splats=splats, world_from_object=placement)))
    merged = merged_splats(scene)
    linear = placement[:3, :3]
    torch.testing.assert_close(merged.means[6:], splats.means @ linear.T + placement[:3, 3])
    torch.testing.assert_close(covariances(merged)[6:], linear @ covariances(splats) @ linear.T, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(covariances(merged)[:6], covariances(splats))


def test_view_dependent_colour_turns_with_a_placed_object():
    """Seen from a direction that turns with the object, a splat keeps its colour; a plain one is given zeros."""
    turn, plain = placed(0.8, [1.0, 2.0, 3.0], 2.0), gaussians(6)
    shiny = replace(plain, sh=torch.randn(6, 16, 3))
    merged = merged_splats(
        Scene((SceneObject("a", splats=shiny, world_from_object=turn), SceneObject("b", splats=plain)))
    )
    direction = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8]]), dim=1)
    seen = torch.einsum("mk,nkc->nc", spherical_harmonics(direction, 3), shiny.sh)
    world = direction @ (turn[:3, :3] / 2).T
    again = torch.einsum("mk,nkc->nc", spherical_harmonics(world, 3), merged.sh[:6])
    torch.testing.assert_close(again, seen, atol=1e-5, rtol=1e-4)
    assert torch.equal(merged.sh[6:, :1], plain.sh)
    assert not bool(merged.sh[6:, 1:].any())


def test_what_does_not_fit_is_said(tmp_path):
    with pytest.raises(InputError, match="no splats"):
        merged_splats(rich_scene())
    with pytest.raises(InputError, match=r"has splats only.*write \.ply"):
        save_scene(Scene((SceneObject("cloud", splats=gaussians(5)),)), tmp_path / "a.glb")
    with pytest.raises(InputError, match=r"Expected a scene as \.glb"):
        load_scene(tmp_path / "a.blend")
    with pytest.raises(InputError, match="does not exist"):
        load_scene(tmp_path / "none.ply")
    assert not list(tmp_path.iterdir())
