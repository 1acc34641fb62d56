"""Training samples of the detail flows: the latents of a room, its layout and its visible assets, in one sequence.

Boxes and latents of assets are paired by the instance number in their file names. A box counts when a face shows at
least half of it. Source: naver/inspace trellis2/datasets/erp_structured_latent.py and trellis2/utils/data_utils.py.

Legend: T tokens, A boxes, C channels.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from scenewright.systems.inspace.asset_views import asset_visibility
from scenewright.systems.inspace.parts import Part, RoomParts
from scenewright.weights.record import LatentStatistics

__all__ = [
    "AREA_BOUNDS_M2",
    "AREA_WEIGHTS",
    "AssetPair",
    "PartLatent",
    "RoomSample",
    "area_weights",
    "balanced_micro_batches",
    "pair_assets",
    "room_sample",
    "visible_pairs",
]

MAX_ASSETS = 30
AREA_BOUNDS_M2 = (20.0, 30.0)
AREA_WEIGHTS = (1.0, 3.0, 4.0)
"""Sampling weight of rooms below each bound of area, and of larger ones; an unknown area (negative) counts as small."""
_INSTANCE = re.compile(r"_inst(\d+)")


@dataclass(frozen=True)
class PartLatent:
    """A latent on cells of the room's grid; `shape` is the shape latent of the same cells (texture training)."""

    coords: Shaped[Tensor, "T 3"]
    feats: Float[Tensor, "T C"]
    shape: Float[Tensor, "T Cs"] | None = None


@dataclass(frozen=True)
class AssetPair:
    """A box and the latent that belongs to it, as indices."""

    box: int
    latent: int


@dataclass(frozen=True)
class RoomSample:
    """One training room: normalised features of all tokens, and the boxes of its asset parts."""

    parts: RoomParts
    feats: Float[Tensor, "T C"]
    shape: Float[Tensor, "T Cs"] | None
    boxes: Float[Tensor, "A 7"]


def pair_assets(box_files: Sequence[str], latent_files: Sequence[str]) -> list[AssetPair]:
    """Boxes and latents of one instance number, in the order of boxes; a later latent of one number replaces others."""
    latent_of = {number: k for k, name in enumerate(latent_files) if (number := _instance(name)) is not None}
    numbers = enumerate(map(_instance, box_files))
    return [AssetPair(box, latent_of[number]) for box, number in numbers if number is not None and number in latent_of]


def _instance(name: str) -> int | None:
    found = _INSTANCE.search(name)
    return int(found[1]) if found else None


def visible_pairs(
    pairs: Sequence[AssetPair],
    boxes: Float[Tensor, "A 7"],
    camera: Float[Tensor, " 3"],
    *,
    threshold: float = 0.5,
    max_assets: int = MAX_ASSETS,
    rng: random.Random | None = None,
) -> list[AssetPair]:
    """The pairs whose box is visible; more than `max_assets` of them are a random choice in random order."""
    visible = asset_visibility(boxes, camera).visible(threshold)
    kept = [pair for pair in pairs if bool(visible[pair.box])]
    return kept if len(kept) <= max_assets else (rng or random.Random()).sample(kept, max_assets)


def room_sample(
    room: PartLatent,
    layout: PartLatent | None,
    assets: Sequence[PartLatent],
    boxes: Float[Tensor, "A 7"],
    statistics: LatentStatistics,
    shape_statistics: LatentStatistics | None = None,
) -> RoomSample:
    """One sequence of all parts, normalised.

    Args:
        layout: None where the room has no layout latent; assets then follow the room directly.
        boxes: of the assets, in their order.
        shape_statistics: for texture training. A part without a shape latent gets raw zeros before normalisation.
    """
    latents = [room, *([layout] if layout is not None else []), *assets]
    kinds = ["room", *(["layout"] if layout is not None else [])]
    parts = [Part(kind, latent.coords.int()) for kind, latent in zip(kinds, latents, strict=False)]  # type: ignore[arg-type]
    parts += [Part("asset", latent.coords.int(), box) for box, latent in enumerate(assets)]
    feats = _normalized(torch.cat([latent.feats for latent in latents]), statistics)
    shape = None
    if shape_statistics is not None:
        channels = len(shape_statistics.mean)
        rows = [x.feats.new_zeros(len(x.feats), channels) if x.shape is None else x.shape for x in latents]
        shape = _normalized(torch.cat(rows), shape_statistics)
    return RoomSample(RoomParts(tuple(parts)), feats, shape, boxes)


def _normalized(feats: Float[Tensor, "T C"], statistics: LatentStatistics) -> Float[Tensor, "T C"]:
    return (feats - feats.new_tensor(statistics.mean)) / feats.new_tensor(statistics.std)


def balanced_micro_batches(loads: Sequence[int], count: int) -> list[list[int]]:
    """Samples divided into micro-batches of like load: the heaviest first, each into the lightest so far.

    Samples of one load come in the reverse of NumPy's default order, as published; it may depend on the processor.

    Whatever conditions a sample (its panorama) must follow it: the published code leaves the pictures in their old
    order and so trains most rooms on another room's panorama.
    """
    groups: list[list[int]] = [[] for _ in range(count)]
    totals = [0] * count
    for sample in np.argsort(loads)[::-1].tolist():
        lightest = totals.index(min(totals))
        groups[lightest].append(sample)
        totals[lightest] += loads[sample]
    return groups


def area_weights(
    areas_m2: Float[Tensor, " N"],
    bounds_m2: Sequence[float] = AREA_BOUNDS_M2,
    weights: Sequence[float] = AREA_WEIGHTS,
) -> Float[Tensor, " N"]:
    """Sampling weights of rooms by floor area, as large rooms are rare and hard: one weight more than bounds."""
    step = torch.bucketize(areas_m2, areas_m2.new_tensor(bounds_m2), right=True)
    return areas_m2.new_tensor(weights)[step]
