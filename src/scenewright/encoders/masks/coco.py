"""COCO annotation files: polygons, and run lengths in both their forms, decoded here.

A pixel is inside a polygon when its centre is (even-odd rule); an annotation's polygons are united. Run lengths go
down the columns and start with background. Format: cocodataset.org, "Data format".
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from scenewright.encoders.masks.object_masks import NamedMask
from scenewright.errors import InputError
from scenewright.io.images import MAX_PIXELS

__all__ = ["decode_counts", "encode_counts", "polygon_mask", "read_coco", "run_length_mask"]


def read_coco(
    path: Path, image_size: tuple[int, int] | None = None, *, image_name: str | None = None
) -> tuple[list[NamedMask], list[str]]:
    """The masks of one picture's annotations, named after their category, and warnings.

    Args:
        image_size: (height, width) of the picture; used where the file does not say the size of its pictures.
        image_name: file name of the picture, needed where the file annotates several.

    Raises:
        InputError: the file is not COCO, the picture is not in it, or an annotation is damaged.
    """
    content = _read_json(path)
    if isinstance(content, list):  # a bare list of annotations, as SAM's demo scripts write it
        content = {"annotations": content}
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise InputError(f"Expected a COCO file with a list 'annotations' in '{path}'.")
    picture = _picture(content.get("images") or [], image_name, image_size, path)
    size = (int(picture["height"]), int(picture["width"])) if {"height", "width"} <= picture.keys() else image_size
    categories = {category["id"]: str(category["name"]) for category in content.get("categories") or []}
    found, notes = [], []
    for number, annotation in enumerate(content["annotations"], 1):
        if picture and annotation.get("image_id", picture.get("id")) != picture.get("id"):
            continue
        name = categories.get(annotation.get("category_id"), "object")
        label = f"annotation {annotation.get('id', number)} ({name}) of '{path.name}'"
        segmentation = annotation.get("segmentation")
        if not segmentation:
            notes.append(f"The {label} has no segmentation, so it was dropped; a box needs SAM to become a mask.")
            continue
        try:
            found.append(NamedMask(name, _segmentation_mask(segmentation, size)))
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise InputError(f"The {label} cannot be decoded: {error}.") from error
    return found, notes


def run_length_mask(counts: Sequence[int], height: int, width: int) -> Bool[np.ndarray, "height width"]:
    """The mask of alternating background and object runs down the columns.

    Raises:
        ValueError: the runs do not cover height x width pixels exactly.
    """
    runs = np.asarray(counts, dtype=np.int64)
    _check_size(height, width)
    if runs.sum() != height * width or (runs < 0).any():
        raise ValueError(f"its runs cover {int(runs.sum())} pixels instead of {height}x{width}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def decode_counts(text: str | bytes) -> list[int]:
    """Run lengths from COCO's compressed text: five bits a character, from the fourth on as differences.

    Raises:
        ValueError: the text ends within a number or has a character outside the code.
    """
    counts: list[int] = []
    value, shift = 0, 0
    for code in text.encode("ascii") if isinstance(text, str) else text:
        bits = code - 48
        if not 0 <= bits < 64:
            raise ValueError(f"its run lengths hold the character {chr(code)!r}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # the sign bit of the last group
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("its run lengths end within a number")
    return counts


def encode_counts(counts: Sequence[int]) -> str:
    """COCO's compressed text of run lengths; the inverse of `decode_counts`."""
    text = []
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        while True:
            bits, value = value & 31, value >> 5
            is_last = value == (-1 if bits & 16 else 0)
            text.append(chr(48 + bits + (0 if is_last else 32)))
            if is_last:
                break
    return "".join(text)


def polygon_mask(corners: Sequence[float | int], height: int, width: int) -> Bool[np.ndarray, "height width"]:
    """Pixels whose centre lies inside the closed polygon [x0, y0, x1, y1, ...] (even-odd rule).

    Raises:
        ValueError: fewer than three corners, an odd count, or a number that is not finite.
    """
    points = np.asarray(corners, dtype=np.float64)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
        raise ValueError(f"a polygon needs at least three finite corners, got {points.size} numbers")
    _check_size(height, width)
    x0, y0 = points.reshape(-1, 2).T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    mask = np.zeros((height, width), dtype=bool)
    centres = np.arange(width) + 0.5
    for row in range(max(0, int(np.floor(y0.min()))), min(height, int(np.ceil(y0.max())))):
        y = row + 0.5
        crosses = (y0 <= y) != (y1 <= y)
        x = np.sort(x0[crosses] + (y - y0[crosses]) * (x1[crosses] - x0[crosses]) / (y1[crosses] - y0[crosses]))
        mask[row] = np.searchsorted(x, centres, side="right") % 2 == 1
    return mask


def _check_size(height: int, width: int) -> None:
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"its size of {width}x{height} pixels is not possible")


def _segmentation_mask(
    segmentation: Mapping[str, Any] | Sequence[Any], image_size: tuple[int, int] | None
) -> Bool[np.ndarray, "height width"]:
    if isinstance(segmentation, Mapping):
        height, width = (int(side) for side in segmentation["size"])
        counts = segmentation["counts"]
        return run_length_mask(decode_counts(counts) if isinstance(counts, str) else counts, height, width)
    if image_size is None:
        raise ValueError("its polygon needs the size of the picture, which the file does not give")
    polygons = [segmentation] if not isinstance(segmentation[0], list) else segmentation
    return np.logical_or.reduce([polygon_mask(polygon, *image_size) for polygon in polygons])


def _picture(
    pictures: Sequence[Mapping[str, Any]], image_name: str | None, image_size: tuple[int, int] | None, path: Path
) -> Mapping[str, Any]:
    """The entry of the picture in question; empty where the file lists none."""
    if len(pictures) <= 1:
        return pictures[0] if pictures else {}
    if image_name is not None:
        chosen = [picture for picture in pictures if Path(str(picture.get("file_name"))).name == Path(image_name).name]
    else:
        chosen = [picture for picture in pictures if (picture.get("height"), picture.get("width")) == image_size]
    if len(chosen) != 1:
        which = f"'{image_name}'" if image_name is not None else "the one meant"
        raise InputError(
            f"'{path}' annotates {len(pictures)} pictures and {which} was found {len(chosen)} times among them; "
            "give a file for one picture, or the picture's file name."
        )
    return chosen[0]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"Mask file '{path}' was not found.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not readable JSON ({error}).") from error
