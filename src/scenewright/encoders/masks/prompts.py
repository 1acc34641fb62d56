"""Boxes and points a person drew on a picture, from which a segmenter makes masks; and the file they are kept in.

    {"boxes": [[x0, y0, x1, y1], ...], "points": [[[x, y], [x, y, 0], ...], ...], "names": ["sofa", ...]}

Coordinates are pixels of the picture. Each entry of `points` is one object; a third number of 0 marks a point that is
not on the object. Names belong to the boxes first, then to the points.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le, MaxLen

from scenewright.errors import InputError
from scenewright.files import read_json, reader

__all__ = ["MaskPrompts", "box_of", "holds_prompts", "prompt_bytes", "read_prompts"]

Number = float | int
Coordinate = Annotated[float, Ge(-1e9), Le(1e9)]
_Marked = tuple[Coordinate, Coordinate, bool | float]
_MOST = 4096
Box = tuple[Number, Number, Number, Number]
Point = tuple[Number, Number, bool]


@dataclass(frozen=True)
class MaskPrompts:
    """Objects marked by boxes (left, upper, right, lower) and by points (x, y, is on the object), in pixels."""

    boxes: tuple[Box, ...] = ()
    points: tuple[tuple[Point, ...], ...] = ()
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.boxes) + len(self.points)

    def name(self, index: int) -> str:
        """The name of object `index`: boxes first, then points."""
        return self.names[index] if index < len(self.names) else f"object_{index + 1}"

    def checked(self, height: int, width: int) -> "MaskPrompts":
        """The prompts, if each of them lies in a picture of this size.

        Raises:
            InputError: there is none, a box is empty or outside, an object has no point on it, or a point is outside.
        """
        if not len(self):
            raise InputError("Expected at least one box or point, got none.")
        for index, (left, upper, right, lower) in enumerate(self.boxes):
            if not (max(left, 0) < min(right, width) and max(upper, 0) < min(lower, height)):
                raise InputError(
                    f"Box {index + 1} [{left:g}, {upper:g}, {right:g}, {lower:g}] covers nothing of a picture of "
                    f"{width}x{height}; give left, upper, right, lower in pixels."
                )
        for index, points in enumerate(self.points):
            outside = [point for point in points if not (0 <= point[0] < width and 0 <= point[1] < height)]
            if outside or not any(is_on for _, _, is_on in points):
                reason = f"a point outside of {width}x{height}" if outside else "no point on it"
                raise InputError(f"Object {index + 1} of the points has {reason}; give x, y in pixels of the picture.")
        return self

    def scaled(self, across: float, down: float) -> "MaskPrompts":
        """The prompts in a picture that is so many times as wide and as high."""
        boxes = tuple((x0 * across, y0 * down, x1 * across, y1 * down) for x0, y0, x1, y1 in self.boxes)
        points = tuple(tuple((x * across, y * down, is_on) for x, y, is_on in marked) for marked in self.points)
        return MaskPrompts(boxes, points, self.names)


@dataclass(frozen=True)
class _PromptFile:
    boxes: Annotated[tuple[tuple[Coordinate, Coordinate, Coordinate, Coordinate], ...], MaxLen(_MOST)] = ()
    points: Annotated[tuple[tuple[tuple[Coordinate, Coordinate] | _Marked, ...], ...], MaxLen(_MOST)] = ()
    names: tuple[str, ...] = ()


@reader("a file of prompts", 'write {"boxes": [[x0, y0, x1, y1], ...], "points": [[[x, y], ...], ...]} in pixels')
def read_prompts(path: str | Path) -> MaskPrompts:
    """The boxes and points of a JSON file.

    Raises:
        InputError: the file is missing, is not JSON, or has another form.
    """
    content = read_json(path, _PromptFile)
    points = tuple(
        tuple((*point[:2], len(point) < 3 or bool(point[2])) for point in marked) for marked in content.points
    )
    return MaskPrompts(content.boxes, points, content.names)


def prompt_bytes(prompts: MaskPrompts) -> bytes:
    """The prompts as `read_prompts` reads them."""
    points = [[[x, y, int(is_on)] for x, y, is_on in marked] for marked in prompts.points]
    return json.dumps({"boxes": prompts.boxes, "points": points, "names": prompts.names}).encode()


def box_of(text: str) -> Box:
    """The box of "left,upper,right,lower".

    Raises:
        InputError: the text is not four numbers.
    """
    try:
        left, upper, right, lower = (float(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"Expected a box as LEFT,UPPER,RIGHT,LOWER in pixels, got '{text}'.") from None
    return left, upper, right, lower


def holds_prompts(content: object) -> bool:
    """Whether JSON is a file of prompts rather than one of annotations."""
    return isinstance(content, dict) and "annotations" not in content and bool({"boxes", "points"} & content.keys())
