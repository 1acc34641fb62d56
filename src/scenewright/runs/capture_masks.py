"""Masks of a capture's pictures, in any form that one picture can have them, or by SAM.

| given | read as |
|---|---|
| `auto` | SAM segments everything that looks like an object, in the pictures that the scene is made from |
| a folder | an entry per picture, of the picture's name or path: a grey picture, or any form that `find_masks` reads |
| a COCO `.json` | its annotations of each picture |

Masks are drawn on photographs as they were taken; here they become what the undistorted camera sees.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import Shaped
from PIL import Image

from scenewright.encoders.masks import find_masks
from scenewright.encoders.masks.coco import coco_pictures
from scenewright.encoders.masks.finding import AUTOMATIC, open_sam
from scenewright.errors import InputError
from scenewright.io.images import load_image, load_label_image
from scenewright.progress import SILENT, Progress
from scenewright.systems.genrecon.captures import PosedPicture
from scenewright.systems.genrecon.instances import LabelledView
from scenewright.systems.genrecon.system import labelled_view
from scenewright.types import ObjectMasks

__all__ = ["labelled_views"]

_COCO = ".json"


def labelled_views(
    pictures: Sequence[PosedPicture],
    source: str | Path,
    *,
    chosen: Sequence[int] = (),
    photographs: Path | None = None,
    room_labels: int | None = None,
    segmenter: str | None = None,
    device: torch.device | str = "cpu",
    offline: bool = False,
    progress: Progress = SILENT,
) -> tuple[LabelledView, ...]:
    """The pictures that have masks, with them.

    Args:
        chosen: indices of the pictures that SAM looks at, for `auto`.
        photographs: folder of the pictures as they were taken, where those of the capture are smaller copies.
        room_labels: grey levels from this on are the room.
        segmenter: folder or hub repository of SAM.
        offline: never download the segmenter.

    Raises:
        InputError: a mask cannot be read, none belongs to a picture, or nothing was found.
        WeightsError: SAM is needed and cannot be read.
    """
    if source == AUTOMATIC:
        sam = open_sam(segmenter, device=device, offline=offline)
        return _automatic([pictures[index] for index in chosen], sam.everything, progress)
    source = Path(source).expanduser()
    if source.suffix.lower() == _COCO and source.is_file():
        listed = coco_pictures(source)
        found = {key: source for entry in listed for key in (entry.stem, entry.parts[-2:])}
    elif source.is_dir():
        found = _entries(source)
    else:
        raise InputError(
            f"Masks of a capture are a folder with an entry under the name of each picture, a COCO .json, or auto; "
            f"'{source}' is none."
        )
    masks_of = partial(find_masks, segmenter=segmenter, device=device, offline=offline)
    views = []
    advance = progress.stage("masks")
    names = [PurePosixPath(picture.name.replace("\\", "/")) for picture in pictures]
    same = Counter(name.stem for name in names)
    beside = cache(_entries)
    for done, (picture, name) in enumerate(zip(pictures, names, strict=True), 1):
        # Folders of several cameras have pictures of one name; their masks lie in folders of the same names.
        is_inside = not name.is_absolute() and ".." not in name.parts
        own = beside(source / name.parent).get(name.stem) if is_inside else None
        own = own or found.get(name.parts[-2:] if same[name.stem] > 1 else name.stem)
        if own is not None:
            views.append(_read(own, picture, photographs, room_labels, masks_of))
        advance(done, len(pictures))
    if not views:
        raise InputError(
            f"No entry of '{source}' has the name of a picture of the capture; name the masks as those are."
        )
    return tuple(views)


def _entries(folder: Path) -> dict[str | tuple[str, ...], Path]:
    """The content of a folder by names without endings; nothing where there is no such folder."""
    if not folder.is_dir():
        return {}
    return {path.stem if path.is_file() else path.name: path for path in sorted(folder.iterdir())}


def _automatic(
    pictures: Sequence[PosedPicture], everything: Callable[[Image.Image], ObjectMasks], progress: Progress
) -> tuple[LabelledView, ...]:
    advance, views = progress.stage("masks"), []
    for done, picture in enumerate(pictures, 1):
        with suppress(InputError):  # nothing that looks like an object
            views.append(_unnamed(labelled_view(picture.camera, everything(picture.read()))))
        advance(done, len(pictures))
    if not views:
        raise InputError("SAM found no object in any picture; give masks, or leave --masks out.")
    return tuple(views)


def _read(
    path: Path,
    picture: PosedPicture,
    photographs: Path | None,
    room_labels: int | None,
    masks_of: Callable[..., ObjectMasks],
) -> LabelledView:
    grey = _grey_levels(path) if path.is_file() else None
    if grey is not None:
        if room_labels is not None:
            grey = np.where(grey >= room_labels, 0, grey)
        return _as_seen(picture, grey, {int(value): f"object_{value}" for value in np.unique(grey) if value > 0}, path)
    image = _as_taken(picture, photographs)
    name = picture.name if photographs is None else _original(picture, photographs).name
    view = labelled_view(picture.camera, masks_of(image, path, image_name=name))
    seen = _as_seen(picture, view.labels.numpy(), view.names or {}, path)
    # Names of COCO are kinds, those of prompts numbers, unless the user gave them: masks are matched by what they show.
    return _unnamed(seen) if path.suffix.lower() == _COCO else seen


def _as_seen(
    picture: PosedPicture, labels: Shaped[np.ndarray, "height width"], names: Mapping[int, str], path: Path
) -> LabelledView:
    try:
        seen = picture.labels_as_seen(labels.astype(np.int64))
    except InputError as error:
        raise InputError(f"Masks '{path}' do not fit their picture: {error}") from error
    return LabelledView(picture.camera, torch.from_numpy(seen), names)


def _unnamed(view: LabelledView) -> LabelledView:
    return LabelledView(view.camera, view.labels)


def _as_taken(picture: PosedPicture, photographs: Path | None) -> Image.Image:
    """The photograph before it was made smaller and undistorted."""
    if picture.image is not None:
        return picture.image
    return load_image(picture.path if photographs is None else _original(picture, photographs))


def _original(picture: PosedPicture, photographs: Path) -> Path:
    stem = Path(picture.name).stem
    found = sorted(path for path in photographs.iterdir() if path.stem == stem and path.is_file())
    if not found:
        raise InputError(f"Photograph '{stem}' is no longer in '{photographs}'; put it back.")
    return found[0]


def _grey_levels(path: Path) -> np.ndarray | None:
    """The values of a grey or palette picture; None for colours and other files."""
    try:
        image = load_label_image(path)
    except InputError:
        return None
    return np.asarray(image) if image.mode in ("L", "P", "I", "I;16", "1") else None
