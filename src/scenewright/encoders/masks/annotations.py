"""Outlines that people draw in LabelMe (.json) and CVAT (.xml, "CVAT for images"): polygons, ellipses and pixel masks.

Shapes with one group number are one object. Boxes, lines and points are no masks: they are dropped by name. Sources:
LabelMe's `label_file.py` (version 5) and CVAT's documentation, "CVAT XML annotation format" 1.1, for names of keys.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from scenewright.encoders.masks.coco import Coordinate, Corners, Side, scaled_polygons_mask
from scenewright.encoders.masks.object_masks import MOST_MASKS, Frame, NamedMask, Size, nearest_indices
from scenewright.errors import InputError
from scenewright.files import json_value, read_file, reader, spend
from scenewright.io.images import MAX_PIXELS, decode_image
from scenewright.types import Mask

__all__ = ["is_labelme", "read_cvat", "read_labelme"]

_ELLIPSE_CORNERS = 96
# What the objects of parsed XML take for each of its bytes.
_OBJECTS_PER_BYTE = 40


@dataclass(frozen=True)
class _Shape:
    """One drawn shape at the annotated picture's size: polygons, or pixels with the place of their corner."""

    label: str
    kind: str
    group: str | None = None
    polygon: Corners = ()
    pixels: np.ndarray | None = None
    corner: tuple[int, int] = (0, 0)

    @property
    def is_mask(self) -> bool:
        return self.pixels is not None or len(self.polygon) > 4


@dataclass(frozen=True)
class _LabelMeShape:
    label: str | int
    points: tuple[tuple[Coordinate, Coordinate], ...] = ()
    shape_type: str | None = None
    group_id: int | str | None = None
    mask: str | None = None


@dataclass(frozen=True)
class _LabelMeFile:
    shapes: tuple[_LabelMeShape, ...]
    imageHeight: Side | None = None
    imageWidth: Side | None = None


def is_labelme(content: object) -> bool:
    """Whether JSON is a LabelMe file rather than COCO."""
    return isinstance(content, dict) and "shapes" in content and "annotations" not in content


@reader("a LabelMe file", "save the annotation again")
def read_labelme(path: Path, frame: Frame) -> tuple[list[NamedMask], list[str]]:
    """The masks of a LabelMe file, named after their labels, and warnings.

    Args:
        frame: the picture, whose size the masks get; where it has none, that of the file.

    Raises:
        InputError: the file is damaged, or a size is needed and not given.
    """
    content = json_value(read_file(path), _LabelMeFile)
    has_size = content.imageHeight is not None and content.imageWidth is not None
    stored = (content.imageHeight or 0, content.imageWidth or 0) if has_size else frame.whole
    shapes, damaged = [], []
    for number, shape in enumerate(content.shapes, 1):
        try:
            shapes.append(_labelme_shape(shape))
        except InputError:
            damaged.append(f"The mask of shape {number} ({shape.label}) of '{path.name}' is damaged; it was dropped.")
    masks, notes = _masks(shapes, stored, frame, path)
    return masks, damaged + notes


def _labelme_shape(shape: _LabelMeShape) -> _Shape:
    """The shape of an entry.

    Raises:
        InputError: its mask is no picture.
    """
    kind = shape.shape_type or "polygon"
    group = None if shape.group_id is None else str(shape.group_id)
    label, points = str(shape.label), shape.points
    if kind == "polygon":
        return _Shape(label, kind, group, np.reshape(points, -1))
    if kind == "circle" and len(points) == 2:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return _Shape(label, kind, group, _ellipse(x, y, radius, radius))
    if kind == "mask" and shape.mask is not None and points:
        picture = decode_image(base64.b64decode(shape.mask, validate=False), name="the mask")
        pixels = np.asarray(picture.convert("L")) > 0
        return _Shape(label, kind, group, pixels=pixels, corner=(round(points[0][0]), round(points[0][1])))
    return _Shape(label, kind, group)


