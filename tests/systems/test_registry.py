"""A fifth system is one module and one line in the registry: generated with, listed, evaluated and trained by name."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scenewright.backbones.spec import imported
from scenewright.cli.app import app
from scenewright.errors import InputError
from scenewright.evaluation.run import evaluate_system
from scenewright.evaluation.systems import open_for_evaluation
from scenewright.io.glb import load_glb
from scenewright.recipes.running import find_recipe, trainer_of
from scenewright.runs.manifest import read_manifest
from scenewright.systems import registry
from scenewright.systems.catalogue import needs
from scenewright.systems.loading import load
from scenewright.systems.system import System
from tests.evaluation.small_scenes import QUICK, room, save_source_folder
from tests.systems.toy_system import SPEC

PICTURES = Path(__file__).parents[1] / "data" / "photographs"


@pytest.fixture(autouse=True)
def _the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "SPECS", (*registry.SPECS, SPEC))


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_it_is_generated_with_and_replayed(tmp_path: Path) -> None:
    arguments = ("generate", PICTURES / "coffee.jpg", "-m", PICTURES / "coffee_masks.png", "-o", tmp_path / "a.glb")
    assert "Toys are made of nothing." in run(*arguments, "--system", "toy", "--device", "cpu")
    assert [item.name for item in load_glb(tmp_path / "a.glb").objects] == ["object_1", "object_2", "object_3"]
    assert read_manifest(tmp_path / "a.json").settings.system == "toy"
    assert "identical" in run("replay", tmp_path / "a.json")
    with pytest.raises(InputError, match="toy cannot make single objects anew"):
        run("reroll", tmp_path / "a.json", "object_1", "-o", tmp_path / "b.glb")
    assert isinstance(load("toy"), System)


def test_it_is_listed() -> None:
    assert "toy: cubes in a row" in run("evaluate", "--list")
    (row,) = [row for row in needs() if row.name == "toy"]
    assert [record.name for record in row.networks] == ["dinov2-vitl14-reg"]
    with pytest.raises(InputError, match=r"Expected a system out of .*retrieval, poisson, toy, got 'toys'"):
        registry.find_system("toys")


def test_it_is_evaluated(tmp_path: Path) -> None:
    save_source_folder(tmp_path / "scenes" / "one", room(2))
    result = evaluate_system(
        open_for_evaluation("toy"), tmp_path / "scenes", QUICK, work=tmp_path / "work", pictures=False
    )
    assert result.system == "toy"
    assert [record["status"] for record in result.records] == ["scored"]


def test_it_is_trained_by_a_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "toy.toml"
    recipe.write_text('task = "toy_line"\n[train]\nmax_steps = 2\nbatch_size = 2\nworkers = 0\n')
    changes = ["log.every=1", "log.tensorboard=false"]
    result = trainer_of(find_recipe(str(recipe), changes), tmp_path, tmp_path / "run", device="cpu").fit()
    assert result.weights[0].is_file()


@pytest.mark.parametrize("spec", registry.SPECS, ids=lambda spec: spec.name)
def test_everything_that_a_spec_names_exists(spec) -> None:
    for name in (spec.open, spec.mini, *spec.tasks.values()):
        assert not name or callable(imported(name))
    assert set(spec.networks) <= {record.name for row in needs() for record in row.networks}


def test_systems_that_are_not_built_yet_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    announced = replace(SPEC, name="announced", open="")
    monkeypatch.setattr(registry, "SPECS", (*registry.SPECS, announced))
    with pytest.raises(InputError, match="'announced' but cannot use them yet; use scenegen, iscene"):
        load("announced")
