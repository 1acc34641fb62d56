"""Every shipped recipe: it parses, its published size exists on the meta device, and its task trains at a tiny size."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenewright.data.tensor_shards import TensorShardSet
from scenewright.errors import InputError
from scenewright.recipes import recipe_names
from scenewright.recipes.running import build_task, find_recipe, trainer_of
from scenewright.sparse.tensor import VoxelSet
from scenewright.systems.single_object.autoencoder_training import voxel_pictures
from scenewright.training.metric_log import read_metrics
from tests.recipes.tiny import SAMPLES, tiny_model, write_samples

RECIPES = [name for name in recipe_names() if find_recipe(name).task in SAMPLES and not name.startswith("mini")]
PARAMETERS = {
    "inspace_boxes": 12_451_839,
    "inspace_shape_flow": 1_294_631_456,
    "inspace_structure": 1_292_179_976,
    "inspace_texture_flow": 1_294_680_608,
    "genrecon_structure": 1.352e9,
    "genrecon_shape": 1.352e9,
    "genrecon_texture": 1.352e9,
    "shape_flow_512": 1.29e9,
    "scenegen_structure": 0.909e9,
    "structure_flow_trellis1": 0.556e9,
    "structure_flow_trellis2": 1.29e9,
    "structure_vae": 0.133e9,
    "texture_flow_512": 1.29e9,
}


@pytest.mark.parametrize("name", recipe_names())
def test_network_exists_on_the_meta_device(name: str):
    recipe = find_recipe(name)
    with torch.device("meta"):
        network = build_task(recipe).network
    assert all(parameter.is_meta for parameter in network.parameters())
    count = sum(parameter.numel() for parameter in network.parameters())
    if name in PARAMETERS:
        assert count == pytest.approx(PARAMETERS[name], rel=0.02)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_takes_steps_at_a_tiny_size(name: str, tmp_path: Path):
    recipe = find_recipe(name, ["train.max_steps=3", "train.workers=0", "log.every=1", "log.tensorboard=false"])
    recipe = replace(recipe, model=tiny_model(recipe.task, dict(recipe.model)))
    data = write_samples(recipe.task, tmp_path / "data")
    result = trainer_of(recipe, data, tmp_path / "run", device="cpu").fit()
    rows = read_metrics(tmp_path / "run/metrics.jsonl")
    assert len(rows) == 3
    # The box loss is a sum of six terms.
    assert all(0 < row["loss"] < (60 if recipe.task == "inspace_boxes" else 10) for row in rows)
    assert result.weights[0].is_file()


def test_unknown_names_get_a_hint():
    with pytest.raises(InputError, match=r"Expected a recipe file or one of .*shape_vae"):
        find_recipe("shape_vea")
    with pytest.raises(InputError, match="did you mean 'lr'"):
        find_recipe("shape_vae", ["optimizer.lrr=1"])
    with pytest.raises(InputError, match="did you mean 'shape_vae'"):
        build_task(replace(find_recipe("shape_vae"), task="shap_vae"))


def test_samples_of_another_task_are_named(tmp_path: Path):
    data = write_samples("structure_vae", tmp_path / "data")
    recipe = find_recipe("texture_vae", ["train.workers=0"])
    recipe = replace(recipe, model=tiny_model(recipe.task, dict(recipe.model)))
    with pytest.raises(InputError, match=r"Sample '0000\d' .* has no 'coords' \(it has occupancy\)"):
        trainer_of(recipe, data, tmp_path / "run", device="cpu").fit()


@pytest.mark.parametrize("name", ["shape_vae", "structure_vae", "texture_vae"])
def test_autoencoders_draw_truth_beside_reconstruction(name: str, tmp_path: Path):
    recipe = find_recipe(name)
    task = build_task(replace(recipe, model=tiny_model(recipe.task, dict(recipe.model))))
    source = TensorShardSet(write_samples(recipe.task, tmp_path, 3))
    with torch.no_grad():
        sheet = task.sheet(source.collate([source.tensors(i) for i in range(3)]))  # type: ignore[attr-defined]
    views = 6 if name == "structure_vae" else 4
    assert sheet.dtype == torch.uint8
    assert sheet.shape[1] // views == sheet.shape[0] // 3
    assert sheet.float().std() > 10


def test_the_nearest_voxel_is_the_one_drawn():
    coords = torch.tensor([[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=torch.int32)
    red, green, blue = torch.eye(3)
    sheet = voxel_pictures(VoxelSet(coords), [torch.stack([red, green, blue])])
    front, top = sheet[1:3, 1:3].float() / 255, sheet[1:3, 5:7].float() / 255
    white = torch.ones(3)
    assert torch.equal(front, torch.stack([torch.stack([blue, white]), torch.stack([white, green])]))
    assert torch.equal(top, torch.stack([torch.stack([white, red]), torch.stack([blue, green])]))
