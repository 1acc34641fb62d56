"""The one result of every mask form: named masks at the picture's size, checked, with what was repaired."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64

from scenewright.errors import InputError
from scenewright.files import spend, work
from scenewright.io.images import StoredPicture
from scenewright.types import Mask, ObjectMasks

__all__ = [
    "MOST_MASKS",
    "Frame",
    "NamedMask",
    "Size",
    "checked_masks",
    "has_shape",
    "nearest_indices",
    "resized_nearest",
]

logger = logging.getLogger(__name__)

MOST_MASKS = 4096
"""The most masks of one picture."""

Size = tuple[int, int]
"""Height and width in pixels."""

# Below this share of the picture an object has too few pixels to be generated well (16 x 16 of 512 x 512).
_TINY_SHARE = 1e-3
_DUPLICATE_IOU = 0.98
# A mask that holds more of the border than this is the background, or inverted.
_BORDER_SHARE = 0.9
_SHAPE_TOLERANCE = 0.02
# Warnings name so many masks one by one.
_MOST_NAMED = 3
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Frame:
    """The picture that masks are read for: its size as it is worked with, and how it lies in its file, where known."""

    size: Size | None = None
    stored: StoredPicture | None = None

    @property
    def whole(self) -> Size | None:
        """Its size before it was reduced: the pixels that annotations count in."""
        return self.size if self.stored is None else self.stored.upright_size[::-1]

    def lies_on_its_side(self, size: tuple[int, ...]) -> bool:
        """Whether masks of this size lie as the stored pixels of a turned photograph do, and not as it is shown."""
        if self.stored is None or self.stored.orientation < 5:
            return False
        shown = self.stored.upright_size[::-1]
        return has_shape(size, shown[::-1]) and not has_shape(size, shown)

    def fitted(self, size: Size) -> Size:
        """The size to read a mask at whose file has `size`: the picture's, on its side as the mask is."""
        if self.size is None:
            return size
        return self.size[::-1] if self.lies_on_its_side(size) else self.size


@dataclass(frozen=True)
class NamedMask:
    """One mask as it was found; `stored_size` is that of the file where reading changed it."""

    name: str
    mask: Mask
    stored_size: Size | None = None


def checked_masks(
    found: Sequence[NamedMask],
    frame: Frame | None = None,
    *,
    source: str = "the masks",
    warnings: Sequence[str] = (),
) -> ObjectMasks:
    """The usable ones of the masks `found`, at the picture's size, each repair told in `warnings` and the log.

    Masks of another size are resized, those of a turned photograph's stored pixels turned with it; empty, one-pixel and
    duplicate masks are dropped; tiny ones, and those that hold the picture's border, are kept with a warning. Names
    become short lines that can be shown; equal ones are numbered.

    Args:
        frame: the picture; None, or one without a size, takes the first mask's size.

    Raises:
        InputError: nothing usable is left.
    """
    frame = frame or Frame()
    notes = list(warnings)
    kept = _Kept()
    found = [replace(item, name=_shown(item.name)) for item in found]
    image_size = frame.size or (found[0].mask.shape if found else (0, 0))
    resized_from: dict[Size, list[str]] = {}
    turned, tiny = 0, []
    for candidate in found:
        mask = candidate.mask
        stored_size = candidate.stored_size or mask.shape
        if frame.stored is not None and frame.lies_on_its_side(stored_size):
            mask, stored_size, turned = _turned(mask, frame.stored.orientation), stored_size[::-1], turned + 1
        if stored_size not in (image_size, frame.whole):
            resized_from.setdefault(stored_size, []).append(candidate.name)
        if mask.shape != image_size:
            spend(image_size[0] * image_size[1], "its masks")
            mask = Mask.of(resized_nearest(mask.dense().numpy(), image_size))
        if reason := kept.refused(mask):
            notes.append(f"Mask '{candidate.name}' {reason}, so it was dropped.")
            continue
        share = mask.area / (mask.height * mask.width)
        if share < _TINY_SHARE:
            tiny.append(f"'{candidate.name}' covers only {mask.area} pixels ({share:.2%} of the picture)")
        if _border_share(mask) > _BORDER_SHARE:
            notes.append(
                f"Mask '{candidate.name}' holds the border of the picture: is it the background, or inverted? Objects "
                "are white (or a value of their own) on black."
            )
        kept.add(candidate.name, mask)
    if len(tiny) > _MOST_NAMED:
        tiny = [f"{tiny[0]}, and {len(tiny) - 1} others are as small"]
    notes += [f"Mask {item}; a closer picture of this object would give a better result." for item in tiny]
    repairs = [_size_note(names, size, image_size) for size, names in resized_from.items()]
    notes[len(warnings) : len(warnings)] = [*repairs, *_turn_notes(frame.stored, turned)]
    for note in notes:
        logger.warning("%s", note)
    if not kept.names:
        detail = f" ({notes[-1]})" if notes else ""
        raise InputError(
            f"Found no usable object mask in {source}{detail}; "
            "give masks whose background is black (0) and whose objects have other values."
        )
    return ObjectMasks(kept.masks, kept.names, notes)


