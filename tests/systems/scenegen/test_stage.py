"""From pictures with masks to placed voxels with tiny random networks: the published layout, orders, refusals."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from scenewright.errors import InputError, OutOfMemoryBudgetError, WeightsError
from scenewright.samplers.config import SamplingOverride
from scenewright.systems.assembly.structures import SceneRequest, StructureStage
from scenewright.systems.options import GenerateOptions
from scenewright.systems.scenegen.encoding import encode_views
from scenewright.systems.scenegen.pretrained import SceneGenNetworks
from scenewright.systems.scenegen.stage import SceneGenStage, largest_first
from scenewright.systems.system import masked_views
from scenewright.types import ObjectMasks, View
from scenewright.weights.source import WeightsSource
from tests.support.progress import Recorder
from tests.support.scenegen_published import published_noise
from tests.tiny_scenegen import FLOW_STEM, TOKENS, write_tiny_scenegen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_scenegen(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture(scope="module")
def stage(folder: Path) -> SceneGenStage:
    return SceneGenStage.from_pretrained(WeightsSource(folder))


BOXES = {"lamp": (2, 3, 14, 20), "sofa": (5, 25, 75, 58), "chair": (50, 2, 70, 22)}


def request(names: tuple[str, ...] = ("lamp", "sofa", "chair"), seed: int = 5, **changes: object) -> SceneRequest:
    return SceneRequest((view_of(*names),), seed, **changes)


def view_of(*names: str) -> View:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8))
    masks = torch.zeros(len(names), 60, 80, dtype=torch.bool)
    for mask, name in zip(masks, names, strict=True):
        left, upper, right, lower = BOXES[name]
        mask[upper:lower, left:right] = True
    return View(image, ObjectMasks(masks, names))


def test_a_folder_in_the_published_layout_becomes_a_stage(stage: SceneGenStage, folder: Path) -> None:
    assert isinstance(stage, StructureStage)
    assert stage.decoder_source == str(folder)
    assert stage.weights["structure_flow"].suffix == ".pt"
    assert set(stage.weights) == {"structure_flow", "structure_decoder", "image_encoder", "geometry_encoder"}
    assert stage.networks.encoders.geometry is not None
    parameters = stage.networks.structure_flow.parameters()
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in parameters)


def test_every_object_gets_voxels_and_a_place(stage: SceneGenStage) -> None:
    recorder = Recorder()
    placed = stage.sample_structures(request(), progress=recorder)
    assert recorder.stages == ["encode", "structure"]
    assert {name: done / total for name, done, total in recorder.events} == {"encode": 1.0, "structure": 1.0}
    assert placed.resolution == 16
    assert placed.tokens.shape == (1, 3, TOKENS, 32)
    for coords in placed.coords:
        assert coords.dtype == torch.int32
        assert 0 < len(coords) < 16**3
        assert coords.min() >= 0
        assert coords.max() < 16
    assert [picture.size for picture in placed.pictures] == [(56, 56)] * 3
    # The largest object is the query, whose frame is the world.
    torch.testing.assert_close(placed.world_from_object[1], torch.eye(4))
    assert (torch.linalg.det(placed.world_from_object[:, :3, :3]) > 0).all()


def test_the_order_of_the_masks_does_not_matter(stage: SceneGenStage) -> None:
    placed, names = stage.sample_structures(request()), ("chair", "lamp", "sofa")
    again = stage.sample_structures(request(names))
    for new, old in enumerate(("lamp", "sofa", "chair").index(name) for name in names):
        assert torch.equal(again.coords[new], placed.coords[old])
        assert torch.equal(again.world_from_object[new], placed.world_from_object[old])
        assert again.pictures[new].tobytes() == placed.pictures[old].tobytes()


def test_seed_and_attempts_decide(stage: SceneGenStage) -> None:
    first, again, other = (stage.sample_structures(request(seed=seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.coords, again.coords, strict=True))
    assert not torch.equal(first.coords[0], other.coords[0])
    rolled = stage.sample_structures(request(seed=1, attempts={"lamp": 1}, wanted=(0,)))
    assert len(rolled.coords) == len(rolled.pictures) == 1
    assert rolled.world_from_object.shape == (1, 4, 4)
    assert not torch.equal(rolled.coords[0], first.coords[0])


def test_wanted_objects_come_in_the_wanted_order(stage: SceneGenStage) -> None:
    every = stage.sample_structures(request())
    some = stage.sample_structures(request(wanted=(2, 0)))
    assert torch.equal(some.coords[0], every.coords[2])
    assert torch.equal(some.world_from_object[1], every.world_from_object[0])
    assert torch.equal(some.tokens, every.tokens[:, [2, 0]])


def test_one_object_is_a_scene(stage: SceneGenStage) -> None:
    placed = stage.sample_structures(request(("chair",)))
    torch.testing.assert_close(placed.world_from_object[0], torch.eye(4))


def test_several_views_name_their_objects(stage: SceneGenStage) -> None:
    first, mixed = view_of("lamp", "sofa", "chair"), view_of("sofa", "chair", "lamp")
    placed = stage.sample_structures(SceneRequest(masked_views([first, mixed], "scenegen", max_views=stage.max_views)))
    assert placed.tokens.shape == (2, 3, TOKENS, 32)
    # The second view shows the same picture, so its objects must have been brought into the first one's order.
    torch.testing.assert_close(placed.tokens[0], placed.tokens[1])
    with pytest.raises(InputError, match=r"view 1 has 3 and view 2 has 2 \(view 2 lacks 'lamp'\)"):
        masked_views([first, view_of("sofa", "chair")], "scenegen", max_views=stage.max_views)


def test_views_read_together_know_of_each_other(stage: SceneGenStage) -> None:
    views = [view_of(*BOXES), replace(view_of(*BOXES), image=Image.new("RGB", (80, 60), "red"))]
    encoders = stage.networks.encoders
    alone, joint = (encode_views(views, encoders, geometry_mode=mode) for mode in ("per_view", "joint"))
    for first, second in zip(alone.conditions, joint.conditions, strict=True):
        assert first.shared is not None
        assert second.shared is not None
        assert first.shared.shape == second.shared.shape == (3 * TOKENS, 32)
        assert not torch.allclose(first.shared[TOKENS:], second.shared[TOKENS:])
        assert torch.equal(first.own, second.own)


def test_what_is_switched_off_is_left_out(stage: SceneGenStage) -> None:
    views = [view_of(*BOXES)]
    bare = replace(stage.networks.encoders, geometry=None, reads_masks=False, reads_scene=False)
    (condition,) = encode_views(views, bare).conditions
    assert condition.own.shape == (3, TOKENS, 32)
    assert condition.shared is None


def test_largest_first_and_later_first_among_equals() -> None:
    masks = torch.zeros(4, 2, 10, dtype=torch.bool)
    for mask, area in zip(masks, (3, 5, 3, 1), strict=True):
        mask[0, :area] = True
    assert largest_first(ObjectMasks(masks)) == [1, 2, 0, 3]


def test_published_noise_is_one_draw_on_the_cpu(stage: SceneGenStage) -> None:
    torch.manual_seed(42)
    assert torch.equal(published_noise(stage.networks, 3), torch.randn(3, 8, 4, 4, 4))


def test_a_ceiling_changes_no_result_and_is_refused_where_nothing_fits(stage: SceneGenStage) -> None:
    every = stage.sample_structures(request())
    ample = stage.sample_structures(request(options=GenerateOptions(max_memory_bytes=1 << 40)))
    torch.testing.assert_close(ample.world_from_object, every.world_from_object, rtol=1e-4, atol=1e-4)
    with pytest.raises(OutOfMemoryBudgetError, match=r"3 objects together need about .*, more than the ceiling of 1"):
        stage.sample_structures(request(options=GenerateOptions(max_memory_bytes=1000)))


def test_more_objects_than_in_training_are_noted(stage: SceneGenStage) -> None:
    masks = torch.zeros(8, 60, 80, dtype=torch.bool)
    for index, mask in enumerate(masks):
        mask[7 * index : 7 * index + 5, 10:30] = True
    view = View(view_of("chair").image, ObjectMasks(masks))
    many = SceneRequest((view,), options=GenerateOptions(SamplingOverride(steps=1)))
    assert "at most 7 objects; with 8" in stage.sample_structures(many).notes[0]


def test_an_object_that_cannot_be_cut_out_is_named(stage: SceneGenStage) -> None:
    shown = request()
    masks = shown.objects.masks
    masks[2] = False
    masks[2, 10, 60] = True
    view = replace(shown.views[0], objects=ObjectMasks(masks, shown.names))
    with pytest.raises(InputError, match="Object 'chair' cannot be cut out"):
        stage.sample_structures(replace(shown, views=(view,)))


def test_a_safetensors_flow_is_as_good_and_gives_the_same(folder: Path, tmp_path: Path, stage: SceneGenStage) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    state = torch.load(copy / f"{FLOW_STEM}.pt", weights_only=True)
    save_file(state, copy / f"{FLOW_STEM}.safetensors")
    (copy / f"{FLOW_STEM}.pt").unlink()
    other = SceneGenStage.from_pretrained(WeightsSource(copy))
    assert other.weights["structure_flow"].suffix == ".safetensors"
    a, b = (each.sample_structures(request()) for each in (stage, other))
    assert all(torch.equal(x, y) for x, y in zip(a.coords, b.coords, strict=True))


def test_damaged_folders_are_named(folder: Path, tmp_path: Path) -> None:
    copy = write_tiny_scenegen(tmp_path / "copy", with_vggt=False)
    lines: list[str] = []
    assert SceneGenNetworks.from_pretrained(WeightsSource(copy, report=lines.append)).encoders.geometry is None
    assert lines == ["Loading the structure flow", "Loading sparse_structure_decoder", "Loading DINOv2"]
    weights, config = copy / f"{FLOW_STEM}.pt", copy / f"{FLOW_STEM}.json"
    state = torch.load(weights, weights_only=True)

    torch.save({name: tensor for name, tensor in state.items() if "norm4" not in name}, weights)
    with pytest.raises(WeightsError, match=r"4 missing \(blocks.0.norm4.weight"):
        SceneGenNetworks.from_pretrained(WeightsSource(copy))
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="truncated or damaged"):
        SceneGenNetworks.from_pretrained(WeightsSource(copy))
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"name": "SLatFlowModel"}))
    with pytest.raises(WeightsError, match="Expected a SparseStructureFlowModel"):
        SceneGenNetworks.from_pretrained(WeightsSource(copy))
    pipeline = json.loads((copy / "pipeline.json").read_text())
    del pipeline["args"]["models"]["sparse_structure_flow_model"]
    (copy / "pipeline.json").write_text(json.dumps(pipeline))
    with pytest.raises(WeightsError, match="names no 'sparse_structure_flow_model'"):
        SceneGenNetworks.from_pretrained(WeightsSource(copy))
