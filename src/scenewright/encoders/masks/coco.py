"""COCO annotation files: polygons, and run lengths in both their forms, decoded here.

A pixel is inside a polygon when its centre is (even-odd rule); an annotation's polygons are united. Run lengths go
down the columns and start with background. Format: cocodataset.org, "Data format". A mask is made at the size of its
picture, whatever size the file claims, so that it costs no more than its picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePath, PureWindowsPath
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le, Len
from jaxtyping import Bool

from scenewright.encoders.masks.object_masks import MOST_MASKS, Frame, NamedMask, Size, nearest_indices
from scenewright.errors import InputError
from scenewright.files import checked, json_value, read_file, reader, reason_of, spend, work
from scenewright.io.images import MAX_PIXELS
from scenewright.types import Mask

__all__ = [
    "Coordinate",
    "Corners",
    "Side",
    "coco_pictures",
    "decode_counts",
    "encode_counts",
    "polygons_mask",
    "read_coco",
    "run_length_mask",
    "scaled_polygons_mask",
]

Side = Annotated[int, Ge(1), Le(MAX_PIXELS)]
Run = Annotated[int, Ge(0), Le(MAX_PIXELS)]
Coordinate = Annotated[float, Ge(-1e9), Le(1e9)]
Polygon = tuple[Coordinate, ...]
Corners = Sequence[float] | np.ndarray
Key = int | str | float | None
# Cells and crossings that are worked on at once.
_AT_ONCE = 1 << 20
_reader = reader("a COCO file", "export the annotations again as COCO JSON with a list 'annotations'")


@dataclass(frozen=True)
class _RunLengths:
    size: tuple[Side, Side]
    counts: str | tuple[Run, ...]


@dataclass(frozen=True)
class _Annotation:
    id: Key = None
    image_id: Key = None
    category_id: Key = None
    segmentation: _RunLengths | tuple[Polygon, ...] | Polygon | Annotated[dict[str, str], Len(0, 0)] | None = None


@dataclass(frozen=True)
class _Picture:
    id: str | None
    file_name: str
    size: Size | None

    @staticmethod
    def of(entry: Mapping[str, object]) -> "_Picture":
        """The picture of an entry of `images`; a size that none has counts as not given."""
        size = _side(entry.get("height")), _side(entry.get("width"))
        return _Picture(_key(entry, "id"), str(entry.get("file_name") or ""), size if all(size) else None)


@dataclass(frozen=True)
class _CocoFile:
    """Entries are checked one by one: a broken one is dropped, and the others kept."""

    annotations: tuple[object, ...]
    images: tuple[object, ...] | None = None
    categories: tuple[object, ...] | None = None

    @property
    def pictures(self) -> list[_Picture]:
        return [_Picture.of(entry) for entry in self.images or () if isinstance(entry, dict)]


@_reader
def read_coco(path: Path, frame: Frame, *, image_name: str | None = None) -> tuple[list[NamedMask], list[str]]:
    """The masks of one picture's annotations, named after their category, and warnings; broken ones are dropped.

    Args:
        frame: the picture, whose size the masks get; where it has none, that of the file.
        image_name: file name of the picture, needed where the file annotates several; with its folder where several
            have that name.

    Raises:
        InputError: the file is not COCO, or the picture is not in it.
    """
    coco = _content(path)
    picture = _picture(coco.pictures, image_name, frame.whole, path)
    categories = {_key(entry, "id"): _key(entry, "name") or "object" for entry in coco.categories or ()}
    own = [
        annotation
        for annotation in coco.annotations
        if picture is None or _key(annotation, "image_id") in (None, picture.id)
    ]
    if len(own) > MOST_MASKS:
        raise InputError(f"'{path}' has {len(own):,} annotations of the picture, more than the {MOST_MASKS:,} allowed.")
    found, notes = [], []
    for number, annotation in enumerate(own, 1):
        name = categories.get(_key(annotation, "category_id"), "object")
        label = f"annotation {_key(annotation, 'id') or number} ({name}) of '{path.name}'"
        stored = None if picture is None else picture.size
        try:
            mask = _named_mask(name, checked(annotation, _Annotation), stored or frame.whole, frame)
        except InputError:  # beyond the budget
            raise
        except (ValueError, OverflowError) as error:
            notes.append(f"The {label} is damaged ({reason_of(error)}), so it was dropped.")
            continue
        if mask is None:
            notes.append(f"The {label} has no segmentation that covers an area, so it was dropped; a box needs SAM.")
        else:
            found.append(mask)
    return found, notes


@_reader
def coco_pictures(path: Path) -> list[PurePath]:
    """The paths of the pictures that a COCO file lists; either kind of slash parts them.

    Raises:
        InputError: the file is not COCO.
    """
    return [PureWindowsPath(picture.file_name) for picture in _content(path).pictures if picture.file_name]


def _content(path: Path) -> _CocoFile:
    content = read_file(path)
    # A bare list is one of annotations, as SAM's demo scripts write it.
    is_list = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"["
    return json_value(b'{"annotations": ' + content + b"}" if is_list else content, _CocoFile)


def _key(entry: object, name: str) -> str | None:
    """A number or name of an entry as text, None where it has none; tables write whole numbers as 1.0."""
    value = entry.get(name) if isinstance(entry, dict) else None
    if value is None:
        return None
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)[:80]


def _side(value: object) -> int:
    """A side in pixels, however it is written; 0 where it is none."""
    text = str(value).removesuffix(".0")
    return int(text) if text.isdecimal() and len(text) < 10 and int(text) <= MAX_PIXELS else 0


def run_length_mask(
    counts: Sequence[int], height: int, width: int, size: tuple[int, int] | None = None
) -> Bool[np.ndarray, "height width"]:
    """The mask of alternating background and object runs down the columns.

    Args:
        size: (height, width) of the mask wanted, read at its pixels' centres; None is that of the runs.

    Raises:
        ValueError: the runs do not cover height x width pixels exactly.
    """
    runs = np.asarray(counts, dtype=np.int64)
    _check_size(height, width)
    if (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"its runs cover {int(runs.sum())} pixels instead of {height}x{width}")
    if size is None or size == (height, width):
        spend(height * width, "its masks")
        values = np.arange(len(runs)) % 2 == 1
        return np.repeat(values, runs).reshape(width, height).T
    spend(18 * size[0] * size[1], "its masks")
    rows, columns = (nearest_indices(new, old) for new, old in zip(size, (height, width), strict=True))
    places = columns * height + rows[:, None]
    return np.searchsorted(np.cumsum(runs), places, side="right") % 2 == 1


def decode_counts(text: str) -> list[int]:
    """Run lengths from COCO's compressed text: five bits a character, from the fourth on as differences.

    Raises:
        ValueError: the text ends within a number or has a character outside the code.
    """
    bits = np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64) - 48
    if (wrong := np.flatnonzero((bits < 0) | (bits > 63))).size:
        raise ValueError(f"its run lengths hold the character {text.encode('utf-8')[wrong[0] :][:1]!r}")
    if not bits.size:
        return []
    is_last = bits & 32 == 0
    if not is_last[-1]:
        raise ValueError("its run lengths end within a number")
    ends = np.flatnonzero(is_last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 8:
        raise ValueError("its run lengths hold a number that is too large")
    places = np.arange(len(bits)) - np.repeat(starts, lengths)
    values = np.add.reduceat((bits & 31) << (5 * places), starts)
    values -= np.where(bits[ends] & 16, 1 << (5 * lengths), 0)
    # Of numbers 1, 3, 5, ... and of 2, 4, 6, ... each is the difference to the one before.
    values[1::2], values[2::2] = np.cumsum(values[1::2]), np.cumsum(values[2::2])
    return [int(value) for value in values]


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


def polygons_mask(polygons: Sequence[Corners], height: int, width: int) -> Bool[np.ndarray, "height width"]:
    """Pixels whose centre lies inside any of the closed polygons [x0, y0, x1, y1, ...] (even-odd rule for each).

    Edges are intersected with the rows' centre lines; along a row, a polygon covers the spans between its first and
    second crossing, its third and fourth, and so on.

    Raises:
        ValueError: a polygon has fewer than three corners, an odd count, or a number that is not finite.
    """
    _check_size(height, width)
    spend(height * width, "its masks")
    edges = np.concatenate([_edges(polygon, number) for number, polygon in enumerate(polygons)])
    first, last = (np.clip(np.ceil(edges[:, side].clip(-1, height + 1) - 0.5), 0, height) for side in (2, 4))
    begin, end = np.minimum(first, last).astype(np.int64), np.maximum(first, last).astype(np.int64)
    edges, begin, end = (values[begin < end] for values in (edges, begin, end))
    work(4 * int((end - begin).sum()) + len(edges), "its polygons")
    mask = np.zeros((height, width), dtype=bool)
    rows_at_once = max(1, min(_AT_ONCE // width, _AT_ONCE // max(len(edges), 1)))
    for top in range(int(begin.min(initial=height)), int(end.max(initial=0)), rows_at_once):
        bottom = min(top + rows_at_once, height)
        here = np.flatnonzero((begin < bottom) & (end > top))
        work(len(edges) // 64 + (bottom - top) * width // 64, "its polygons")
        mask[top:bottom] = _spans(edges[here], begin[here].clip(top), end[here].clip(max=bottom), top, bottom, width)
    return mask


def _edges(corners: Corners, number: int) -> np.ndarray:
    """Rows (polygon, x0, y0, x1, y1)."""
    points = np.asarray(corners, dtype=np.float64)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
        raise ValueError(f"a polygon needs at least three finite corners, got {points.size} numbers")
    start = points.reshape(-1, 2)
    return np.column_stack([np.full(len(start), number), start, np.roll(start, -1, axis=0)])


def _spans(edges: np.ndarray, begin: np.ndarray, end: np.ndarray, top: int, bottom: int, width: int) -> np.ndarray:
    """The rows from `top` to `bottom` of the union; `begin` and `end` are the rows that each edge crosses."""
    counts = end - begin
    which = np.repeat(np.arange(len(edges)), counts)
    row = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + begin[which]
    polygon, x0, y0, x1, y1 = edges[which].T
    x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    column = np.ceil(x.clip(-1, width + 1) - 0.5).clip(0, width).astype(np.int64)
    line = polygon.astype(np.int64) * (bottom - top) + (row - top)
    # One number sorts by polygon, row and column; each polygon crosses a row an even number of times.
    crossings = np.sort(line * (width + 1) + column)
    place = crossings // (width + 1) % (bottom - top) * (width + 1) + crossings % (width + 1)
    depth = np.bincount(place[::2], minlength=(bottom - top) * (width + 1))
    depth -= np.bincount(place[1::2], minlength=(bottom - top) * (width + 1))
    return np.cumsum(depth.reshape(bottom - top, width + 1), axis=1)[:, :width] > 0


def _check_size(height: int, width: int) -> None:
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"its size of {width}x{height} pixels is not possible")


def scaled_polygons_mask(polygons: Sequence[Corners], stored: Size, wanted: Size) -> Bool[np.ndarray, "height width"]:
    """The union of polygons in pixels of a picture of `stored` (height, width), at the size `wanted`.

    Raises:
        ValueError: as `polygons_mask`.
    """
    scale = np.array([wanted[1] / stored[1], wanted[0] / stored[0]])
    if any(len(polygon) % 2 for polygon in polygons):
        raise ValueError("a polygon has an odd number of coordinates")
    return polygons_mask([(np.reshape(polygon, (-1, 2)) * scale).reshape(-1) for polygon in polygons], *wanted)


def _named_mask(name: str, annotation: _Annotation, stored: Size | None, frame: Frame) -> NamedMask | None:
    """The mask of an annotation; None where it marks nothing: no segmentation, or polygons without area."""
    segmentation = annotation.segmentation
    if isinstance(segmentation, _RunLengths):
        counts = segmentation.counts
        runs = decode_counts(counts) if isinstance(counts, str) else counts
        mask = run_length_mask(runs, *segmentation.size, frame.fitted(segmentation.size))
        return NamedMask(name, Mask.of(mask), segmentation.size)
    if not isinstance(segmentation, tuple):
        return None
    several = [part for part in segmentation if isinstance(part, tuple)]
    polygons = several or [tuple(part for part in segmentation if not isinstance(part, tuple))]
    polygons = [polygon for polygon in polygons if len(polygon) > 4]
    if not polygons:
        return None
    if stored is None:
        raise ValueError("its polygon needs the size of the picture, which the file does not give")
    return NamedMask(name, Mask.of(scaled_polygons_mask(polygons, stored, frame.fitted(stored))), stored)


def _shared_ending(one: str, other: str) -> int:
    """In how many parts, from the file's name on, two paths agree; a Windows path knows both kinds of slashes."""
    pairs = zip(reversed(PureWindowsPath(one).parts), reversed(PureWindowsPath(other).parts), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _picture(
    pictures: Sequence[_Picture], image_name: str | None, image_size: Size | None, path: Path
) -> _Picture | None:
    """The entry of the picture in question; None where the file lists none."""
    if len(pictures) <= 1:
        return pictures[0] if pictures else None
    if image_name is not None:
        shared = [_shared_ending(picture.file_name, image_name) for picture in pictures]
        most = max(1, *shared)
        chosen = [picture for picture, parts in zip(pictures, shared, strict=True) if parts == most]
    else:
        chosen = [picture for picture in pictures if picture.size == image_size]
    if len(chosen) != 1:
        which = f"'{image_name}'" if image_name is not None else "the one meant"
        raise InputError(
            f"'{path}' annotates {len(pictures)} pictures and {which} was found {len(chosen)} times among them; "
            "give a file for one picture, or the picture's file name."
        )
    return chosen[0]