def has_shape(size: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two sizes (height, width) have the same proportions."""
    return abs(size[0] * other[1] / max(size[1] * other[0], 1) - 1) <= _SHAPE_TOLERANCE


def resized_nearest(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture at (height, width) by taking the pixel at each new pixel's centre; no new values appear."""
    rows, columns = (nearest_indices(new, old) for new, old in zip(size, pixels.shape[:2], strict=True))
    return pixels[rows[:, None], columns]


def nearest_indices(new: int, old: int) -> Int64[np.ndarray, " new"]:
    """Indices of the pixels, in a row of `old`, at the centres of `new` pixels of the same length."""
    return ((np.arange(new) + 0.5) * old / new).astype(np.int64)


class _Kept:
    """The masks kept so far, with what is needed to compare the next one with them quickly."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.masks: list[Mask] = []
        self._taken: dict[str, int] = {}

    def refused(self, mask: Mask) -> str | None:
        """A reason to drop a mask: it is empty, a single pixel, or one that is kept already."""
        if not mask.area:
            return "is empty"
        left, top, right, bottom = mask.box
        if max(right - left, bottom - top) < 2:
            return "is a single pixel"
        areas = np.array([other.area for other in self.masks])
        alike = np.minimum(mask.area, areas) >= _DUPLICATE_IOU * np.maximum(mask.area, areas)
        for index in np.flatnonzero(alike):
            work((right - left) * (bottom - top) // 256 + 16, "comparing its masks")
            if mask.overlap(self.masks[index]) >= _DUPLICATE_IOU:
                return f"is the same as '{self.names[index]}'"
        return None

    def add(self, name: str, mask: Mask) -> None:
        """Keeps a mask; a name that is taken gets a number."""
        number, free = self._taken.get(name, 1), name
        while free in self._taken:
            number += 1
            free = f"{name}_{number}"
        self._taken[name] = number
        self._taken.setdefault(free, 1)
        self.names.append(free)
        self.masks.append(mask)


def _shown(name: str) -> str:
    """A name as one line that any screen and file can hold."""
    letters = "".join(letter if letter.isprintable() else " " for letter in name[: 4 * _LONGEST_NAME])
    return " ".join(letters.split())[:_LONGEST_NAME].rstrip() or "object"


def _turned(mask: Mask, orientation: int) -> Mask:
    """The mask as a picture of that EXIF orientation (5 to 8) is shown."""
    pixels = mask.dense().numpy()
    shown = {5: pixels.T, 6: np.rot90(pixels, -1), 7: np.rot90(pixels, 2).T, 8: np.rot90(pixels)}[orientation]
    return Mask.of(np.ascontiguousarray(shown))


def _turn_notes(stored: StoredPicture | None, turned: int) -> list[str]:
    if stored is not None and turned:
        which = "1 mask was" if turned == 1 else f"{turned} masks were"
        return [
            f"{which} as the photograph is stored ({stored.width}x{stored.height}), and turned with it (EXIF "
            f"orientation {stored.orientation})."
        ]
    if stored is not None and stored.orientation in (2, 3, 4):
        return [
            f"The photograph is turned by its EXIF orientation {stored.orientation}; its masks were taken to be as it "
            "is shown. If objects come out upside down, save the photograph turned."
        ]
    return []


def _border_share(mask: Mask) -> float:
    """The share of the outermost pixels that belong to the mask."""
    width, height = mask.width, mask.height
    sides = ((0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height), (width - 1, 0, width, height))
    return sum(int(mask.within(side).sum()) for side in sides) / (2 * (width + height))


def _size_note(names: Sequence[str], size: Size, image_size: Size) -> str:
    which, verb = (f"Mask '{names[0]}'", "was") if len(names) == 1 else (f"{len(names)} masks", "were")
    wanted = f"{image_size[1]}x{image_size[0]}"
    note = f"{which} had {size[1]}x{size[0]} pixels for a picture of {wanted} and {verb} resized."
    if not has_shape(size, image_size):
        note += " The shapes differ too: check that the mask belongs to this picture and is not cropped or turned."
    return note
