"""Every shipped recipe: it parses, its published size exists on the meta device, and its task trains at a tiny size."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenewright.errors import InputError
from scenewright.recipes import recipe_names
from scenewright.recipes.running import build_task, find_recipe, trainer_of
from scenewright.training.metric_log import read_metrics
from tests.recipes.tiny import SAMPLES, tiny_model, write_samples

RECIPES = [name for name in recipe_names() if find_recipe(name).task in SAMPLES and not name.startswith("mini")]
PARAMETERS = {
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
    assert all(0 < row["loss"] < 10 for row in rows)
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
