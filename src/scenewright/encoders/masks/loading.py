"""`load_masks`: object masks from whatever files people have.

| given | read as |
|---|---|
| a picture with a value or colour per object | one mask per value (`label_picture`) |
| a picture with transparency | one mask: its opaque part |
| a folder, or several pictures | one mask per file: black and white, or a cut-out (`folder`) |
| a `.json` file | COCO annotations (`coco`), or LabelMe's (`annotations`) |
| an `.xml` file | CVAT's annotations (`annotations`) |
| an `.npy` or `.npz` file | labels or masks (`arrays`) |
"""

from collections.abc import Sequence
from pathlib import Path

from scenewright.encoders.masks.annotations import is_labelme, read_cvat, read_labelme
from scenewright.encoders.masks.arrays import read_mask_arrays
from scenewright.encoders.masks.coco import read_coco
from scenewright.encoders.masks.folder import mask_files, read_mask_files
from scenewright.encoders.masks.label_picture import read_label_picture
from scenewright.encoders.masks.object_masks import MOST_MASKS, Frame, checked_masks
from scenewright.errors import InputError
from scenewright.files import allow_also, read_json, reading
from scenewright.io.images import StoredPicture
from scenewright.types import ObjectMasks

__all__ = ["load_masks"]


def load_masks(
    source: str | Path | Sequence[str | Path],
    image_size: tuple[int, int] | None = None,
    *,
    image_name: str | None = None,
    stored: StoredPicture | None = None,
) -> ObjectMasks:
    """Masks of the objects of one picture, at the picture's size; what was repaired is in `warnings`.

    Args:
        source: a label picture, a folder, a COCO file, or several mask pictures.
        image_size: (height, width) of the picture; None keeps the masks' own size.
        image_name: file name of the picture, for files that annotate several.
        stored: how the picture lies in its file (`stored_picture`): masks of a turned one are turned with it.

    Raises:
        InputError: a file is missing or cannot be read, or no usable mask is left.
    """
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        paths = mask_files(path) if path.is_dir() else [path]
        named = f"'{path}'"
    else:
        paths = [Path(item).expanduser() for item in source]
        named = f"the {len(paths)} given files"
    if not paths:
        raise InputError("Expected at least one mask file, got none.")
    with reading(named, "masks", "give a label picture, a folder of masks or a COCO file"):
        # A mask is as large as its picture, however small its file.
        allow_also(0 if image_size is None else image_size[0] * image_size[1])
        return _read(paths, Frame(image_size, stored), image_name, named)


def _read(paths: Sequence[Path], frame: Frame, image_name: str | None, named: str) -> ObjectMasks:
    if len(paths) > MOST_MASKS:
        raise InputError(f"Expected at most {MOST_MASKS:,} masks in {named}, got {len(paths):,} files.")
    notes: list[str] = []
    suffix = paths[0].suffix.lower()
    if len(paths) > 1:
        found, notes = read_mask_files(paths, frame)
    elif suffix == ".json" and _is_labelme(paths[0]):
        found, notes = read_labelme(paths[0], frame)
    elif suffix == ".json":
        found, notes = read_coco(paths[0], frame, image_name=image_name)
    elif suffix == ".xml":
        found, notes = read_cvat(paths[0], frame, image_name=image_name)
    elif suffix in (".npy", ".npz"):
        found, notes = read_mask_arrays(paths[0], frame)
    else:
        found, notes = read_label_picture(paths[0], frame)
    return checked_masks(found, frame, source=named, warnings=notes)


def _is_labelme(path: Path) -> bool:
    with reading(path, "a file of annotations", "export it again as COCO or LabelMe JSON"):
        return is_labelme(read_json(path, object))
