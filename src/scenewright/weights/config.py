"""Published JSON configurations become frozen dataclasses here, and nothing unknown passes.

A published model is `{"name": class name, "args": {constructor arguments}}`. Arguments that only steer the published
training code or its precision are dropped knowingly: they are listed once in `IRRELEVANT_ARGUMENTS`.
"""

import dataclasses
import difflib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from scenewright.errors import InputError, WeightsError

__all__ = ["IRRELEVANT_ARGUMENTS", "config_from_json", "read_config", "read_pipeline_arguments"]

IRRELEVANT_ARGUMENTS = frozenset(
    {
        "dtype",  # the caller chooses the precision when loading
        "initialization",  # of training from scratch
        "use_checkpoint",  # activation checkpointing is a training option
        "use_fp16",  # the caller chooses the precision when loading
    }
)

C = TypeVar("C")


def config_from_json(
    config_class: type[C], arguments: Mapping[str, Any], *, irrelevant: Collection[str] = IRRELEVANT_ARGUMENTS
) -> C:
    """The dataclass `config_class` filled from published constructor arguments; lists become tuples.

    A field whose default is itself a dataclass takes a nested mapping. Names in `irrelevant` are dropped unless the
    dataclass has a field of that name.

    Raises:
        InputError: an argument is unknown (the nearest field is suggested), or a required one is missing.
    """
    fields = {field.name: field for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    unknown = [name for name in arguments if name not in fields and name not in irrelevant]
    if unknown:
        nearest = difflib.get_close_matches(unknown[0], fields, n=1)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"known are {', '.join(sorted(fields))}."
        raise InputError(f"Unknown argument '{unknown[0]}' for {config_class.__name__}; {hint}")
    values = {name: _value(fields[name], value) for name, value in arguments.items() if name in fields}
    required = {
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    if lacking := sorted(required - values.keys()):
        raise InputError(f"{config_class.__name__} needs '{lacking[0]}', which the configuration does not give.")
    return config_class(**values)


def _value(field: dataclasses.Field[Any], value: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
        return config_from_json(field.type, value)
    if field.type is float and isinstance(value, int):
        return float(value)  # JSON writes a whole number without its point
    return _frozen(value)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def read_config(path: str | Path) -> tuple[str, dict[str, Any]]:
    """Class name and constructor arguments of a published model's JSON file.

    Raises:
        InputError: the file is missing, is not JSON, or has another form.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"Configuration '{path}' was not found; it belongs beside the weights.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Configuration '{path}' is not readable JSON ({error}).") from error
    if (
        not isinstance(content, dict)
        or not isinstance(content.get("name"), str)
        or not isinstance(content.get("args"), dict)
    ):
        raise InputError(f'Expected {{"name": class, "args": {{...}}}} in \'{path}\'.')
    return content["name"], content["args"]


def read_pipeline_arguments(path: Path, parts: Collection[str], kind: str) -> dict[str, Any]:
    """Arguments of a published pipeline file, which name its networks, samplers and statistics.

    Args:
        parts: keys that must be there.
        kind: what such a pipeline is called, for the message where one is not.

    Raises:
        WeightsError: the file is unreadable, is not JSON of that form, or lacks a part.
    """
    try:
        arguments = json.loads(path.read_text(encoding="utf-8"))["args"]
        missing = set(parts) - set(arguments)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise WeightsError(f"'{path}' is not a pipeline description ({error}); download it again.") from error
    if missing:
        raise WeightsError(f"'{path}' lacks '{sorted(missing)[0]}', which {kind} has.")
    return arguments
