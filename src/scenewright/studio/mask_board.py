"""Objects marked on a picture by clicking: what was clicked, the masks that follow from it, and the way back."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from PIL import Image

from scenewright.encoders.masks.prompts import Box, MaskPrompts, Point
from scenewright.errors import InputError
from scenewright.io.atomic import make_folder
from scenewright.io.images import save_image
from scenewright.types import Mask, ObjectMasks

__all__ = ["MarkedObject", "MaskBoard", "Segmenter"]


@runtime_checkable
class Segmenter(Protocol):
    """Anything that makes masks of boxes and clicks, such as SAM (`encoders.masks.sam`)."""

    def from_prompts(self, image: Image.Image, prompts: MaskPrompts) -> ObjectMasks: ...


@dataclass(frozen=True)
class MarkedObject:
    """An object and what was clicked for it; `mask` None while nothing was found. A mask from a file has no clicks."""

    name: str
    mask: Mask | None = None
    box: Box | None = None
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class _State:
    objects: tuple[MarkedObject, ...] = ()
    chosen: str | None = None


class MaskBoard:
    """Marks on one picture. Clicks go to the chosen object; without one they begin a new one."""

    def __init__(self, image: Image.Image, segmenter: Segmenter) -> None:
        """Takes a picture and what makes masks of clicks."""
        self.image = image
        self._segmenter = segmenter
        self._state = _State()
        self._past: list[_State] = []

    @property
    def objects(self) -> tuple[MarkedObject, ...]:
        return self._state.objects

    @property
    def chosen(self) -> MarkedObject | None:
        """The object that clicks go to."""
        return next((item for item in self.objects if item.name == self._state.chosen), None)

    @property
    def masks(self) -> ObjectMasks:
        """The masks of all objects that have one."""
        found = [(item.mask, item.name) for item in self.objects if item.mask is not None]
        return ObjectMasks([mask for mask, _ in found], [name for _, name in found])

    def click(self, x: float, y: float, is_on: bool = True) -> None:
        """Marks a pixel as on the chosen object, or not on it; one that is on no object yet begins one.

        Raises:
            InputError: the pixel is outside, or nothing was found.
        """
        item = self.chosen
        if item is None and not is_on:
            raise InputError("Choose an object first; then click what does not belong to it.")
        item = item or MarkedObject(self._free_name())
        self._segmented(replace(item, points=(*item.points, (x, y, is_on))))

    def draw_box(self, box: Box) -> None:
        """Begins an object inside a box: left, upper, right, lower in pixels.

        Raises:
            InputError: the box covers nothing of the picture, or nothing was found.
        """
        left, upper, right, lower = box
        box = (max(left, 0), max(upper, 0), min(right, self.image.width), min(lower, self.image.height))
        if box[2] - box[0] < 2 or box[3] - box[1] < 2:
            raise InputError("Draw the box around an object in the picture.")
        self._segmented(MarkedObject(self._free_name(), box=box))

    def take(self, masks: ObjectMasks) -> None:
        """Adds masks that were made elsewhere."""
        taken = {item.name for item in self.objects}
        fresh = [MarkedObject(n, mask) for n, mask in zip(masks.names, masks.regions, strict=True) if n not in taken]
        self._become(_State((*self.objects, *fresh), None))

    def choose(self, name: str | None) -> None:
        """Clicks go to this object from now on; with None the next one begins a new object."""
        self._state = replace(self._state, chosen=name)

    def rename(self, name: str, new: str) -> None:
        """Calls an object otherwise, in characters that a file may have.

        Raises:
            InputError: nothing is left of the name, or another object has it.
        """
        new = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in new.strip())[:64]
        if not new.strip("_") or new in {item.name for item in self.objects if item.name != name}:
            raise InputError(f"Expected a name of letters and digits that no other object has, got '{new}'.")
        objects = tuple(replace(item, name=new) if item.name == name else item for item in self.objects)
        self._become(_State(objects, new if self._state.chosen == name else self._state.chosen))

    def delete(self, name: str) -> None:
        """Takes an object away."""
        self._become(_State(tuple(item for item in self.objects if item.name != name)))

    def undo(self) -> None:
        """Takes the last change back.

        Raises:
            InputError: there is none.
        """
        if not self._past:
            raise InputError("There is nothing to undo.")
        self._state = self._past.pop()

    def at(self, x: float, y: float) -> str | None:
        """The name of the last object whose mask holds a pixel."""
        pixel = (int(x), int(y), int(x) + 1, int(y) + 1)
        hits = [item.name for item in self.objects if item.mask is not None and item.mask.within(pixel).any()]
        return hits[-1] if hits else None

    def save(self, folder: Path) -> Path:
        """Writes a black and white PNG per object under its name; returns the folder.

        Raises:
            InputError: no object has a mask.
        """
        masks = self.masks
        if not len(masks):
            raise InputError("Mark at least one object: click it in the picture.")
        make_folder(folder)
        for name, mask in zip(masks.names, masks.regions, strict=True):
            save_image(Image.fromarray(mask.dense().numpy()), folder / f"{name}.png")
        return folder

    def _segmented(self, item: MarkedObject) -> None:
        """The object with the mask of its clicks, chosen."""
        item = replace(item, mask=self._mask_of(item))
        others = {other.name: other for other in self.objects} | {item.name: item}
        self._become(_State(tuple(others.values()), item.name))

    def _mask_of(self, item: MarkedObject) -> Mask:
        if item.box is None:
            return self._segment(MaskPrompts(points=(item.points,)))
        # Segmenters take a box or clicks. What is at a click on the object joins what was found in its box; what is at
        # one beside it leaves.
        mask = self._segment(MaskPrompts(boxes=(item.box,)))
        on = tuple(point for point in item.points if point[2])
        off = tuple((x, y, True) for x, y, is_on in item.points if not is_on)
        if on:
            mask = mask | self._segment(MaskPrompts(points=((*on, *((x, y, False) for x, y, _ in off)),)))
        if off:
            mask = mask - self._segment(MaskPrompts(points=((*off, *((x, y, False) for x, y, _ in on)),)))
        return mask

    def _segment(self, prompts: MaskPrompts) -> Mask:
        return self._segmenter.from_prompts(self.image, prompts).regions[0]

    def _become(self, state: _State) -> None:
        self._past.append(self._state)
        self._state = state

    def _free_name(self) -> str:
        taken = {item.name for item in self.objects}
        return next(name for number in range(1, len(taken) + 2) if (name := f"object_{number}") not in taken)
