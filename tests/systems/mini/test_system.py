"""Mini end to end with untrained weights, and how it draws surfaces and colours."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.backbones.structure_vae import StructureDecoder
from scenewright.errors import EmptyStructureError, OutOfMemoryBudgetError, WeightsError
from scenewright.geometry.mesh.finish_options import FinishOverride
from scenewright.geometry.mesh.surface_color import VoxelField
from scenewright.samplers.config import Quality, SamplingOverride
from scenewright.systems.assembly.placing import transformed_camera
from scenewright.systems.baselines.floor_scene import assumed_camera
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.networks import LATENT_NETWORKS, MiniNetworks, has_weights
from scenewright.systems.mini.picture_colors import picture_field, with_picture
from scenewright.systems.mini.pixel_aligned import PixelAlignedOccupancy
from scenewright.systems.mini.proportions import ProportionsNetwork
from scenewright.systems.mini.sizes import ISCENE, SCENEGEN, STRUCTURE_VAE
from scenewright.systems.mini.surface import solid_surface, voxel_surface
from scenewright.systems.mini.system import mini_system
from scenewright.systems.options import GenerateOptions
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from scenewright.systems.single_object.latent_preparation import write_statistics
from scenewright.types import ObjectMasks, SparseVoxels, View
from scenewright.weights.record import LatentStatistics
from tests.support.progress import Recorder
from tests.support.saved_weights import save_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights in the shipped layout, fp16, whose decoder fills about a percent of the voxels.

    More of them, scattered as they are, only take longer to mesh.
    """
    place = tmp_path_factory.mktemp("mini")
    torch.manual_seed(0)
    conditioner = PictureConditioner()
    conditioner.components.normal_()
    save_weights(conditioner.half(), place / "conditioner.safetensors")
    decoder = StructureDecoder(STRUCTURE_VAE)
    with torch.no_grad():
        decoder.out_layer[2].bias -= decoder(torch.randn(1, 8, 8, 8, 8)).flatten().quantile(0.99)
    save_weights(decoder.half(), place / "structure_decoder.safetensors")
    for name, flow in (("scenegen", SceneStructureFlow(SCENEGEN)), ("iscene", SceneContextFlow(ISCENE))):
        flow.initialize_weights()
        save_weights(flow.half(), place / f"{name}.safetensors")
    save_weights(PixelAlignedOccupancy().half(), place / "pixel_aligned.safetensors")
    save_weights(ProportionsNetwork().half(), place / "proportions.safetensors")
    for name, build in LATENT_NETWORKS.items():
        save_weights(build().half(), place / f"{name}.safetensors")
    unit = LatentStatistics((0.0,) * 16, (1.0,) * 16)
    write_statistics(place / "latent_statistics.json", {"shape": unit, "texture": unit})
    return place


def picture_with_masks() -> tuple[Image.Image, torch.Tensor]:
    pixels = np.full((60, 80, 3), 200, dtype=np.uint8)
    masks = torch.zeros(2, 60, 80, dtype=torch.bool)
    masks[0, 20:50, 10:35] = True
    masks[1, 30:45, 45:70] = True
    pixels[masks[0].numpy()] = (200, 30, 30)
    pixels[masks[1].numpy()] = (30, 30, 200)
    return Image.fromarray(pixels), masks


@pytest.mark.parametrize(("system", "quality"), [("scenegen", "draft"), ("iscene", "standard")])
def test_a_picture_becomes_a_scene(system: str, quality: Quality, folder: Path) -> None:
    assert has_weights(system, folder)
    generator = mini_system(system, folder)  # type: ignore[arg-type]
    image, masks = picture_with_masks()
    sampling, counted = SamplingOverride(steps=1, quality=quality), Recorder()
    options = GenerateOptions(sampling, finish=FinishOverride(max_faces=400, texture_size=32))
    view = View(image, ObjectMasks(masks))
    scene = generator.generate(view, seed=3, options=options, progress=counted)
    # As many samples in a draft: with fewer, places come out otherwise (docs/mini.md).
    assert {total for name, _, total in counted.events if name == "structure"} == {8}
    assert scene.provenance["parameters"].get("quality", "standard") == quality
    assert [item.name for item in scene.objects] == ["obj_01", "obj_02"]
    assert scene.provenance["system"] == system
    assert all(len(item.parts[0].faces) for item in scene.objects)


def test_it_computes_on_one_thread_whatever_torch_would_use(
    folder: Path, monkeypatch: pytest.MonkeyPatch, two_threads: None
) -> None:
    generator, (image, masks), seen = mini_system("scenegen", folder), picture_with_masks(), []

    def stopped(*arguments: object, **options: object) -> None:
        seen.append(torch.get_num_threads())
        raise EmptyStructureError("Stopped.")

    monkeypatch.setattr(generator.stage, "sample_structures", stopped)
    for call in (generator.generate, generator.generate):
        with pytest.raises(EmptyStructureError):
            call(View(image, ObjectMasks(masks)))
    assert (seen, torch.get_num_threads()) == ([1, 1], 2)


def test_a_ceiling_that_is_too_low_is_refused_before_work(folder: Path) -> None:
    image, masks = picture_with_masks()
    with pytest.raises(OutOfMemoryBudgetError, match=r"for 2 objects, more than the 100\.0 MB of --max-memory"):
        mini_system("scenegen", folder).generate(
            View(image, ObjectMasks(masks)), options=GenerateOptions(max_memory_bytes=100 * 10**6)
        )


