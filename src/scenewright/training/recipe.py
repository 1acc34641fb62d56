"""Recipes: what to train, how and on what, in one short TOML file.

task = "structure_vae"      # a name of scenewright.recipes.tasks.tasks()
summary = "one line for people"
[model]                     # arguments of the task
[data]                      # arguments of its training set
[train] [optimizer] [ema] [clip] [lora] [log]     # scenewright.training.config
"""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from scenewright.errors import InputError
from scenewright.files import read_toml, reading
from scenewright.training.config import LoraConfig, RunConfig
from scenewright.weights.config import config_from_json

__all__ = ["Recipe", "parse_recipe", "read_recipe"]

_TABLES = tuple(item.name for item in fields(RunConfig))


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe; `model` and `data` are passed on to the task as they are."""

    task: str
    summary: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def identity(self) -> dict[str, Any]:
        """The part of a recipe that a checkpoint shares with every run that may resume it."""
        content = {"task": self.task, "model": dict(self.model), "lora": _lora_identity(self.run.lora)}
        return json.loads(json.dumps(content))


def read_recipe(path: str | Path, changes: Iterable[str] = ()) -> Recipe:
    """The recipe in a file, with `changes` like "train.batch_size=64" applied (values are TOML).

    Raises:
        InputError: the file is missing or not TOML, a key is unknown, or a value is out of range.
    """
    path = Path(path)
    with reading(path, "a recipe of training in TOML", "see docs/training.md"):
        content = read_toml(path)
        for change in changes:
            _apply(content, change)
        return parse_recipe(content, str(path))


def parse_recipe(content: Mapping[str, Any], source: str = "the recipe") -> Recipe:
    """The recipe in a parsed TOML document.

    Raises:
        InputError: a key is unknown, the task is missing, or a value has the wrong type or range.
    """
    known = ("task", "summary", "model", "data", *_TABLES)
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}."
            raise InputError(f"Unknown table or key '{key}' in {source}; {hint}")
    if not isinstance(content.get("task"), str):
        raise InputError(f'Expected task = "name" in {source}.')
    for name in ("model", "data", *_TABLES):
        if not isinstance(content.get(name, {}), Mapping):
            raise InputError(f"Expected [{name}] to be a table in {source}, got {str(content[name])[:80]}.")
        for key, value in content.get(name, {}).items():
            try:
                json.dumps(value)
            except TypeError as error:
                raise InputError(
                    f"'{key}' in [{name}] of {source} holds a date or a time; put it in quotes."
                ) from error
    tables = {name: content[name] for name in _TABLES if name in content}
    run = config_from_json(RunConfig, tables, irrelevant=(), bounded=False)
    return Recipe(
        content["task"], str(content.get("summary", "")), content.get("model", {}), content.get("data", {}), run
    )


def _apply(content: dict[str, Any], change: str) -> None:
    name, separator, value = change.partition("=")
    if not separator:
        raise InputError(f"Expected a change like train.batch_size=64, got '{change}'.")
    *tables, key = name.strip().split(".")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    table_content = content
    for table in tables:
        table_content = table_content.setdefault(table, {})
        if not isinstance(table_content, dict):
            raise InputError(f"'{table}' in '{change}' is not a table.")
    table_content[key] = parsed


def _lora_identity(lora: LoraConfig) -> dict[str, Any]:
    """Settings that were added later count only where they are used: runs from before them can be resumed."""
    later = {"trained": LoraConfig.trained, "lr": LoraConfig.lr}
    return {name: value for name, value in asdict(lora).items() if name not in later or value != later[name]}
