"""Profiles: budgets are kept, numbers stand beside the file, gates name the object, packed files read back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError
from scenewright.geometry.mesh.uv import unwrap
from scenewright.io.glb import load_glb, save_glb
from scenewright.io.gltf_export import GltfOptions
from scenewright.io.scene_file import load_scene
from scenewright.metrics.mesh_quality import mesh_quality
from scenewright.runs.export import export
from scenewright.runs.profiles import PROFILES, Profile, profile_named, profiled, quality_of, writer_for
from scenewright.types import Mesh, PBRMaterial, Scene, SceneObject
from tests.geometry.mesh.test_occlusion import corner
from tests.geometry.shapes import from_trimesh
from tests.io.scenes import picture
from tests.io.test_rigid_bodies import box

SMALL = Profile("web", 200, 64, "webp", packed=True)


def halves() -> SceneObject:
    """A ball of 1,280 faces in two parts, the left red by its factor, the right blue by its texture of 256 texels."""
    ball = unwrap(from_trimesh(trimesh.creation.icosphere(subdivisions=3, radius=0.5)), method="boxes", texture_size=64)
    is_left = ball.vertices[ball.faces].mean(1)[:, 0] < 0
    blue = torch.zeros(256, 256, 3, dtype=torch.uint8)
    blue[..., 2] = 200
    parts = (
        replace(ball, faces=ball.faces[is_left], material=PBRMaterial(base_color_factor=(1.0, 0.0, 0.0, 1.0))),
        replace(ball, faces=ball.faces[~is_left], material=PBRMaterial(base_color_texture=blue, roughness_factor=0.5)),
    )
    return SceneObject("ball", parts)


def test_an_object_above_its_budget_becomes_one_mesh_with_the_colours_of_its_parts(tmp_path: Path) -> None:
    scene = profiled(Scene((halves(), SceneObject("crate", (box(1.0, 1.0, 1.0),)))), SMALL)
    path = writer_for(scene, SMALL, tmp_path / "a.glb")(scene, tmp_path / "a.glb")
    (part,) = (ball := load_glb(path).objects[0]).parts
    assert len(part.faces) <= 200
    assert part.material.base_color_texture.shape[:2] == (64, 64)
    assert part.material.normal_texture is not None
    assert len(load_glb(path).objects[1].parts[0].faces) == 12
    x, y = (part.uv[part.faces].mean(1) * 64).long().clamp(0, 63).unbind(1)
    seen, place = part.material.base_color_texture[y, x, :3].float(), part.vertices[part.faces].mean(1)[:, 0]
    assert (seen[place < -0.1] - torch.tensor([255.0, 0, 0])).abs().max() < 40
    assert (seen[place > 0.1] - torch.tensor([0.0, 0, 200])).abs().max() < 40
    roughness = part.material.metallic_roughness_texture[y, x, 1].float() / 255
    assert roughness[place > 0.1].mean() == pytest.approx(0.5, abs=0.02)
    document = json.loads(path.read_bytes()[20 : 20 + int.from_bytes(path.read_bytes()[12:16], "little")])
    assert document["extensionsRequired"] == ["EXT_meshopt_compression", "EXT_texture_webp"]
    found = quality_of(scene, SMALL, path)
    assert found.failed == ()
    assert found.objects["ball"].num_faces == len(part.faces)
    assert found.objects["ball"].uv_overlap < 0.05
    assert found.objects["ball"].texel_density > 10
    assert found.file_bytes == path.stat().st_size
    assert ball.name == "ball"


@pytest.mark.parametrize("options", [GltfOptions(packed=True), GltfOptions("webp"), GltfOptions("jpeg", packed=True)])
def test_packed_files_read_back_as_they_were(tmp_path: Path, options: GltfOptions) -> None:
    ramp = torch.arange(0, 256, 4, dtype=torch.uint8).expand(64, 64)
    smooth = torch.stack([ramp, ramp.T, ramp.flip(1)], 2)
    material = PBRMaterial(base_color_texture=smooth, normal_texture=picture(8, 8, 3))
    mesh = box(1.0, 2.0, 3.0, uv=torch.rand(8, 2), material=material)
    scene = Scene((SceneObject("a", (mesh,)),))
    plain, packed = (
        load_glb(save_glb(scene, tmp_path / "p.glb")),
        load_glb(save_glb(scene, tmp_path / "q.glb", options)),
    )
    (one,), (two,) = plain.objects[0].parts, packed.objects[0].parts
    torch.testing.assert_close(one.vertices, two.vertices)
    torch.testing.assert_close(one.uv, two.uv)
    torch.testing.assert_close(one.vertices[one.faces].sum(1), two.vertices[two.faces].sum(1))
    assert torch.equal(one.material.normal_texture, two.material.normal_texture)
    difference = one.material.base_color_texture.float() - two.material.base_color_texture.float()
    assert difference.abs().mean() < (1e-6 if options.textures == "png" else 4)


def test_game_assets_get_an_occlusion_map_and_tiled_textures_none() -> None:
    """A corner of two walls with an atlas, and the same with a texture that repeats."""
    look = PBRMaterial(base_color_texture=torch.full((32, 32, 3), 200, dtype=torch.uint8))
    atlas = replace(corner(), material=replace(look, metallic_roughness_texture=picture(16, 16, 3)))
    tiled = replace(corner(), uv=3 * corner().uv, material=look)
    scene = Scene((SceneObject("atlas", (atlas,)), SceneObject("tiled", (tiled,))))
    for name, is_made in (("game", True), ("film", True), ("web", False), ("sim", False)):
        made, other = (
            item.parts[0].material.occlusion_texture for item in profiled(scene, profile_named(name)).objects
        )
        assert other is None
        assert (made is not None) == is_made
        if made is not None:
            assert made.shape == (16, 16, 1)  # as roughness and metal, so that one picture holds them all
            assert made[:, 0].float().mean() < 200
            assert made[:, 5].float().mean() == 255


def test_cut_outs_stay_exact_where_jpeg_is_asked_for(tmp_path: Path) -> None:
    cut = PBRMaterial(base_color_texture=picture(16, 16, 4), alpha_mode="BLEND")
    scene = Scene((SceneObject("leaf", (box(1.0, 1.0, 1.0, uv=torch.rand(8, 2), material=cut),)),))
    game = profile_named("game")
    within = profiled(scene, game)
    (part,) = load_glb(writer_for(within, game, tmp_path / "a.glb")(within, tmp_path / "a.glb")).objects[0].parts
    assert part.material.alpha_mode == "MASK"
    assert torch.equal(part.material.base_color_texture, cut.base_color_texture)


def test_coarser_versions_are_linked_and_are_no_objects(tmp_path: Path) -> None:
    profile = Profile("game", 5_000, 64, "jpeg", lods=(0.5, 0.25))
    scene = profiled(Scene((SceneObject("ball", (halves().parts[1],)), halves())), profile)
    path = writer_for(scene, profile, tmp_path / "a.glb")(scene, tmp_path / "a.glb")
    assert [item.name for item in load_glb(path).objects] == ["ball", "ball"]
    content = path.read_bytes()
    document = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])
    ids = document["nodes"][1]["extensions"]["MSFT_lod"]["ids"]
    assert [document["nodes"][index]["name"] for index in ids] == ["ball_lod1", "ball_lod2"]
    meshes = [document["meshes"][document["nodes"][index]["mesh"]]["primitives"] for index in ids]
    counts = [sum(document["accessors"][entry["indices"]]["count"] // 3 for entry in entries) for entries in meshes]
    assert counts[0] <= 640
    assert counts[1] <= 320
    assert len(document["nodes"][1]["extras"]["MSFT_screencoverage"]) == 3
    assert set(ids).isdisjoint(document["scenes"][0]["nodes"])


def test_a_gate_names_the_object_and_the_reason_and_the_file_is_written(tmp_path: Path) -> None:
    whole = box(1.0, 1.0, 1.0)
    opened = Mesh(whole.vertices, whole.faces[2:])
    source = save_glb(Scene((SceneObject("a", (whole,)), SceneObject("lid", (opened,)))), tmp_path / "a.glb")
    words = ["convert", str(source), str(tmp_path / "b.glb"), "--profile", "sim"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 1
    assert "--profile sim: 'lid' is not watertight: 4 open and 0 non-manifold edges" in result.output
    assert f"wrote {tmp_path / 'b.glb'}, {tmp_path / 'b.glb.json'}" in result.output.replace("\n", "")
    assert len(load_glb(tmp_path / "b.glb").objects) == 2
    written = json.loads((tmp_path / "b.glb.json").read_text())
    assert written["failed"] == [found := written["failed"][0]]
    assert "'lid'" in found
    assert written["objects"]["a"]["is_watertight"]
    assert written["file_bytes"] == (tmp_path / "b.glb").stat().st_size
    assert written["source"] == str(source)


def test_the_simulators_profile_closes_small_faults_and_keeps_colours_and_names(tmp_path: Path) -> None:
    """A ball in two parts of which a face is missing, and one above its budget with the same fault."""
    ball = halves()
    first, second = (replace(part, material=replace(part.material, name="steel")) for part in ball.parts)
    torn = SceneObject("ball", (first, replace(second, faces=second.faces[1:])))
    for budget in (2_000, 400):
        profile = replace(profile_named("sim"), max_faces=budget)
        (item,) = profiled(Scene((torn,)), profile).objects
        (part,) = item.parts
        assert len(part.faces) <= budget
        assert mesh_quality(part).is_watertight
        assert part.material.name == "steel"
        x, y = (part.uv[part.faces].mean(1) * part.material.base_color_texture.shape[0]).long().unbind(1)
        seen, place = part.material.base_color_texture[y, x, :3].float(), part.vertices[part.faces].mean(1)[:, 0]
        assert (seen[place < -0.1].mean(0) - torch.tensor([255.0, 0, 0])).abs().max() < 5
        assert (seen[place > 0.1].mean(0) - torch.tensor([0.0, 0, 200])).abs().max() < 5


def test_a_profile_that_is_none_or_has_no_use_is_refused(tmp_path: Path) -> None:
    source = save_glb(Scene((SceneObject("a", (box(1.0, 1.0, 1.0),)),)), tmp_path / "a.glb")
    with pytest.raises(InputError, match="Expected --profile web, game, film, sim; got 'print'"):
        export(source, tmp_path / "b.glb", profile="print", report=print)
    with pytest.raises(InputError, match=r"'b\.stl' holds no textures"):
        export(source, tmp_path / "b.stl", profile="web", report=print)
    assert [path.name for path in tmp_path.iterdir()] == ["a.glb"]


def test_files_for_simulators_have_budgets_too(tmp_path: Path) -> None:
    source = save_glb(Scene((halves(),), is_metric=True), tmp_path / "a.glb")
    quality = export(source, tmp_path / "b.xml", profile="sim", settle=True, report=lambda line: None)
    assert quality.file == "b.xml"
    assert (tmp_path / "b.xml.json").is_file()
    assert load_scene(tmp_path / "b_meshes" / "ball_0.obj").objects
    assert all(profile.max_faces > 0 for profile in PROFILES)


def test_overlap_and_density_of_a_square_by_hand() -> None:
    """A square of 2 m on half of a texture of 100 x 100: 50 x 100 texels on 4 m2; twice the same place overlaps."""
    corners = torch.tensor([[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]])
    uv = torch.tensor([[0.0, 0], [0.5, 0], [0.5, 1], [0, 1]])
    texture = torch.full((100, 100, 3), 7, dtype=torch.uint8)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    square = Mesh(corners, faces, uv=uv, material=PBRMaterial(base_color_texture=texture))
    found = mesh_quality(square)
    assert found.uv_overlap == 0
    assert found.uv_coverage == pytest.approx(0.5, abs=0.01)
    assert found.texel_density == pytest.approx((50 * 100 / 4) ** 0.5, rel=1e-6)
    shifted = torch.cat([corners, corners + torch.tensor([0.0, 0, 1])])
    twice = replace(square, vertices=shifted, uv=torch.cat([uv, uv]), faces=torch.cat([faces, faces + 4]))
    assert mesh_quality(twice).uv_overlap == 1
