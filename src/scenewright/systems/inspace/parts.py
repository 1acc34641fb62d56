"""From coarse occupancy and boxes to the parts that the detail stage generates together.

Tokens are cells of a 32^3 grid. Part 0 is the whole room, part 1 the layout (the floor's layer and everything above
its rim), then one part per box that holds a cell. A cell may belong to several parts: each has a token of its own.
Source: naver/inspace eval/pipeline/eval_pipeline.py and demo/app_inspace_utils.py.

Legend: N cells, A boxes, T tokens. Boxes are rows (centre x y z, full extents x y z, yaw) in the cube.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from scenewright.errors import EmptyStructureError

__all__ = ["LayoutMode", "Part", "RoomParts", "cells_in_boxes", "layout_cells", "room_parts"]

LayoutMode = Literal["floor_perimeter", "floor_perimeter_clean"]
"""Whether assets keep the cells of the floor's layer (as in training), or lose them (as in the published runs)."""
LATENT_RESOLUTION = 32


@dataclass(frozen=True)
class Part:
    """One part: its cells and, for an asset, the box it comes from (row in the given boxes)."""

    kind: Literal["room", "layout", "asset"]
    coords: Int[Tensor, "N 3"]
    box: int | None = None


@dataclass(frozen=True)
class RoomParts:
    """The parts of a room: always the whole room first, then the layout where there is one, then the assets."""

    parts: tuple[Part, ...]

    @property
    def coords(self) -> Int[Tensor, "T 3"]:
        """Cells of all parts one after another; a cell comes once per part that holds it."""
        return torch.cat([part.coords for part in self.parts])

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(len(part.coords) for part in self.parts)

    @property
    def has_layout(self) -> bool:
        return any(part.kind == "layout" for part in self.parts)

    @property
    def boxes(self) -> tuple[int, ...]:
        """Rows of the boxes that hold a cell, in the order of their parts."""
        return tuple(part.box for part in self.parts if part.box is not None)

    def split(self, rows: Shaped[Tensor, " T *rest"]) -> tuple[Shaped[Tensor, " _ *rest"], ...]:
        """Values of all tokens as one tensor per part."""
        return rows.split(list(self.lengths))


def room_parts(
    occupied: Shaped[Tensor, "N 3"],
    boxes: Float[Tensor, "A 7"],
    mode: LayoutMode = "floor_perimeter_clean",
    *,
    coarse_resolution: int = 64,
    resolution: int = LATENT_RESOLUTION,
) -> RoomParts:
    """Parts of a room, cells of each in lexicographic order; boxes without a cell make no part.

    Args:
        occupied: cells of the coarse grid; latent cells are those that hold one.

    Raises:
        EmptyStructureError: no cell is occupied.
    """
    if not len(occupied):
        raise EmptyStructureError("The coarse stage left no occupied cell, so there is no room; try another seed.")
    coords = (occupied.int() // (coarse_resolution // resolution)).unique(dim=0)
    is_layout, floor = layout_cells(coords)
    is_inside = cells_in_boxes(coords, boxes, resolution)
    if mode == "floor_perimeter_clean":
        is_inside &= coords[:, 2] != floor
    parts = [Part("room", coords), Part("layout", coords[is_layout])]
    parts += [Part("asset", coords[inside], box) for box, inside in enumerate(is_inside) if bool(inside.any())]
    return RoomParts(tuple(parts))


def layout_cells(coords: Int[Tensor, "N 3"]) -> tuple[Bool[Tensor, " N"], int]:
    """Which cells are layout, and the index of the floor's layer: the fullest one, the lowest of equals.

    Layout is that layer and whatever stands above its rim: floor cells that lack one of their four neighbours (rims of
    holes in the floor count). Cells below the floor are never layout.
    """
    counts = torch.bincount(coords[:, 2].long())
    floor = int((counts == counts.max()).nonzero()[0])
    x, y, z = coords.long().T
    size = int(coords.max()) + 1
    plan = torch.zeros(size + 2, size + 2, dtype=torch.bool, device=coords.device)
    plan[x[z == floor] + 1, y[z == floor] + 1] = True
    inner = plan[:-2, 1:-1] & plan[2:, 1:-1] & plan[1:-1, :-2] & plan[1:-1, 2:]
    is_rim = plan[1:-1, 1:-1] & ~inner
    return (z == floor) | ((z > floor) & is_rim[x, y]), floor


def cells_in_boxes(
    coords: Int[Tensor, "N 3"], boxes: Float[Tensor, "A 7"], resolution: int = LATENT_RESOLUTION
) -> Bool[Tensor, "A N"]:
    """Which cells have their centre inside each box, faces included; in fp32, which decides ties as published."""
    offsets = (coords.float() + 0.5) / resolution - 0.5 - boxes[:, None, :3]
    c, s = boxes[:, 6, None].cos(), boxes[:, 6, None].sin()
    x, y, z = offsets.unbind(-1)
    local = torch.stack([c * x + s * y, c * y - s * x, z], -1)
    return (local.abs() <= boxes[:, None, 3:6] / 2).all(-1)