@pytest.mark.parametrize("is_above", [True, False])
def test_under_a_known_camera_the_scene_is_in_its_world_in_metres(is_above: bool, folder: Path) -> None:
    generator = mini_system("scenegen", folder)
    image, masks = picture_with_masks()
    level = assumed_camera(ObjectMasks(masks))  # 1.5 m above the floor, looking along +y
    camera = transformed_camera(
        level, torch.tensor([[0.0, -1, 0, 2], [1, 0, 0, -3], [0, 0, 1, 0 if is_above else -9], [0, 0, 0, 1]])
    )
    options = GenerateOptions(SamplingOverride(steps=1), finish=FinishOverride(max_faces=400, texture_size=32))
    view = View(image, ObjectMasks(masks), camera)
    scene = generator.generate(view, options=options)
    assert scene.is_metric == is_above
    assert scene.camera is not None
    torch.testing.assert_close(scene.camera.intrinsics_px, camera.intrinsics_px)
    if is_above:
        assert torch.equal(scene.camera.cam_from_world, camera.cam_from_world)
        # The camera stands at (2, -3) and looks along -x; all that its masks show is there.
        middles = torch.stack([item.world_bounds().mean(0) for item in scene.objects])
        assert bool((middles[:, 0] < 2).all())
        again = generator.reroll(scene, {"obj_02": 1}, view, options=options)
        assert again.is_metric
        assert again.objects[0] is scene.objects[0]


def test_all_weights_stay_below_64_mb(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) < 64e6


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"conditioner\.safetensors"):
        MiniNetworks.load("iscene", tmp_path)
    assert not has_weights("iscene", tmp_path)


def test_the_surface_of_a_ball_is_closed_round_and_wound_outwards() -> None:
    axis = (np.arange(32) + 0.5) / 32 - 0.5
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    distance = np.sqrt(x**2 + y**2 + z**2)
    mesh = voxel_surface((distance < 0.4) & (distance > 0.3))
    radius = mesh.vertices.norm(dim=1)
    assert radius.min() > 0.37
    assert radius.max() < 0.43
    a, b, c = (mesh.vertices[mesh.faces[:, i].long()] for i in range(3))
    volume = float((a * torch.linalg.cross(b, c)).sum() / 6)
    assert volume == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.06)


def test_a_shape_that_fills_the_cube_has_a_closed_surface_of_its_size() -> None:
    mesh = voxel_surface(np.ones((8, 8, 8), dtype=bool))
    assert float(mesh.vertices.abs().max()) == pytest.approx(0.5, abs=0.03)


def test_the_surface_of_a_solidity_lies_between_cells_by_how_sure_they_are_and_closes_hollows() -> None:
    solidity = np.full((16, 16, 16), -1.0, dtype=np.float32)
    solidity[4:12, 4:12, 4:12] = 1.0
    solidity[7:9, 7:9, 7:9] = -1.0  # a hollow that no path leads to
    even = solid_surface(solidity)
    assert (even.vertices.abs().amax(1) > 0.2).all()
    solidity[4] = np.where(solidity[4] > 0, 0.25, -1.0)
    solidity[11] = np.where(solidity[11] > 0, 0.25, -1.0)
    unsure = solid_surface(solidity)
    assert np.ptp(unsure.vertices[:, 0].numpy()) < np.ptp(even.vertices[:, 0].numpy()) - 0.01
    # A side all of whose cells are alike is flat.
    top = unsure.vertices[(unsure.vertices[:, 2] > 0.2) & (unsure.vertices[:, :2].abs().amax(1) < 0.15)]
    assert float(top[:, 2].max() - top[:, 2].min()) < 1e-3


def test_a_single_voxel_line_keeps_a_surface() -> None:
    occupied = np.zeros((16, 16, 16), dtype=bool)
    occupied[8, 8, 2:14] = True
    mesh = voxel_surface(occupied)
    assert np.ptp(mesh.vertices[:, 2].numpy()) > 0.6


def test_colours_stand_where_the_picture_has_them() -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[4:28, 4:16] = (255, 0, 0)
    pixels[4:28, 16:28] = (0, 255, 0)
    corners = torch.tensor([[-0.5, -0.5, -0.5], [0.5, 0.5, 0.5]])
    field = picture_field(corners, Image.fromarray(pixels))
    values = field.at(torch.tensor([[-0.4, 0.0, 0.0], [0.4, 0.0, 0.0]]))
    assert field.channels[:3] == ("red", "green", "blue")
    assert values[0, :3].tolist() == [1, 0, 0]
    assert values[1, :3].tolist() == [0, 1, 0]


def test_the_picture_shows_on_the_front_at_the_materials_brightness_and_not_behind() -> None:
    axis = (np.arange(32) + 0.5) / 32 - 0.5
    ball = voxel_surface(np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij")), axis=0) < 0.4)
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[8:56, 8:32], pixels[8:56, 32:56] = 200, 80
    values = torch.full((1, 4), 0.4)
    grey = VoxelField(
        SparseVoxels(torch.zeros(1, 3).int(), 8, {"base_color": values[:, :3], "roughness": values[:, 3:]})
    )
    field = with_picture(grey, ball, Image.fromarray(pixels))
    assert field.channels == grey.channels
    left, right = (torch.tensor([[x, -0.36, 0.13]]) for x in (-0.12, 0.12))
    bright, dark = (field.at(point)[0] for point in (left, right))
    assert float(bright[0] / dark[0]) == pytest.approx(200 / 80, rel=0.05)
    assert float((bright[0] + dark[0]) / 2) == pytest.approx(0.4, abs=0.06)
    assert float(bright[3]) == float(dark[3]) == pytest.approx(0.4)
    back = field.at(torch.stack([left[0], right[0]]) * -1)
    torch.testing.assert_close(back[:, :3], torch.full((2, 3), 0.4), atol=0.03, rtol=0)
