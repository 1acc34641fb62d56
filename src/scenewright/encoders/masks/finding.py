"""`find_masks`: the masks of a picture from any source a person may name, files or a segmenter.

| source | what happens |
|---|---|
| `"auto"` | SAM segments everything that looks like an object |
| a `.json` file with `boxes` or `points` | SAM segments what is marked; without it, the segmenter that ships |
| anything else | `load_masks` |
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from scenewright.encoders.masks.cut_out import CutOutSegmenter
from scenewright.encoders.masks.loading import load_masks
from scenewright.encoders.masks.prompts import holds_prompts, read_prompts
from scenewright.encoders.masks.sam import Segmenter, load_segmenter
from scenewright.encoders.records import CUT_OUT, SAM2_LARGE
from scenewright.errors import InputError
from scenewright.files import read_json, reading
from scenewright.io.images import stored_picture
from scenewright.types import ObjectMasks
from scenewright.weights.hub import cached_file

__all__ = ["AUTOMATIC", "CUT_OUT", "choose_segmenter", "find_masks", "is_prompt_file", "open_sam", "open_segmenter"]

AUTOMATIC = "auto"


def find_masks(
    image: Image.Image,
    source: str | Path | Sequence[str | Path],
    *,
    image_name: str | None = None,
    segmenter: str | Path | None = None,
    device: torch.device | str = "cpu",
    offline: bool = False,
) -> ObjectMasks:
    """Masks of the objects in `image`, at its size.

    Args:
        source: "auto", a file of boxes and points, or anything that `load_masks` reads.
        image_name: file name of the picture, for COCO files that annotate several.
        segmenter: folder or hub repository of SAM 2 or SAM 3, or `CUT_OUT`; None takes what `choose_segmenter` says.
            Read only where the source needs it.
        device: where the segmenter runs.
        offline: never download the segmenter.

    Raises:
        InputError: a file is missing or cannot be read, a prompt is outside the picture, or no mask is usable.
        WeightsError: the segmenter is needed and cannot be read.
    """
    if source == AUTOMATIC:
        return open_sam(segmenter, device=device, offline=offline).everything(image)
    if isinstance(source, (str, Path)) and is_prompt_file(Path(source).expanduser()):
        width, height = stored_picture(image).upright_size
        prompts = read_prompts(Path(source).expanduser()).checked(height, width)
        prompts = prompts.scaled(image.width / width, image.height / height)
        return open_segmenter(segmenter, device=device, offline=offline).from_prompts(image, prompts)
    return load_masks(source, (image.height, image.width), image_name=image_name, stored=stored_picture(image))


def choose_segmenter() -> str:
    """The segmenter of boxes and points where nobody names one: SAM 2 where it is on this machine, else `CUT_OUT`."""
    here = cached_file(SAM2_LARGE.repository, SAM2_LARGE.file)
    return CUT_OUT if here is None else SAM2_LARGE.repository


def open_segmenter(
    segmenter: str | Path | None = None, *, device: torch.device | str = "cpu", offline: bool = False
) -> Segmenter | CutOutSegmenter:
    """The segmenter of that name, ready for `from_prompts`; see `find_masks`.

    Raises:
        WeightsError: it cannot be read.
    """
    place = segmenter or choose_segmenter()
    if place == CUT_OUT:
        return CutOutSegmenter.shipped()
    return load_segmenter(place, device=device, offline=offline)


def open_sam(
    segmenter: str | Path | None = None, *, device: torch.device | str = "cpu", offline: bool = False
) -> Segmenter:
    """The segmenter of that name, or SAM 2, ready to find objects that nobody marked.

    Raises:
        InputError: it is `CUT_OUT`, which needs marks.
        WeightsError: it cannot be read.
    """
    if segmenter == CUT_OUT:
        raise InputError(f"The segmenter '{CUT_OUT}' needs boxes or points; mark the objects, or name a SAM.")
    return load_segmenter(segmenter or SAM2_LARGE.repository, device=device, offline=offline)


def is_prompt_file(path: Path) -> bool:
    """Whether masks come from a segmenter that the file prompts."""
    if path.suffix.lower() != ".json":
        return False
    try:
        with reading(path, "JSON", "save it again"):
            return holds_prompts(read_json(path, object))
    except InputError:
        return False  # load_masks says what is wrong with the file
