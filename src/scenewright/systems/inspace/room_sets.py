"""Training sets of InSpace's networks, read from shards of tensors (`data.tensor_shards`).

| set | tensors of a sample |
|---|---|
| structure | `latent` [C, R, R, R], `tokens` [6, T, D], `camera` [3], optional `partial` as `latent` |
| boxes | `occupancy` [R, R, R], optional `seen` of the same size, `boxes` [N, 7] |
| detail | `coords` [M, 3], `latent` [M, C], optional `shape_latent`, `lengths` [P], `boxes`, `tokens`, `camera` |

Parts of a detail sample lie one after another: the room, the layout, then the assets; `lengths` are their cells (0 for
a layout that is missing). Latents are normalised already.

Legend: B rooms, N boxes, R grid side.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenewright.data.tensor_shards import TensorShardSet
from scenewright.errors import InputError
from scenewright.systems.inspace.parts import Part, RoomParts, cells_in_boxes
from scenewright.systems.inspace.training_samples import RoomSample
from scenewright.systems.task_kind import Sets
from scenewright.training.loading import TrainingSet

__all__ = ["RoomBoxes", "RoomDetails", "open_boxes", "open_details", "quarter_turned", "windowed"]


class RoomBoxes(TrainingSet):
    """Occupancies with their boxes.

    Args:
        seen_share: how often the input is what a camera sees instead of the whole room; boxes without a seen cell are
            then left out.
        turns: turn rooms by quarters and mirror them at random (ours).
    """

    def __init__(self, shards: TensorShardSet, *, seen_share: float = 0.0, turns: bool = False) -> None:
        self._shards, self.seen_share, self.turns = shards, seen_share, turns

    def __len__(self) -> int:
        return len(self._shards)

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Occupancy `[1, R, R, R]` and boxes of room `index`."""
        tensors = self._shards.tensors(index)
        occupancy, boxes = tensors["occupancy"].bool(), tensors["boxes"].float()
        if float(torch.rand((), generator=generator)) < self.seen_share:
            if "seen" not in tensors:
                raise InputError("A seen_share above 0 needs 'seen' in every sample.")
            occupancy = tensors["seen"].bool()
            boxes = boxes[cells_in_boxes(occupancy.nonzero().int(), boxes, len(occupancy)).any(1)]
        if self.turns:
            quarters, mirrored = torch.randint(4, (2,), generator=generator).tolist()
            occupancy, boxes = quarter_turned(occupancy, boxes, quarters, is_mirrored=mirrored % 2 == 1)
        return {"occupancy": occupancy[None].float(), "boxes": boxes}

    def collate(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Boxes stay a list."""
        return {
            "occupancy": torch.stack([sample["occupancy"] for sample in samples]),
            "boxes": [sample["boxes"] for sample in samples],
        }


def quarter_turned(
    occupancy: Bool[Tensor, "R R R"], boxes: Float[Tensor, "N 7"], quarters: int, *, is_mirrored: bool = False
) -> tuple[Bool[Tensor, "R R R"], Float[Tensor, "N 7"]]:
    """A room turned counter-clockwise about the vertical by quarter turns, after mirroring x where asked for."""
    boxes = boxes.clone()
    if is_mirrored:
        occupancy = occupancy.flip(0)
        boxes[:, 0], boxes[:, 6] = -boxes[:, 0], -boxes[:, 6]
    occupancy = occupancy.rot90(quarters, (0, 1))
    c, s = round(math.cos(quarters * math.pi / 2)), round(math.sin(quarters * math.pi / 2))
    x, y = boxes[:, 0].clone(), boxes[:, 1].clone()
    boxes[:, 0], boxes[:, 1] = c * x - s * y, s * x + c * y
    boxes[:, 6] = torch.remainder(boxes[:, 6] + quarters * math.pi / 2 + math.pi, 2 * math.pi) - math.pi
    return occupancy, boxes


class RoomDetails(TrainingSet):
    """Rooms with the latents of their parts.

    Args:
        window: keep only the cells of a square of so many columns around a random cell of an asset, for steps that cost
            a part of a room's; 0 takes rooms whole, as published (ours).
    """

    def __init__(self, shards: TensorShardSet, *, window: int = 0) -> None:
        self._shards, self.window = shards, window

    def __len__(self) -> int:
        return len(self._shards)

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """A `RoomSample`, the image tokens and the camera of room `index`."""
        tensors = self._shards.tensors(index)
        lengths = tensors["lengths"].tolist()
        cells = tensors["coords"].int().split(lengths)
        kinds = ["room", "layout", *["asset"] * (len(lengths) - 2)]
        parts = [
            Part(kind, rows, number - 2 if kind == "asset" else None)  # type: ignore[arg-type]
            for number, (kind, rows) in enumerate(zip(kinds, cells, strict=True))
            if kind != "layout" or len(rows)
        ]
        shape = tensors["shape_latent"].float() if "shape_latent" in tensors else None
        sample = RoomSample(RoomParts(tuple(parts)), tensors["latent"].float(), shape, tensors["boxes"].float())
        if self.window:
            sample = windowed(sample, self.window, generator)
        return {"samples": sample, "tokens": tensors["tokens"].float(), "camera": tensors["camera"].float()}

    def collate(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Rooms stay a list."""
        return {
            "samples": [sample["samples"] for sample in samples],
            "tokens": torch.stack([sample["tokens"] for sample in samples]),
            "camera": torch.stack([sample["camera"] for sample in samples]),
        }


def windowed(sample: RoomSample, window: int, generator: torch.Generator) -> RoomSample:
    """The cells of a room within a square of `window` columns around a random cell of its assets (of all parts where
    there is none); assets without a cell there are dropped."""
    parts = sample.parts
    coords = parts.coords
    assets = torch.cat([torch.full((len(part.coords),), part.kind == "asset") for part in parts.parts])
    rows = (assets if bool(assets.any()) else torch.ones_like(assets)).nonzero()[:, 0]
    chosen = coords[rows[int(torch.randint(len(rows), (), generator=generator))], :2]
    low = (chosen - window // 2).clamp(min=0)
    inside = ((coords[:, :2] >= low) & (coords[:, :2] < low + window)).all(1)
    kept: list[Part] = []
    boxes: list[Tensor] = []
    for part, mask in zip(parts.parts, parts.split(inside), strict=True):
        if part.box is None:
            kept.append(Part(part.kind, part.coords[mask]))
        elif bool(mask.any()):
            kept.append(Part("asset", part.coords[mask], len(boxes)))
            boxes.append(sample.boxes[part.box])
    shape = None if sample.shape is None else sample.shape[inside]
    left = torch.stack(boxes) if boxes else sample.boxes[:0]
    return RoomSample(RoomParts(tuple(kept)), sample.feats[inside], shape, left)


def open_boxes(folder: Path, limit: int = 0, seen_share: float = 0.0, turns: bool = False) -> Sets:
    """Training and validation rooms for `BoxTask`; validation inputs are not turned."""
    train, held_out = _shard_sets(folder, limit)
    validation = None if held_out is None else RoomBoxes(held_out, seen_share=seen_share)
    return RoomBoxes(train, seen_share=seen_share, turns=turns), validation


def open_details(folder: Path, limit: int = 0, window: int = 0) -> Sets:
    """Training and validation rooms for `DetailTask`; validation rooms stay whole."""
    train, held_out = _shard_sets(folder, limit)
    return RoomDetails(train, window=window), None if held_out is None else RoomDetails(held_out)


def _shard_sets(folder: Path, limit: int) -> tuple[TensorShardSet, TensorShardSet | None]:
    if not (folder / "train").is_dir():
        return TensorShardSet(folder, limit=limit), None
    held_out = folder / "validation"
    return (
        TensorShardSet(folder / "train", limit=limit),
        TensorShardSet(held_out) if held_out.is_dir() else None,
    )
