"""`scenewright train` and `prepare`: a folder of models to a trained and fine-tuned network, and mistakes made."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError
from scenewright.training.metric_log import read_metrics
from tests.recipes.tiny import write_samples
from tests.tiny_trellis1 import write_tiny_trellis1

RECIPE = """
task = "structure_vae"
summary = "toy"
[model]
network = { channels = [4, 8], num_res_blocks = 1, num_res_blocks_middle = 1 }
[train]
batch_size = 4
precision = "fp32"
workers = 0
max_steps = 60
[optimizer]
lr = 3e-3
[ema]
decay = 0.9
[log]
every = 10
sheet_steps = 60
tensorboard = false
"""


def run(*arguments) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)
    return path


def test_a_toy_recipe_trains_and_its_loss_falls(recipe: Path, tmp_path: Path):
    data, out = write_samples("structure_vae", tmp_path / "data", 16), tmp_path / "run"
    command = ["train", recipe, "--data", data, "--out", out, "--device", "cpu"]
    assert "Step 0, loss nan (the time budget is spent)" in run(*command, "--budget-minutes", 0)
    told = run(*command, "--resume")
    assert "Step 60" in told
    assert f"Weights: {out / 'encoder.safetensors'}" in told
    losses = [row["loss"] for row in read_metrics(out / "metrics.jsonl")]
    assert losses[-1] < 0.9 * losses[0]
    assert (out / "sheets/step-00000060.png").is_file()
    assert json.loads((out / "recipe.json").read_text())["identity"]["task"] == "structure_vae"


def test_published_weights_are_fine_tuned_by_low_rank_updates(tmp_path: Path):
    published = write_tiny_trellis1(tmp_path / "trellis") / "ckpts/sparse_structure_flow_model.safetensors"
    data = write_samples("structure_flow", tmp_path / "data")
    sizes = {
        "resolution": 4,
        "model_channels": 32,
        "cond_channels": 16,
        "num_blocks": 1,
        "num_heads": 2,
        "mlp_ratio": 2,
    }
    recipe = tmp_path / "tune.toml"
    network = ", ".join(f"{name} = {value}" for name, value in sizes.items())
    recipe.write_text(f'task = "structure_flow"\n[model]\nbackbone = "trellis1"\nnetwork = {{ {network} }}\n')
    changes = [
        "train.max_steps=2",
        "train.workers=0",
        "lora.rank=2",
        'lora.targets=["self_attn"]',
        "log.tensorboard=false",
    ]
    options = [item for change in changes for item in ("--set", change)]
    run(
        "train",
        recipe,
        "--data",
        data,
        "--out",
        tmp_path / "run",
        "--device",
        "cpu",
        "--init-from",
        published,
        *options,
    )
    before, after = load_file(published), load_file(tmp_path / "run/network.safetensors")
    changed = {name for name in after if name in before and before[name].shape == after[name].shape}
    changed = {name for name in changed if not before[name].float().equal(after[name].float())}
    assert changed == {"blocks.0.self_attn.to_qkv.weight", "blocks.0.self_attn.to_out.weight"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "shape_vea", "--data", ".", "--out", "x"], "Expected a recipe file or one of"),
        (["train", "shape_vae", "--data", "nowhere", "--out", "x"], "'nowhere' do not exist"),
        (["train", "shape_vae", "--data", ".", "--out", "x"], "Expected shards"),
        (
            ["train", "shape_vae", "--data", ".", "--out", "x", "--set", "train.batchsize=2"],
            "did you mean 'batch_size'",
        ),
        (
            ["train", "shape_vae", "--data", ".", "--out", "x", "--set", "data.colour=2"],
            r"\[data\] does not fit the task 'shape_vae': got an unexpected keyword argument 'colour'",
        ),
        (["prepare", "assets", "--out", "x"], "got neither"),
        (["prepare", "latents", "a", "--out", "x"], "Give either --structure, or --shape"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        run(*arguments)


def test_a_network_that_cannot_be_built_is_one_sentence(recipe: Path, tmp_path: Path):
    command = ["train", recipe, "--data", write_samples("structure_vae", tmp_path / "data", 2), "--out", tmp_path / "x"]
    with pytest.raises(InputError, match=r"\[model\] does not fit the task 'structure_vae'"):
        run(*command, "--set", "model.network={channels=[]}")


def test_models_of_our_own_become_samples(tmp_path: Path):
    told = run(
        "prepare", "assets", "--parametric", 2, "--resolution", 16, "--structure-resolution", 16, "--out", tmp_path
    )
    assert "2 models to train on and 0 to validate with" in told
