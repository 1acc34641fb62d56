"""Recipe files: what they say, and what is said about mistakes in them."""

from pathlib import Path

import pytest

from scenewright.errors import InputError
from scenewright.training.config import OptimizerConfig
from scenewright.training.optim import learning_rate
from scenewright.training.recipe import parse_recipe, read_recipe

TEXT = """
task = "toy"
[model]
width = 8
[train]
batch_size = 16
[optimizer]
lr = 1
betas = [0.9, 0.95]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_a_file_and_changes_become_settings(tmp_path: Path):
    recipe = read_recipe(
        write(tmp_path, TEXT), ["train.batch_size=4", "model.depth=2", "model.kind=small", "log.keep=5"]
    )
    assert recipe.model == {"width": 8, "depth": 2, "kind": "small"}
    assert (recipe.run.train.batch_size, recipe.run.log.keep) == (4, 5)
    assert (recipe.run.optimizer.lr, recipe.run.optimizer.betas) == (1.0, (0.9, 0.95))
    assert recipe.identity["model"] == recipe.model


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task = 3", 'Expected task = "name"'),
        ("task = 'a'\n[trian]", "Unknown table or key 'trian' in .*did you mean 'train'"),
        (
            "task = 'a'\n[train]\nbatchsize = 3",
            "Unknown argument 'batchsize' for TrainConfig; did you mean 'batch_size'",
        ),
        ("task = 'a'\n[train]\nbatch_size = 9\nbatch_split = 2", "multiple of batch_split, got 9 and 2"),
        ("task = 'a'\n[train]\nprecision = 'fp8'", "fp32 or bf16, got 'fp8'"),
        ("task = 'a'\n[optimizer]\nlr = -1", "learning rate above 0, got -1"),
        ("task = 'a'\n[optimizer]\nlr = 'fast'", "lr: Input should be a valid number"),
        ("task = 'a'\n[optimizer]\nschedule = 'step'", "constant or cosine, got 'step'"),
        ("task = 'a'\n[ema]\ndecay = 1.0", "from 0 to below 1, got 1.0"),
        ("task = ", "not a recipe of training in TOML"),
        ("task = 'a'\n[optimizer]\nlr = inf", "learning rate above 0, got inf"),
        ("task = 'a'\n[optimizer]\nbetas = [1, 2]", "betas from 0 to below 1, got"),
        ("task = 'a'\n[optimizer]\nweight_decay = nan", "weight_decay of at least 0, got nan"),
        ("task = 'a'\n[optimizer]\nwarmup_steps = -1", "warmup_steps of at least 0, got -1"),
        ("task = 'a'\n[clip]\nmax_norm = nan", "max_norm above 0, got nan"),
        ("task = 'a'\n[clip]\npercentile = nan", "percentile from 0 to 100, got nan"),
        ("task = 'a'\n[log]\ncheckpoint_minutes = nan", "checkpoint_minutes of at least 0, got nan"),
        ("task = 'a'\n[log]\nsheet_samples = 0", "sheet_samples of at least 1, got 0"),
        ("task = 'a'\n[log]\nvalidate_batches = 0", "validate_batches of at least 1, got 0"),
        ("task = 'a'\n[model]\nnetwork = { made = 1979-05-27 }", r"'network' in \[model\] of .* holds a date"),
    ],
)
def test_mistakes_are_explained(text: str, message: str, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        read_recipe(write(tmp_path, text))


def test_missing_files_and_malformed_changes_are_explained(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(InputError, match=r"like train.batch_size=64, got 'batch'"):
        read_recipe(write(tmp_path, TEXT), ["batch"])
    with pytest.raises(InputError, match=r"'task' in 'task.name=1' is not a table"):
        read_recipe(write(tmp_path, TEXT), ["task.name=1"])


def test_defaults_are_the_published_ones():
    run = parse_recipe({"task": "a"}).run
    assert (run.optimizer.lr, run.optimizer.betas, run.optimizer.weight_decay) == (1e-4, (0.9, 0.999), 0.0)
    assert (run.ema.decay, run.ema.warmup) == (0.9999, False)
    assert (run.clip.max_norm, run.clip.percentile, run.clip.buffer_size) == (1.0, 95.0, 1000)


def test_learning_rates_warm_up_and_fall():
    config = OptimizerConfig(lr=2.0, schedule="cosine", warmup_steps=4, final_lr_ratio=0.1)
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.5)
    assert learning_rate(config, 3, 0.0) == pytest.approx(2.0)
    assert learning_rate(config, 50, 0.5) == pytest.approx(2 * 0.55)
    assert learning_rate(config, 99, 1.5) == pytest.approx(0.2)
    assert learning_rate(OptimizerConfig(lr=2.0), 99, 1.0) == 2.0