@reader("a CVAT file of images", "export the task again as 'CVAT for images 1.1'")
def read_cvat(path: Path, frame: Frame, *, image_name: str | None = None) -> tuple[list[NamedMask], list[str]]:
    """The masks of one picture of a CVAT file, named after their labels, and warnings; see `read_labelme`.

    Args:
        image_name: file name of the picture, needed where the file annotates several.

    Raises:
        InputError: the file is damaged, declares entities, is of a video, or the picture is not in it.
    """
    from defusedxml import ElementTree

    content = read_file(path)
    spend(_OBJECTS_PER_BYTE * len(content), "its text")
    root = ElementTree.fromstring(content, forbid_dtd=True)
    pictures = list(root.iter("image"))
    if root.find("track") is not None:
        raise InputError(f"'{path}' annotates a video; export the task as 'CVAT for images 1.1'.")
    if len(pictures) > 1:
        named = Path(image_name or "").name
        pictures = [item for item in pictures if PureWindowsPath(item.get("name", "")).name == named]
    if len(pictures) != 1:
        raise InputError(f"'{path}' has {len(pictures)} pictures called '{image_name}'; give the file of this picture.")
    (picture,) = pictures
    has_size = picture.get("height") and picture.get("width")
    stored = (_side(picture.get("height")), _side(picture.get("width"))) if has_size else frame.whole
    return _masks([_cvat_shape(item) for item in picture], stored, frame, path)


def _side(text: str | None) -> int:
    side = int(text or 0)
    if not 1 <= side <= MAX_PIXELS:
        raise ValueError(f"a side of {side} pixels is not possible")
    return side


def _cvat_shape(item: Any) -> _Shape:
    values: Mapping[str, str] = item.attrib
    group = values.get("group_id")
    base = (values.get("label", "object"), item.tag, None if group in (None, "", "0") else group)
    if item.tag == "polygon":
        corners = [float(number) for pair in values["points"].split(";") for number in pair.split(",")]
        return _Shape(*base, np.array(corners))
    if item.tag == "ellipse":
        return _Shape(*base, _ellipse(*(float(values[name]) for name in ("cx", "cy", "rx", "ry"))))
    if item.tag == "mask":
        width, height = _side(values["width"]), _side(values["height"])
        runs = np.array([int(run) for run in values["rle"].split(",")])
        if width * height > MAX_PIXELS or (runs < 0).any() or runs.sum() != width * height:
            raise ValueError(f"its runs cover {int(runs.sum())} pixels instead of {height}x{width}")
        spend(width * height, "its masks")
        pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
        return _Shape(*base, pixels=pixels, corner=(int(float(values["left"])), int(float(values["top"]))))
    return _Shape(*base)


def _ellipse(x: float, y: float, across: float, down: float) -> np.ndarray:
    angles = np.arange(_ELLIPSE_CORNERS) * (2 * math.pi / _ELLIPSE_CORNERS)
    return np.column_stack([x + across * np.cos(angles), y + down * np.sin(angles)]).reshape(-1)


def _masks(
    shapes: Sequence[_Shape], stored: Size | None, frame: Frame, path: Path
) -> tuple[list[NamedMask], list[str]]:
    """A mask per group of shapes; notes name the shapes that are none."""
    if len(shapes) > MOST_MASKS:
        raise InputError(f"'{path}' has {len(shapes):,} shapes, more than the {MOST_MASKS:,} allowed.")
    if stored is None:
        raise InputError(f"'{path}' does not say the size of its picture; load its masks with the picture.")
    notes, groups = [], dict[tuple[str, str], list[_Shape]]()
    for number, shape in enumerate(shapes, 1):
        if not shape.is_mask:
            notes.append(
                f"Shape {number} ({shape.label}, {shape.kind}) of '{path.name}' covers no area that is a mask, so it "
                "was dropped; a box needs SAM to become one."
            )
        else:
            key = f"alone {number}" if shape.group is None else f"group {shape.group}"
            groups.setdefault((shape.label, key), []).append(shape)
    wanted = frame.fitted(stored)
    return [NamedMask(label, _mask(parts, stored, wanted), stored) for (label, _), parts in groups.items()], notes


def _mask(parts: Sequence[_Shape], stored: Size, wanted: Size) -> Mask:
    polygons = [shape.polygon for shape in parts if shape.pixels is None]
    mask = np.zeros(wanted, dtype=bool)
    if polygons:
        mask |= scaled_polygons_mask(polygons, stored, wanted)
    for shape in parts:
        if shape.pixels is not None:
            # Pixels are looked up at the centres of the wanted ones.
            rows = nearest_indices(wanted[0], stored[0]) - shape.corner[1]
            columns = nearest_indices(wanted[1], stored[1]) - shape.corner[0]
            height, width = shape.pixels.shape
            in_rows, in_columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
            mask[np.ix_(in_rows, in_columns)] |= shape.pixels[np.ix_(rows[in_rows], columns[in_columns])]
    return Mask.of(mask)
