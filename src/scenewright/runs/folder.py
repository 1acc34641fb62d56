"""A folder of photographs with masks to a folder of scenes.

    FOLDER -> pair_photographs -> generate_folder: NAME.glb, NAME_comparison.png, NAME.json for each NAME.jpg

The weights are loaded once. A photograph that cannot be used is named and the run goes on; scenes that are there
already are kept, so that a run that was stopped goes on where it was.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from scenewright.errors import InputError, ScenewrightError, is_out_of_memory
from scenewright.io.atomic import check_writable, tidy
from scenewright.io.images import PICTURE_SUFFIXES
from scenewright.progress import SILENT, Progress
from scenewright.runs.generate import Run, load_system, run, save_run
from scenewright.runs.inputs import Inputs, read_inputs
from scenewright.runs.manifest import GenerateSettings, read_manifest
from scenewright.weights.hub import sha256_of

__all__ = ["Outcome", "Photograph", "generate_folder", "pair_photographs", "unread_pictures"]

_MASK_MARKS = ("_masks", "_mask")
# In the order of preference; "" is a folder.
_MASK_SUFFIXES = (".png", ".webp", ".bmp", ".tif", ".tiff", ".npy", ".npz", ".json", ".xml", "")
_UNREAD_SUFFIXES = (
    *(".jp2", ".j2k", ".jxl", ".psd", ".tga", ".svg", ".pdf", ".eps"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
)
# Of the settings, what may differ between a scene and the run that finds it: it says how, not what.
_IRRELEVANT = ("device", "dtype", "max_memory_bytes", "offline")


@dataclass(frozen=True)
class Photograph:
    """A picture file and where its masks are: a path, "auto", or None where none were found."""

    path: Path
    masks: str | None

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Outcome:
    """The outcome of one photograph.

    Attributes:
        target: the scene file, there unless the photograph failed.
        reason: why it failed; of a scene that was kept, how it differs from the settings, or "".
        run, inputs: of a scene that was made.
    """

    photograph: Photograph
    target: Path
    status: Literal["made", "kept", "failed"]
    reason: str = ""
    run: Run | None = None
    inputs: Inputs | None = None


def pair_photographs(folder: Path, masks: str | None = None) -> list[Photograph]:
    """The photographs of a folder, by name, each with its masks.

    Args:
        masks: None looks beside the photograph for NAME_masks (a picture, .json, .xml, .npy, .npz or a folder). Else a
            folder in which masks are called NAME or NAME_masks, a COCO or CVAT file that annotates all photographs,
            or "auto".

    Raises:
        InputError: there is no photograph, two have the same name, or `masks` is none of the above.
    """
    files = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    pictures = [path for path in files if path.name[0] != "." and not path.stem.lower().endswith(_MASK_MARKS)]
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
    if given.suffix.lower() in (".json", ".xml") and given.is_file():
        return [Photograph(path, str(given.absolute())) for path in pictures]
    raise InputError(
        "Expected --masks for a folder of photographs to be a folder of masks, a COCO .json or a CVAT .xml, "
        f"got '{masks}'."
    )


def unread_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder that are in no format that is read; they are left out."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _UNREAD_SUFFIXES and path.name[0] != ".")


def generate_folder(
    photographs: Sequence[Photograph],
    settings: GenerateSettings,
    out: Path,
    *,
    overwrite: bool = False,
    on_start: Callable[[Photograph], None] = lambda photograph: None,
    progress: Progress = SILENT,
) -> Iterator[Outcome]:
    """Makes every scene, one after the other; yields what became of each photograph.

    Args:
        settings: of every scene; its picture and masks are replaced.
        out: an existing folder.
        on_start: called before each photograph.

    Raises:
        ScenewrightError: the weights cannot be loaded.
    """
    system = None
    for photograph in photographs:
        on_start(photograph)
        target, comparison = out / f"{photograph.name}.glb", out / f"{photograph.name}_comparison.png"
        own = replace(settings, image=str(photograph.path.absolute()), masks=(photograph.masks or "",), camera=None)
        if not overwrite and (difference := _difference_to_existing(target, own)) is not None:
            tidy(target, comparison, target.with_suffix(".json"))
            yield Outcome(photograph, target, "kept", reason=difference)
            continue
        system = system or load_system(settings, progress)
        try:
            if photograph.masks is None:
                raise InputError(f"No masks were found: expected {photograph.name}_masks.png, .json or a folder.")
            check_writable(target, comparison, target.with_suffix(".json"))
            inputs = read_inputs(own)
            result = run(own, inputs, system=system, progress=progress)
            progress.stage("draw")
            save_run(result, target, comparison=comparison, inputs=inputs)
        except Exception as error:
            if not isinstance(error, ScenewrightError) and not is_out_of_memory(error):
                raise
            reason = (str(error) or "not enough memory").splitlines()[0]
            yield Outcome(photograph, target, "failed", reason=reason)
        else:
            yield Outcome(photograph, target, "made", run=result, inputs=inputs)


def _masks_named(folder: Path, name: str, marks: tuple[str, ...]) -> str | None:
    """The masks in `folder` of the picture called `name`, whichever letters are capitals."""
    present = {path.name.lower(): path for path in sorted(folder.iterdir(), reverse=True)}
    for suffix in _MASK_SUFFIXES:
        for mark in marks:
            path = present.get(f"{name}{mark}{suffix}".lower())
            if path is not None and (path.is_file() if suffix else path.is_dir()):
                return str(path.absolute())
    return None


def _difference_to_existing(target: Path, wanted: GenerateSettings) -> str | None:
    """None where the scene has to be made; else how the existing scene differs from the settings, or ""."""
    manifest_path = target.with_suffix(".json")  # written last, so that a scene with it is whole
    if not (target.is_file() and manifest_path.is_file()):
        return None
    try:
        there = read_manifest(manifest_path)
    except InputError:
        return None
    if there.scene_sha256 != sha256_of(target):  # of another run, or changed since
        return None
    differing = [
        field.name
        for field in fields(GenerateSettings)
        if field.name not in _IRRELEVANT and getattr(there.settings, field.name) != getattr(wanted, field.name)
    ]
    if differing:
        return f"it was made with another {', '.join(differing)}"
    return "" if there.image_sha256 == sha256_of(Path(wanted.image)) else "its photograph changed since"
