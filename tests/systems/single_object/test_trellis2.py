"""Picture to object and texturing with TRELLIS.2, end to end with tiny networks of every real class."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from scenewright.backbones.networks import NetworkKey, PublishedNetworks
from scenewright.backbones.structure_vae import StructureDecoder
from scenewright.backbones.trellis2 import SPEC
from scenewright.backbones.trellis2.decoding import object_surface
from scenewright.backbones.trellis2.plans import PLANS
from scenewright.backbones.trellis2.pretrained import SHAPE_DECODER, STRUCTURE_DECODER, trellis2_networks
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder
from scenewright.cli.app import app
from scenewright.errors import EmptyStructureError, InputError, OutOfMemoryBudgetError, WeightsError
from scenewright.geometry.mesh.finish import finish_mesh
from scenewright.geometry.mesh.finish_options import FinishOverride
from scenewright.io.scene_file import load_scene, save_scene
from scenewright.samplers.config import SamplerConfig, SamplingOverride
from scenewright.systems.assembly.decoding import RawObject
from scenewright.systems.options import GenerateOptions
from scenewright.systems.single_object.generate import object_from_pictures
from scenewright.systems.single_object.texturing import Texturer, TexturingOptions, texture_mesh
from scenewright.systems.single_object.trellis2 import Trellis2Objects
from scenewright.types import DualGrid, Mesh, Scene, SceneObject
from scenewright.weights.source import WeightsSource
from tests.support.progress import Recorder
from tests.tiny_trellis2 import write_tiny_trellis2

SMALL = GenerateOptions(finish=FinishOverride(max_faces=500, texture_size=64))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_trellis2(tmp_path_factory.mktemp("weights") / "tiny")


def cut_out() -> Image.Image:
    picture = Image.new("RGBA", (80, 60), (0, 0, 0, 0))
    ImageDraw.Draw(picture).ellipse((20, 10, 60, 50), fill=(200, 120, 40, 255))
    return picture


def rod() -> Mesh:
    corners = torch.cartesian_prod(*[torch.tensor([0.0, side]) for side in (3.0, 0.05, 0.02)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = torch.tensor([face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))])
    return Mesh(corners + 5, faces)


@pytest.mark.parametrize("plan", ["512", "1024"])
def test_a_picture_becomes_a_textured_object_that_can_be_written(plan, weights, tmp_path):
    networks, recorder = Trellis2Objects.from_pretrained(WeightsSource(weights), plan=plan), Recorder()
    scene = object_from_pictures(cut_out(), networks, seed=42, options=SMALL, progress=recorder)
    (part,) = scene.objects[0].parts
    assert part.uv is not None
    assert part.material.base_color_texture.shape[:2] == (64, 64)
    assert len(part.faces) > 0
    assert part.vertices.abs().max() <= 1.0  # vertices may leave their voxel by half a voxel
    assert {"structure", "shape", "texture", "bake"} <= set(recorder.stages)
    assert scene.provenance["resolution"] == int(plan)
    again = load_scene(save_scene(scene, tmp_path / "object.glb"))
    assert len(again.objects) == 1


def raw(networks: Trellis2Objects, seed: int = 42, pictures: int = 1) -> RawObject:
    generator = torch.Generator().manual_seed(seed)
    made = networks.raw_object([cut_out().convert("RGB")] * pictures, lambda stage: generator)
    assert made is not None
    return made


def test_the_same_seed_gives_the_same_object_and_another_seed_another(weights):
    networks = Trellis2Objects.from_pretrained(WeightsSource(weights), plan="512", keep_loaded=True)
    first, again, other = (raw(networks, seed).surface.vertices for seed in (42, 42, 43))
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


def test_a_loaned_network_is_let_go_of_unless_it_is_to_be_kept(weights):
    def is_alive_after(networks: PublishedNetworks) -> bool:
        with networks.loaned(SHAPE_DECODER) as decoder:
            assert isinstance(decoder, ShapeDecoder)
            seen = weakref.ref(decoder)
        del decoder
        gc.collect()
        return seen() is not None

    assert not is_alive_after(trellis2_networks(WeightsSource(weights)))
    keeping = trellis2_networks(WeightsSource(weights), keep_loaded=True)
    assert is_alive_after(keeping)
    with keeping.loaned(SHAPE_DECODER) as first, keeping.loaned(SHAPE_DECODER) as second:
        assert first is second
    assert keeping.load(SHAPE_DECODER) is not first


def test_a_structure_without_voxels_is_a_clear_error(weights):
    networks = Trellis2Objects.from_pretrained(WeightsSource(weights), plan="512", keep_loaded=True)
    with networks.decoder.networks.loaned(STRUCTURE_DECODER) as decoder:
        decoder.out_layer[2].bias.data.fill_(-1e6)
    with pytest.raises(EmptyStructureError, match="no occupied voxel"):
        object_from_pictures(cut_out(), networks)


def test_unknown_networks_and_broken_folders_are_named(weights, tmp_path):
    with pytest.raises(WeightsError, match="names no 'banana'"):
        trellis2_networks(WeightsSource(weights)).load(NetworkKey("banana", ShapeDecoder))
    with pytest.raises(WeightsError, match="is a ShapeDecoder, expected StructureDecoder"):
        trellis2_networks(WeightsSource(weights)).load(NetworkKey(SHAPE_DECODER.name, StructureDecoder))
    (tmp_path / "pipeline.json").write_text('{"args": {"models": {}}}')
    with pytest.raises(WeightsError, match="lacks 'image_cond_model'"):
        trellis2_networks(WeightsSource(tmp_path))
    (tmp_path / "pipeline.json").write_text("not json")
    with pytest.raises(WeightsError, match="not a pipeline description"):
        trellis2_networks(WeightsSource(tmp_path))
    with pytest.raises(WeightsError, match="no sampler for the shape stage"):
        trellis2_networks(WeightsSource(weights), pipeline="texturing_pipeline.json").sampler("shape")


def test_published_sampler_settings_are_read_and_guidance_counts_from_zero(weights):
    structure = trellis2_networks(WeightsSource(weights)).sampler("structure")
    assert structure == SamplerConfig(2, 6.5, (0.6, 1.0), 5.0, 1e-5, guidance_rescale=0.7)
    assert structure.overridden(SamplingOverride(3)) == replace(structure, steps=3)


def test_texturing_keeps_the_surface_and_its_frame(weights):
    mesh = rod()
    options = TexturingOptions(resolution=512, texture_size=64)
    scene = texture_mesh([mesh], cut_out(), Texturer.from_pretrained(WeightsSource(weights)), options=options)
    (part,) = scene.objects[0].parts
    torch.testing.assert_close(part.vertices.amin(0), mesh.vertices.amin(0))
    torch.testing.assert_close(part.vertices.amax(0), mesh.vertices.amax(0))
    assert len(part.faces) == len(mesh.faces)
    texture = part.material.base_color_texture
    assert np.unique(texture.reshape(-1, texture.shape[-1]), axis=0).shape[0] > 10  # materials vary over the surface


def test_texturing_refuses_an_empty_mesh_and_one_with_too_many_tokens(weights):
    texturer = Texturer.from_pretrained(WeightsSource(weights))
    empty = Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.long))
    with pytest.raises(InputError, match="at least one triangle"):
        texture_mesh([empty], cut_out(), texturer)
    with pytest.raises(OutOfMemoryBudgetError, match="use a lower resolution"):
        texture_mesh([rod()], cut_out(), texturer, options=TexturingOptions(resolution=512, max_num_tokens=10))


def test_finished_faces_wind_outwards_although_decoded_ones_do_not():
    axis = (torch.arange(24) + 0.5) / 24 - 0.5
    inside = torch.cartesian_prod(axis, axis, axis).norm(dim=1).view(24, 24, 24) < 0.31
    crossed = torch.stack([inside != inside.roll(-1, a) for a in range(3)], -1)
    # The flag of the edge along axis a sits one cell lower on the two other axes.
    edges = torch.stack([crossed[..., a].roll([-1, -1], [b for b in range(3) if b != a]) for a in range(3)], -1)
    near = torch.nn.functional.max_pool3d(crossed.any(-1).float()[None], 3, 1, 1)[0] > 0
    coords = near.nonzero().int()
    flags = edges[near]
    raw = object_surface(DualGrid(coords, torch.full((len(coords), 3), 0.5), flags, 24))

    def volume(mesh: Mesh) -> float:
        a, b, c = mesh.vertices[mesh.faces.long()].unbind(1)
        return float((a * torch.linalg.cross(b, c)).sum() / 6)

    finished = finish_mesh(raw, None, replace(SPEC.finish, max_faces=100_000))
    assert abs(volume(raw)) < 0.05
    assert volume(finished) == pytest.approx(4 / 3 * torch.pi * 0.31**3, rel=0.15)


def run(*arguments: object) -> tuple[int, BaseException | None]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.exception


@pytest.mark.parametrize("resolution", [512, 1024, 1536])
def test_the_object_command_writes_a_glb_with_materials(resolution, weights, tmp_path):
    cut_out().save(tmp_path / "cup.png")
    out = tmp_path / "cup.glb"
    options = ("--weights", weights, "--steps", 1, "--faces", 400, "--texture-size", 64, "--device", "cpu")
    request = ("--backbone", "trellis2", "--resolution", resolution)
    assert run("object", tmp_path / "cup.png", "-o", out, *request, *options) == (0, None)
    scene = load_scene(out)
    material = scene.objects[0].parts[0].material
    assert material.base_color_texture.shape[:2] == (64, 64)
    assert material.metallic_roughness_texture.shape[:2] == (64, 64)
    assert scene.provenance["resolution"] == resolution
    assert scene.provenance["samplers"]["texture"]["steps"] == 1


def test_the_texture_command_writes_the_mesh_with_materials(weights, tmp_path):
    cut_out().save(tmp_path / "cup.png")
    source, out = tmp_path / "rod.glb", tmp_path / "textured.glb"
    save_scene(Scene((SceneObject("rod", parts=(rod(),)),)), source)
    options = ("--weights", weights, "--steps", 1, "--texture-size", 64, "--device", "cpu", "--resolution", 512)
    assert run("texture", source, tmp_path / "cup.png", "-o", out, *options) == (0, None)
    (part,) = load_scene(out).objects[0].parts
    torch.testing.assert_close(part.vertices.amax(0), rod().vertices.amax(0))
    assert part.material.metallic_roughness_texture is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--backbone", "trellis2", "--resolution", 700), "512, 1024 or 1536"),
        (("--backbone", "trellis2", "--splats", "a.ply"), "--splats works only with --backbone trellis1"),
        (("--backbone", "trellis2", "--multi-image", "stochastic"), "--multi-image works only"),
        (("--resolution", 512), "--resolution works only with --backbone trellis2"),
        (("again.png", "--backbone", "trellis2"), "from one picture, got 2"),
    ],
)
def test_settings_without_effect_are_refused(options, message, tmp_path):
    cut_out().save(tmp_path / "cup.png")
    code, error = run("object", tmp_path / "cup.png", *options, "-o", tmp_path / "cup.glb", "--weights", tmp_path)
    assert code != 0
    assert isinstance(error, InputError)
    assert message in str(error)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.glb", "cup.png"), "missing.glb"),
        (("broken.glb", "cup.png"), "broken.glb"),
        (("rod.glb", "missing.png"), "missing.png"),
        (("rod.glb", "cup.png", "--resolution", 100), "512, 1024 or 1536"),
        (("rod.glb", "cup.png", "-o", "rod.blend"), "rod.blend"),
    ],
)
def test_the_texture_command_names_what_is_wrong(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cut_out().save("cup.png")
    save_scene(Scene((SceneObject("rod", parts=(rod(),)),)), "rod.glb")
    Path("broken.glb").write_bytes(b"glTF but not really")
    _, error = run("texture", *arguments, "--weights", tmp_path)
    assert isinstance(error, InputError)
    assert message in str(error)
    assert not Path("textured.glb").exists()


def test_a_structure_with_too_many_tokens_lowers_the_resolution_or_is_refused(weights):
    """The published rule of cascades, and a clear error where there is nothing to lower."""

    def made(plan: str, max_num_tokens: int) -> RawObject:
        own = replace(decoder, plan=PLANS[plan], max_num_tokens=max_num_tokens)
        return raw(Trellis2Objects(own))

    decoder = Trellis2Objects.from_pretrained(WeightsSource(weights), plan="1536_cascade", keep_loaded=True).decoder
    unlimited = made("1536_cascade", 10**6).field.voxels
    assert unlimited.resolution == 1536
    least = len((unlimited.coords // 16).unique(dim=0))  # a token without a voxel of its own may be more
    assert made("1536_cascade", least).field.voxels.resolution < 1536
    assert made("1536_cascade", 1).field.voxels.resolution == 1024  # the published floor: any number of tokens
    with pytest.raises(OutOfMemoryBudgetError, match="tokens"):
        made("1024", 1)
