"""Scenes end to end with tiny random networks of the real classes: both systems, both decoders, and the baseline."""

import math
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from scenewright.backbones.trellis1.sampling import sample_latents
from scenewright.errors import EmptyStructureError, InputError, OutOfMemoryBudgetError
from scenewright.geometry.mesh.finish_options import FinishOverride
from scenewright.io.glb import glb_bytes
from scenewright.machine import memory_in_use
from scenewright.systems.assembly.generator import SceneGenerator
from scenewright.systems.assembly.structures import LayoutErrors, PlacedStructures, SceneRequest, SizeEstimates
from scenewright.systems.assembly.trellis1_decoder import Trellis1Decoder
from scenewright.systems.assembly.trellis2_decoder import Trellis2Decoder, coarser_coords
from scenewright.systems.baselines.cuboid import CuboidSystem
from scenewright.systems.baselines.floor_scene import assumed_camera
from scenewright.systems.iscene.stage import ISceneStage
from scenewright.systems.loading import load
from scenewright.systems.options import GenerateOptions
from scenewright.systems.scenegen.stage import SceneGenStage
from scenewright.systems.system import RerollingSystem, System
from scenewright.types import ObjectMasks, PanoramaCamera, Scene, View
from scenewright.weights.source import WeightsSource
from tests.support.progress import Recorder
from tests.tiny_iscene import write_tiny_iscene
from tests.tiny_scenegen import write_tiny_scenegen
from tests.tiny_trellis1 import write_tiny_trellis1
from tests.tiny_trellis2 import write_tiny_trellis2

pytestmark = pytest.mark.usefixtures("few_views")
QUICK = GenerateOptions(finish=FinishOverride(max_faces=100, texture_size=64, unwrap_method="boxes"))


def picture_with_masks() -> tuple[Image.Image, torch.Tensor]:
    """A grey picture with a red block on the left and a blue one on the right."""
    pixels = torch.full((48, 64, 3), 128, dtype=torch.uint8)
    masks = torch.zeros(2, 48, 64, dtype=torch.bool)
    masks[0, 14:40, 6:28] = True
    masks[1, 20:36, 36:58] = True
    pixels[masks[0]] = torch.tensor([200, 30, 30], dtype=torch.uint8)
    pixels[masks[1]] = torch.tensor([30, 30, 200], dtype=torch.uint8)
    return Image.fromarray(pixels.numpy()), masks


def view(names: tuple[str, ...] = ("red", "blue")) -> View:
    image, masks = picture_with_masks()
    return View(image, ObjectMasks(masks, names))


@pytest.fixture(scope="module")
def scenegen(tmp_path_factory: pytest.TempPathFactory) -> SceneGenerator:
    stage = SceneGenStage.from_pretrained(
        WeightsSource(write_tiny_scenegen(tmp_path_factory.mktemp("weights") / "scenegen"))
    )
    return SceneGenerator(stage, Trellis1Decoder.from_pretrained(WeightsSource(stage.decoder_source)))


@pytest.fixture(scope="module")
def iscene(tmp_path_factory: pytest.TempPathFactory) -> SceneGenerator:
    stage = ISceneStage.from_pretrained(WeightsSource(write_tiny_iscene(tmp_path_factory.mktemp("weights") / "iscene")))
    return SceneGenerator(stage, Trellis1Decoder.from_pretrained(WeightsSource(stage.decoder_source)))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Trellis1Decoder:
    return Trellis1Decoder.from_pretrained(
        WeightsSource(write_tiny_trellis1(tmp_path_factory.mktemp("weights") / "trellis1"))
    )


@pytest.fixture(scope="module", params=["scenegen", "iscene"])
def made(request: pytest.FixtureRequest) -> tuple[SceneGenerator, Scene]:
    """A generator and its scene of the picture for seed 3."""
    generator = request.getfixturevalue(request.param)
    return generator, generator.generate(view(), seed=3, options=QUICK)


