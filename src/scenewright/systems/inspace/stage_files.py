"""Results of stages kept in a folder, so that a run can be looked at, edited, and continued where it ended.

Every file holds a fingerprint of what its stage was made from. A stage whose inputs are the same is read instead of
made, whatever its file holds by now: an edited file counts, and the stages after it are made again because their input
has another fingerprint. Files are written whole or not at all; beside each lies a picture of it, for people (`*.png`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import torch
from annotated_types import MaxLen
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.files import Number, Row3, checked, read_json, reading
from scenewright.io.atomic import atomic_path, make_folder, tidy
from scenewright.io.data_file import data_fingerprint, load_data, save_data
from scenewright.io.images import save_image
from scenewright.systems.inspace.box_decoding import FoundBoxes

__all__ = ["StageFiles"]

Kind = TypeVar("Kind")


_KIND = (
    "a file of boxes, each with 'center' and 'size' (three numbers) and 'yaw' (radians)",
    "correct it, or delete it to find the boxes again",
)


@dataclass(frozen=True)
class _Box:
    center: Row3
    size: Row3
    yaw: Number = 0.0
    score: Number = 1.0


@dataclass(frozen=True)
class _BoxFile:
    boxes: Annotated[tuple[_Box, ...], MaxLen(4096)]


@dataclass(frozen=True)
class StageRecord:
    """A stage's result and the fingerprint of its inputs."""

    key: str
    value: object


@dataclass(frozen=True)
class StageFiles:
    """The folder of one run; None keeps nothing."""

    folder: Path | None = None

    def kept(
        self,
        name: str,
        inputs: object,
        kind: type[Kind],
        make: Callable[[], Kind],
        draw: Callable[[Kind], Image.Image] | None = None,
    ) -> Kind:
        """The result of a stage: of its file where that was made from the same inputs, else made and kept.

        Args:
            inputs: everything the result depends on, as `save_data` takes it.
            draw: makes the picture beside the file.
        """
        if self.folder is None:
            return make()
        path, key = self.folder / f"{name}.safetensors", data_fingerprint(inputs)
        tidy(path, path.with_suffix(".png"))
        record = _record_of(path)
        if record is not None and record.key == key and isinstance(record.value, kind):
            value = record.value
        else:
            value = make()
            make_folder(self.folder)
            save_data(path, StageRecord(key, value))
        if draw is not None and _is_older(path.with_suffix(".png"), path):
            save_image(draw(value), path.with_suffix(".png"))
        return value

    def boxes(
        self,
        inputs: object,
        make: Callable[[], FoundBoxes],
        draw: Callable[[FoundBoxes], Image.Image] | None = None,
    ) -> FoundBoxes:
        """As `kept`, for boxes, in `boxes.json`, which people can edit: delete, move or add entries.

        Raises:
            InputError: the file was edited into something that holds no boxes.
        """
        if self.folder is None:
            return make()
        path, key = self.folder / "boxes.json", data_fingerprint(inputs)
        tidy(path, path.with_suffix(".png"))
        if path.is_file():
            stored = _read_json(path)
            if stored.get("made_from") == key:
                return self._drawn(_boxes_of(stored, path), path, draw)
        boxes = make()
        entries = [
            {"center": box[:3], "size": box[3:6], "yaw": box[6], "score": score}
            for box, score in zip(boxes.boxes.tolist(), boxes.scores.tolist(), strict=True)
        ]
        make_folder(self.folder)
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps({"made_from": key, "boxes": entries}, indent=1))
        # Read back: numbers of a file and numbers of a run must be the same, whether or not the run was interrupted.
        return self._drawn(_boxes_of(_read_json(path), path), path, draw)

    @staticmethod
    def _drawn(boxes: FoundBoxes, path: Path, draw: Callable[[FoundBoxes], Image.Image] | None) -> FoundBoxes:
        if draw is not None and _is_older(path.with_suffix(".png"), path):
            save_image(draw(boxes), path.with_suffix(".png"))
        return boxes


def _is_older(picture: Path, path: Path) -> bool:
    """Whether a picture is missing, or shows what a file held before."""
    return not picture.is_file() or picture.stat().st_mtime_ns < path.stat().st_mtime_ns


def _record_of(path: Path) -> StageRecord | None:
    """The record in a file; None where there is none that this version reads."""
    try:
        return load_data(path, StageRecord)
    except InputError:
        return None


def _read_json(path: Path) -> dict:
    with reading(path, *_KIND):
        return read_json(path, dict)


def _boxes_of(stored: dict, path: Path) -> FoundBoxes:
    with reading(path, *_KIND):
        entries = checked(stored, _BoxFile).boxes
        boxes = torch.tensor([[*entry.center, *entry.size, entry.yaw] for entry in entries]).reshape(-1, 7)
        _check(boxes, path)
        return FoundBoxes(boxes, torch.tensor([entry.score for entry in entries]))


def _check(boxes: Tensor, path: Path) -> None:
    for number, box in enumerate(boxes):
        if not bool(torch.isfinite(box).all()) or bool((box[3:6] <= 0).any()):
            raise InputError(f"Box {number} of '{path}' has a size that is not positive; correct or delete it.")
        if bool(((box[:3].abs() - box[3:6] / 2) > 0.5).any()):
            raise InputError(f"Box {number} of '{path}' lies outside the room (coordinates are -0.5 to 0.5).")
