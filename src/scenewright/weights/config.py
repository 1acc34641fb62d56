"""Published JSON configurations become frozen dataclasses here, and nothing unknown passes.

A published model is `{"name": class name, "args": {constructor arguments}}`. Arguments that only steer the published
training code or its precision are dropped knowingly: they are listed once in `IRRELEVANT_ARGUMENTS`.
"""

import dataclasses
import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from scenewright.errors import InputError, WeightsError
from scenewright.files import checked, read_json, reader, reading, reason_of

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
_MAX_BYTES = 16 << 20
_MOST_BLOCKS, _MOST_CHANNELS, _MOST_LEVELS = 512, 1 << 16, 64


@dataclasses.dataclass(frozen=True)
class _NetworkFile:
    name: str
    args: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _PipelineFile:
    args: dict[str, Any]


def config_from_json(
    config_class: type[C],
    arguments: Mapping[str, Any],
    *,
    irrelevant: Collection[str] = IRRELEVANT_ARGUMENTS,
    bounded: bool = True,
) -> C:
    """The dataclass `config_class` filled from published constructor arguments; lists become tuples.

    A field whose default is itself a dataclass takes a nested mapping. Names in `irrelevant` are dropped unless the
    dataclass has a field of that name. With `bounded`, whole numbers are sizes of a network and cannot be huge.

    Raises:
        InputError: an argument is unknown (the nearest field is suggested), of another type or out of bounds, or a
            required one is missing.
    """
    fields = {field.name: field for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    unknown = [name for name in arguments if name not in fields and name not in irrelevant]
    if unknown:
        nearest = difflib.get_close_matches(unknown[0], fields, n=1)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"known are {', '.join(sorted(fields))}."
        raise InputError(f"Unknown argument '{unknown[0][:100]}' for {config_class.__name__}; {hint}")
    values = {name: _value(fields[name], value, bounded) for name, value in arguments.items() if name in fields}
    required = {
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    if lacking := sorted(required - values.keys()):
        raise InputError(f"{config_class.__name__} needs '{lacking[0]}', which the configuration does not give.")
    if bounded:
        for name, value in values.items():
            _check_size(name, value)
    try:
        return checked(values, config_class)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{config_class.__name__} cannot be made of these arguments ({reason_of(error)}).") from error


def _value(field: dataclasses.Field[Any], value: Any, bounded: bool) -> Any:
    if isinstance(value, Mapping) and isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
        return vars(config_from_json(field.type, value, bounded=bounded))  # names are checked here, types all at once
    return value


def _check_size(name: str, value: Any) -> None:
    """Refuses sizes that no network has: building one takes time for each block, whatever its weights."""
    most = _MOST_BLOCKS if "block" in name else _MOST_CHANNELS
    numbers = value if isinstance(value, list | tuple) else [value]
    whole = [number for number in numbers if isinstance(number, int) and not isinstance(number, bool)]
    if len(numbers) > _MOST_LEVELS or min(whole, default=0) < 0 or max(whole, default=0) > most:
        raise InputError(f"Expected {name} from 0 to {most}, got {str(value)[:80]}.")


@reader('a network\'s configuration {"name": class, "args": {...}}', "it belongs beside the weights: download it again")
def read_config(path: str | Path) -> tuple[str, dict[str, Any]]:
    """Class name and constructor arguments of a published model's JSON file.

    Raises:
        InputError: the file is missing, is not JSON, or has another form.
    """
    content = read_json(path, _NetworkFile, max_bytes=_MAX_BYTES)
    return content.name, content.args


def read_pipeline_arguments(path: Path, parts: Collection[str], kind: str) -> dict[str, Any]:
    """Arguments of a published pipeline file, which name its networks, samplers and statistics.

    Args:
        parts: keys that must be there.
        kind: what such a pipeline is called, for the message where one is not.

    Raises:
        WeightsError: the file is unreadable, is not JSON of that form, or lacks a part.
    """
    with reading(path, "a pipeline description", "download it again", error=WeightsError):
        arguments = read_json(path, _PipelineFile, max_bytes=_MAX_BYTES).args
        models = arguments.get("models", {})
        if not isinstance(models, dict) or not all(isinstance(stem, str) and stem for stem in models.values()):
            raise ValueError("'models' should name a file for each network")
    if missing := set(parts) - set(arguments):
        raise WeightsError(f"'{path}' lacks '{sorted(missing)[0]}', which {kind} has.")
    return arguments