def test_every_mask_becomes_a_placed_object_on_the_floor(made: tuple[SceneGenerator, Scene]) -> None:
    generator, scene = made
    _, masks = picture_with_masks()
    assert [item.name for item in scene.objects] == ["red", "blue"]
    bounds = torch.stack([item.world_bounds() for item in scene.objects])
    assert float(bounds[..., 2].min()) == pytest.approx(0, abs=1e-5)
    assert float((bounds[:, 1].amax(0) - bounds[:, 0].amin(0)).max()) == pytest.approx(1, abs=1e-5)
    for item, mask in zip(scene.objects, masks, strict=True):
        assert torch.equal(item.mask.dense(), mask)
        own = item.parts[0].vertices
        assert float((own.amax(0) - own.amin(0)).max()) == pytest.approx(1, abs=0.3)
        assert item.parts[0].material.base_color_texture is not None
    assert scene.camera is not None
    assert (scene.camera.width, scene.camera.height) == (64, 48)
    assert scene.provenance["system"] == generator.name
    assert all(len(digest) == 64 for digest in scene.provenance["weights_sha256"].values())


def test_the_same_seed_gives_the_same_bytes(made: tuple[SceneGenerator, Scene]) -> None:
    generator, scene = made
    assert isinstance(generator, RerollingSystem)
    again = generator.generate([view()], seed=3, options=QUICK)
    assert glb_bytes(again) == glb_bytes(scene)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int8])
def test_objects_are_decoded_in_every_precision(dtype: torch.dtype, scenegen: SceneGenerator) -> None:
    decoder = Trellis1Decoder.from_pretrained(WeightsSource(scenegen.stage.decoder_source), dtype=dtype)
    scene = SceneGenerator(scenegen.stage, decoder).generate(view(), seed=3, options=QUICK)
    assert [item.name for item in scene.objects] == ["red", "blue"]


