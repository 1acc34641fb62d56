"""A folder of photographs with masks to a folder of scenes: what `scenewright generate FOLDER` does.

    FOLDER -> pair_photographs -> generate_folder: NAME.glb, NAME_comparison.png, NAME.json for each NAME.jpg

The weights are loaded once. A photograph that cannot be used is named and the run goes on; scenes that are there
already are kept, so that a run that was stopped goes on where it was.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scenewright.encoders.masks.folder import PICTURE_SUFFIXES
from scenewright.errors import InputError, ScenewrightError
from scenewright.runs.generate import load_system, read_inputs, run, save_run
from scenewright.runs.manifest import GenerateSettings, read_manifest
from scenewright.weights.hub import sha256_of

__all__ = ["Photograph", "generate_folder", "pair_photographs"]

_MASK_MARKS = ("_masks", "_mask")
# In the order of preference; "" is a folder.
_MASK_SUFFIXES = (".png", ".webp", ".bmp", ".json", "")
# Of the settings, what may differ between a scene and the run that finds it: it says how, not what.
_IRRELEVANT = ("device", "dtype", "max_memory_bytes")


@dataclass(frozen=True)
class Photograph:
    """A picture file and where its masks are: a path, "auto", or None where none were found."""

    path: Path
    masks: str | None

    @property
    def name(self) -> str:
        return self.path.stem


def pair_photographs(folder: Path, masks: str | None = None) -> list[Photograph]:
    """The photographs of a folder, by name, each with its masks.

    Args:
        masks: None looks beside the photograph for NAME_masks (.png, .webp, .bmp, .json or a folder). Else a folder in
            which masks are called NAME or NAME_masks, a COCO file that annotates all photographs, or "auto".

    Raises:
        InputError: there is no photograph, two have the same name, or `masks` is none of the above.
    """
    files = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    pictures = [path for path in files if path.name[0] != "." and not path.stem.endswith(_MASK_MARKS)]
    pictures.sort(key=lambda path: (path.stem.lower(), path.name))
    if not pictures:
        raise InputError(f"Expected photographs ({', '.join(PICTURE_SUFFIXES)}) in '{folder}', found none.")
    for first, second in pairwise(pictures):
        if first.stem.lower() == second.stem.lower():
            raise InputError(f"'{first.name}' and '{second.name}' would become the same scene; rename one of them.")
    if masks == "auto":
        return [Photograph(path, masks) for path in pictures]
    if masks is None:
        return [Photograph(path, _masks_named(folder, path.stem, _MASK_MARKS)) for path in pictures]
    given = Path(masks).expanduser()
    if given.is_dir():
        return [Photograph(path, _masks_named(given, path.stem, ("", *_MASK_MARKS))) for path in pictures]
    if given.suffix.lower() == ".json" and given.is_file():
        return [Photograph(path, str(given.absolute())) for path in pictures]
    raise InputError(
        f"Expected --masks for a folder of photographs to be a folder of masks or a COCO .json, got '{masks}'."
    )


def generate_folder(photographs: list[Photograph], settings: GenerateSettings, out: Path, *, overwrite: bool) -> int:
    """Makes every scene and says what came of it; returns how many photographs failed.

    Args:
        settings: of every scene; its picture and masks are replaced.
        out: an existing folder.

    Raises:
        ScenewrightError: the weights cannot be loaded.
    """
    made, kept, failed = 0, 0, []
    with _progress(len(photographs)) as (say, step, stage):
        system = None
        for photograph in photographs:
            step(photograph.path.name)
            target = out / f"{photograph.name}.glb"
            wanted = replace(
                settings, image=str(photograph.path.absolute()), masks=(photograph.masks or "",), camera=None
            )
            if not overwrite and (note := _there_already(target, wanted)) is not None:
                kept += 1
                if note:
                    say(f"kept {target.name}, although {note}; --overwrite makes it again")
                continue
            system = system or load_system(settings, lambda line: stage(line, 0.0))
            try:
                if photograph.masks is None:
                    raise InputError(f"No masks were found: expected {photograph.name}_masks.png, .json or a folder.")
                inputs = read_inputs(wanted)
                result = run(wanted, inputs, system=system, progress=stage)
                stage("draw", 0.0)
                save_run(result, target, comparison=out / f"{photograph.name}_comparison.png", inputs=inputs)
            except (ScenewrightError, MemoryError, torch.OutOfMemoryError) as error:
                failed.append(photograph.path.name)
                say(f"failed: {photograph.path.name}: {(str(error) or 'not enough memory').splitlines()[0]}")
                continue
            made += 1
            for line in (*inputs.warnings, *result.scene.notes):
                say(f"{photograph.path.name}: {line}")
            seconds = result.timings_s["generate"]
            say(f"wrote {target}: {len(result.scene.objects)} of {len(inputs.masks)} objects, {seconds:.1f} s")
    count = len(photographs)
    typer.echo(f"{count} photographs: {made} made, {kept} there already, {len(failed)} failed")
    if failed:
        typer.echo(f"failed: {', '.join(failed)}", err=True)
    return len(failed)


def _masks_named(folder: Path, name: str, marks: tuple[str, ...]) -> str | None:
    for suffix in _MASK_SUFFIXES:
        for mark in marks:
            path = folder / f"{name}{mark}{suffix}"
            if path.is_file() if suffix else path.is_dir():
                return str(path.absolute())
    return None


def _there_already(target: Path, wanted: GenerateSettings) -> str | None:
    """None where the scene has to be made; else what is different about the one that is there, or ""."""
    manifest_path = target.with_suffix(".json")  # written last, so that a scene with it is whole
    if not (target.is_file() and manifest_path.is_file()):
        return None
    try:
        there = read_manifest(manifest_path)
    except InputError:
        return None
    differing = [
        field.name
        for field in fields(GenerateSettings)
        if field.name not in _IRRELEVANT and getattr(there.settings, field.name) != getattr(wanted, field.name)
    ]
    if differing:
        return f"it was made with another {', '.join(differing)}"
    return "" if there.image_sha256 == sha256_of(Path(wanted.image)) else "its photograph changed since"


@contextmanager
def _progress(
    count: int,
) -> Iterator[tuple[Callable[[str], None], Callable[[str], None], Callable[[str, float], None]]]:
    """What prints a line above the bars, what begins the next photograph, and what shows its stages."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, soft_wrap=True), transient=True) as bar:
        photographs = bar.add_task("photographs", total=count)
        stages = bar.add_task("start", total=100)
        begun = 0

        def say(line: str) -> None:
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

        def step(name: str) -> None:
            nonlocal begun
            bar.update(photographs, description=name, completed=begun)
            begun += 1

        yield say, step, lambda stage, done: bar.update(stages, description=stage, completed=round(100 * done))
