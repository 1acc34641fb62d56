"""Makes a recipe into a folder of shards, with workers, restartable at shard granularity.

A folder holds `data_recipe.json`, the shards with their indices, `ATTRIBUTION.csv` for every model that appears, and
`sheet.jpg` with a look at what was made. Whole shards are kept when the same recipe is run again; missing or cut ones
are made again. Equal recipes give equal bytes, whatever the number of workers.
"""

import functools
import io
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scenewright.data.importing import attribution_csv
from scenewright.data.parametric.families import OWN_CREDIT
from scenewright.data.recipes import DataRecipe
from scenewright.data.samples import sample_of
from scenewright.data.shards import ShardReader, is_whole, shard_paths, write_shard
from scenewright.data.stream import SceneStream
from scenewright.errors import InputError
from scenewright.files import json_value
from scenewright.io.atomic import make_folder, write_bytes
from scenewright.io.images import decode_image
from scenewright.jobs import run
from scenewright.progress import Advance, ignore
from scenewright.rendering.sheet import picture_sheet

__all__ = ["DataSummary", "make_data", "make_data_shard", "make_shard"]

logger = logging.getLogger(__name__)
_SHEET_ROWS, _SHEET_COLUMNS = 4, 6


@dataclass(frozen=True)
class DataSummary:
    """Scenes in all shards, shards made by this run, and shards that were there before."""

    scenes: int
    shards_made: int
    shards_kept: int


def make_data(recipe: DataRecipe, out: str | Path, *, workers: int = 1, progress: Advance = ignore) -> DataSummary:
    """Make every missing shard of a recipe below `out`.

    Args:
        workers: processes; with 1 the work happens in this one.
        progress: receives (shards ready, shards in all).

    Raises:
        InputError: `out` holds another recipe's data, cannot be written, or a pack cannot be read.
    """
    stream = SceneStream(recipe)
    _ = stream.selector  # a pack that is missing or damaged shows before any work starts
    out = _recipe_folder(recipe, out)
    todo = [number for number in range(recipe.num_shards) if not is_whole(out, number)]
    num_kept = recipe.num_shards - len(todo)
    progress(num_kept, recipe.num_shards)
    run(
        # Several processes open the packs themselves.
        partial(_make_missing, stream if workers == 1 else SceneStream(recipe), out),
        todo,
        workers=workers,
        progress=lambda done, _: progress(num_kept + done, recipe.num_shards),
    )
    reader = ShardReader(out)
    _write_attribution(reader, stream, out)
    _write_sheet(reader, out)
    return DataSummary(len(reader), len(todo), num_kept)


def make_data_shard(recipe: DataRecipe, out: str | Path, number: int) -> list[str]:
    """One shard of `make_data`, which later keeps it; returns the names of its files in `out`.

    Raises:
        InputError: as of `make_data`, or the recipe has no such shard.
    """
    if number >= recipe.num_shards:
        raise InputError(f"The recipe has {recipe.num_shards} shards, so there is no shard {number}.")
    out = _recipe_folder(recipe, out)
    _make_missing(_stream(recipe), out, number)
    return [path.name for path in shard_paths(out, number)]


def make_shard(stream: SceneStream, out: Path, number: int) -> None:
    """One shard of a stream."""
    recipe = stream.recipe
    first = number * recipe.scenes_per_shard
    samples = []
    for index in range(first, min(first + recipe.scenes_per_shard, recipe.count)):
        scene = stream.scene(index)
        if scene is None:
            logger.warning("Scene %d was left out: no attempt obeyed the visibility rules.", index)
            continue
        samples.append(sample_of(scene, index, recipe))
    write_shard(out, number, samples)


@functools.lru_cache(1)
def _stream(recipe: DataRecipe) -> SceneStream:
    """The stream of the recipe that this process works on, with its packs open."""
    return SceneStream(recipe)


def _recipe_folder(recipe: DataRecipe, out: str | Path) -> Path:
    """The folder for a recipe's data, with the note that says so."""
    out = make_folder(out)
    note = out / "data_recipe.json"
    if note.exists() and note.read_text() != recipe.to_json():
        raise InputError(
            f"'{out}' holds data of another recipe (see data_recipe.json); choose another folder or empty it."
        )
    write_bytes(note, recipe.to_json().encode())
    return out


def _make_missing(stream: SceneStream, out: Path, number: int) -> None:
    """As `make_shard`, unless a process that was killed later has made it."""
    if not is_whole(out, number):
        make_shard(stream, out, number)


def _write_attribution(reader: ShardReader, stream: SceneStream, out: Path) -> None:
    rows = stream.selector.library.rows
    used = {}
    for sample in reader:
        for item in json_value(sample.files["scene.json"], dict)["objects"]:
            row = rows.get(item["model_id"])
            if row is not None:
                used[row.id] = (row.id, row.name, row.credit)
    own = ("param_*", "parametric families", OWN_CREDIT)
    write_bytes(out / "ATTRIBUTION.csv", attribution_csv([*used.values(), own]).encode())


def _write_sheet(reader: ShardReader, out: Path) -> None:
    """Evenly spaced samples, one picture each."""
    if not reader.keys:
        return
    count = min(_SHEET_ROWS * _SHEET_COLUMNS, len(reader))
    pictures = []
    for index in range(count):
        sample = reader[reader.keys[index * len(reader) // count]]
        name = min(name for name in sample.files if name.endswith("rgb.jpg"))
        pictures.append(decode_image(sample.files[name], name=name).convert("RGB"))
    rows = [pictures[start : start + _SHEET_COLUMNS] for start in range(0, count, _SHEET_COLUMNS)]
    buffer = io.BytesIO()
    picture_sheet(rows, cell=256).save(buffer, "JPEG", quality=88)
    write_bytes(out / "sheet.jpg", buffer.getvalue())
