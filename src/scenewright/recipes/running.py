"""From a recipe to a trainer: finds the recipe, builds its task, opens its data."""

import logging
from collections.abc import Iterable
from pathlib import Path

import torch

from scenewright.errors import InputError
from scenewright.files import reason_of
from scenewright.recipes import RECIPES_FOLDER, recipe_names
from scenewright.recipes.tasks import task_kind
from scenewright.training.loading import derived_seed
from scenewright.training.recipe import Recipe, read_recipe
from scenewright.training.starting_point import file_digest
from scenewright.training.task import Task
from scenewright.training.trainer import Trainer

__all__ = ["build_task", "find_recipe", "trainer_of"]

logger = logging.getLogger(__name__)


def find_recipe(name: str, changes: Iterable[str] = ()) -> Recipe:
    """The shipped recipe of that name, or the recipe in that file.

    Raises:
        InputError: there is neither, or it cannot be used.
    """
    if name in recipe_names():
        return read_recipe(RECIPES_FOLDER / f"{name}.toml", changes)
    if not Path(name).is_file():
        raise InputError(f"Expected a recipe file or one of {', '.join(recipe_names())}; got '{name}'.")
    return read_recipe(name, changes)


def build_task(recipe: Recipe, seed: int = 0) -> Task:
    """The recipe's task with a network initialised from the seed; under the meta device, one without memory.

    Raises:
        InputError: the task or an argument in [model] is unknown.
    """
    torch.manual_seed(derived_seed(seed, 7))
    try:
        return task_kind(recipe.task).build(**recipe.model)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"[model] does not fit the task '{recipe.task}': {_without_function(error)}.") from error


def _without_function(error: Exception) -> str:
    """The reason without the function of ours that Python names before what it got."""
    return reason_of(error).rpartition("() ")[2]


def trainer_of(recipe: Recipe, data: str | Path, out: str | Path, *, seed: int = 0, device: str = "auto") -> Trainer:
    """A trainer that is ready to `fit`.

    Raises:
        InputError: the recipe or its data cannot be used.
    """
    folder = Path(data)
    if not folder.exists():
        raise InputError(f"The training data '{folder}' do not exist; make them first (docs/training.md).")
    try:
        train_set, validation = task_kind(recipe.task).open_data(folder, **recipe.data)
    except TypeError as error:
        raise InputError(f"[data] does not fit the task '{recipe.task}': {_without_function(error)}.") from error
    identity = recipe.identity
    if recipe.run.lora.rank and recipe.run.train.init_from:
        # Low-rank checkpoints hold updates of these very weights and nothing else.
        identity["init_from_sha256"] = file_digest(recipe.run.train.init_from)
    task = build_task(recipe, seed)
    return Trainer(task, train_set, out, recipe.run, validation=validation, identity=identity, seed=seed, device=device)