def test_networks_read_in_turn_make_the_same_scene_and_are_not_held_together(
    made: tuple[SceneGenerator, Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, scene = made
    in_turn = load(generator.name, generator.stage.source, in_turn=True)
    assert isinstance(in_turn, SceneGenerator)
    alive: list[weakref.ref[object]] = []
    sample, decode = type(generator.stage).sample_structures, Trellis1Decoder.decode

    def sampled(stage, *given, **options):
        alive.append(weakref.ref(stage))
        return sample(stage, *given, **options)

    def decoded(decoder, *given, **options):
        assert [stage for stage in alive if stage() is not None] == []
        return decode(decoder, *given, **options)

    monkeypatch.setattr(type(generator.stage), "sample_structures", sampled)
    monkeypatch.setattr(Trellis1Decoder, "decode", decoded)
    assert glb_bytes(in_turn.generate([view()], seed=3, options=QUICK)) == glb_bytes(scene)
    assert len(alive) == 1
    assert in_turn.weights_sha256() == generator.weights_sha256()


def test_rolling_one_object_again_leaves_the_other_bit_for_bit(made: tuple[SceneGenerator, Scene]) -> None:
    generator, scene = made
    again = generator.reroll(scene, {"blue": 1}, view(), seed=3, options=QUICK)
    assert again.objects[0] is scene.objects[0]
    assert again.objects[1].extras["attempt"] == 1
    before, after = scene.objects[1].parts[0].vertices, again.objects[1].parts[0].vertices
    assert before.shape != after.shape or not torch.equal(before, after)
    with pytest.raises(InputError, match="no object 'green'; the masks are named red, blue"):
        generator.reroll(scene, {"green": 1}, view())


class Forgetful:
    """A stage, except that it never finds some objects; it may say that places are to be fitted, and tell sizes."""

    def __init__(
        self, stage: ISceneStage, lost: set[int], errors: LayoutErrors | None = None, sizes: SizeEstimates | None = None
    ) -> None:
        self.stage, self.lost, self.errors, self.sizes = stage, lost, errors, sizes
        self.name, self.source, self.decoder_source = stage.name, stage.source, stage.decoder_source
        self.device, self.weights, self.max_views = stage.device, stage.weights, stage.max_views

    def sample_structures(self, request: SceneRequest, *, progress: object = None) -> PlacedStructures:
        found = self.stage.sample_structures(request)
        coords = tuple(xyz[:0] if i in self.lost else xyz for i, xyz in enumerate(found.coords))
        return replace(found, coords=coords, layout_errors=self.errors, sizes=self.sizes)


def test_an_object_without_voxels_is_left_out(iscene: SceneGenerator) -> None:
    one = SceneGenerator(Forgetful(iscene.stage, {1}), iscene.decoder)
    scene = one.generate(view(), options=QUICK)
    assert [item.name for item in scene.objects] == ["red"]
    none = SceneGenerator(Forgetful(iscene.stage, {0, 1}), iscene.decoder)
    with pytest.raises(EmptyStructureError, match="None of the 2 objects"):
        none.generate(view(), options=QUICK)


@pytest.mark.parametrize("told", ["red", "blue"])
def test_sizes_are_those_of_the_objects_that_were_found(iscene: SceneGenerator, told: str) -> None:
    deviations = torch.full((2, 4), torch.inf)
    deviations[0 if told == "red" else 1] = 0.01
    sizes = SizeEstimates(torch.tensor([0.0, 0.0, 3.0, 0.0]).repeat(2, 1), deviations)  # far higher than wide

    def placement(sizes: SizeEstimates | None) -> torch.Tensor:
        stage = Forgetful(iscene.stage, {0}, LayoutErrors(heading=math.pi / 2), sizes)
        (blue,) = SceneGenerator(stage, iscene.decoder).generate(view(), options=QUICK).objects
        return blue.world_from_object

    assert torch.equal(placement(sizes), placement(None)) is (told == "red")


def test_views_that_cannot_be_read_are_named(iscene: SceneGenerator) -> None:
    image, masks = picture_with_masks()
    with pytest.raises(InputError, match="iscene needs the masks"):
        iscene.generate(View(image))
    with pytest.raises(InputError, match="iscene makes a scene from one picture, but got 2"):
        iscene.generate([view(), view()])
    panorama = PanoramaCamera(torch.eye(4), 64, 32)
    with pytest.raises(InputError, match="reads perspective pictures, but got a panorama"):
        iscene.generate(View(image, ObjectMasks(masks), panorama))


def _structures(counts: tuple[int, ...]) -> PlacedStructures:
    """Blobs of random voxels on a grid of 16 with random condition tokens."""
    draw = torch.Generator().manual_seed(0)
    coords = tuple(torch.randint(0, 16, (count, 3), generator=draw).unique(dim=0).to(torch.int32) for count in counts)
    return PlacedStructures(
        coords=coords,
        resolution=16,
        world_from_object=torch.eye(4).repeat(len(counts), 1, 1),
        tokens=torch.randn(1, len(counts), 5, 32, generator=draw),
        pictures=tuple(Image.new("RGB", (40, 40), (90, 20, 20)) for _ in counts),
    )


def _generator_of(index: int, stage: str) -> torch.Generator:
    return torch.Generator().manual_seed(17 * index + len(stage))


def test_objects_in_one_batch_come_out_as_alone(decoder: Trellis1Decoder) -> None:
    structures = _structures((60, 30, 80))
    together = sample_latents(
        decoder.flow,
        structures.coords,
        structures.tokens,
        decoder.sampler,
        decoder.statistics,
        [_generator_of(index, "latent") for index in range(3)],
    )
    for index, xyz in enumerate(structures.coords):
        alone = sample_latents(
            decoder.flow,
            [xyz],
            structures.tokens[:, [index]],
            decoder.sampler,
            decoder.statistics,
            [_generator_of(index, "latent")],
        )
        torch.testing.assert_close(together.item(index)[1], alone.feats, rtol=1e-4, atol=1e-4)


def test_a_memory_ceiling_splits_the_batch_and_changes_nothing_else(decoder: Trellis1Decoder) -> None:
    structures = _structures((60, 0, 30, 80))
    free = decoder.decode(structures, _generator_of)
    costs = [decoder._latent_bytes(xyz, structures.tokens.shape) for xyz in structures.coords]
    tight = GenerateOptions(max_memory_bytes=memory_in_use("cpu") + 50_000_000 + max(costs))
    bounded = decoder.decode(structures, _generator_of, tight)
    assert [raw is None for raw in free] == [raw is None for raw in bounded] == [False, True, False, False]
    for one, other in zip(free, bounded, strict=True):
        if one is not None and other is not None:
            torch.testing.assert_close(one.splats.means, other.splats.means, rtol=1e-3, atol=1e-4)
    with pytest.raises(OutOfMemoryBudgetError, match="--max-memory"):
        decoder.decode(structures, _generator_of, GenerateOptions(max_memory_bytes=1_000_000))


def test_an_object_too_large_to_be_decoded_is_refused_before_it_is_sampled(decoder: Trellis1Decoder) -> None:
    structures = _structures((5, 3000))
    recorder = Recorder()
    room = 64 * 1500 * 2000  # below what 1,500 voxels take on the four times finer grid
    with pytest.raises(OutOfMemoryBudgetError, match=r"Object '2' needs about .*--max-memory"):
        decoder.decode(
            structures,
            _generator_of,
            GenerateOptions(max_memory_bytes=memory_in_use("cpu") + room),
            progress=recorder,
        )
    assert not recorder.stages


def test_several_views_take_turns_and_the_last_step_averages(decoder: Trellis1Decoder) -> None:
    structures = _structures((40,))
    generator = lambda: [_generator_of(0, "latent")]  # noqa: E731
    arguments = (decoder.sampler, decoder.statistics)
    single = sample_latents(decoder.flow, structures.coords, structures.tokens, *arguments, generator())
    same = sample_latents(
        decoder.flow, structures.coords, structures.tokens.repeat(2, 1, 1, 1), *arguments, generator()
    )
    torch.testing.assert_close(single.feats, same.feats, rtol=1e-4, atol=1e-5)


def test_the_other_backbone_decodes_the_same_voxels(tmp_path: Path) -> None:
    trellis2 = Trellis2Decoder.from_pretrained(WeightsSource(write_tiny_trellis2(tmp_path / "trellis2")), plan="512")
    structures = replace(_structures((12, 0, 9)), resolution=64)
    made = trellis2.decode(structures, _generator_of)
    assert [raw is None for raw in made] == [False, True, False]
    again = trellis2.decode(structures, _generator_of)
    for raw, same in zip(made, again, strict=True):
        if raw is not None and same is not None:
            assert torch.equal(raw.surface.vertices, same.surface.vertices)
            assert {"metallic", "roughness"} <= set(raw.field.channels)
    with pytest.raises(OutOfMemoryBudgetError):
        trellis2.decode(structures, _generator_of, GenerateOptions(max_memory_bytes=1_000_000))


def test_coarser_grids_keep_every_occupied_cell_once() -> None:
    coords = torch.tensor([[0, 0, 0], [1, 1, 1], [2, 0, 0], [63, 63, 63]], dtype=torch.int32)
    assert coarser_coords(coords, 64, 32).tolist() == [[0, 0, 0], [1, 0, 0], [31, 31, 31]]
    with pytest.raises(InputError, match="grid of 64 cannot be decoded by a plan that starts from 48"):
        coarser_coords(coords, 64, 48)


def test_the_baseline_works_without_a_camera_and_says_so() -> None:
    scene = CuboidSystem().generate(view())
    assert [item.name for item in scene.objects] == ["red", "blue"]
    assert not scene.is_metric
    assert "assumed" in scene.notes[0]
    assert isinstance(CuboidSystem(), System)
    assert not isinstance(CuboidSystem(), RerollingSystem)


def test_an_assumed_camera_sees_every_mask_end_on_the_floor() -> None:
    masks = torch.zeros(1, 40, 60, dtype=torch.bool)
    masks[0, 2:6, 10:20] = True  # near the top of the picture
    camera = assumed_camera(ObjectMasks(masks))
    world_from_cam = torch.linalg.inv(camera.cam_from_world)
    ray = world_from_cam[:3, :3] @ torch.linalg.inv(camera.intrinsics_px) @ torch.tensor([15.0, 6.0, 1.0])
    assert float(ray[2]) < 0
    assert float(world_from_cam[2, 3]) == pytest.approx(1.5)
