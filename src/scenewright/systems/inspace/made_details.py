"""Training samples of the detail flows from made rooms: latents of the layout and of every visible object, in place.

    RoomModel -> voxel_parts (O-Voxels on the room's grid) -> detail_samples (shape and texture, for `room_sets`)

Layout and objects are encoded each from its own mesh, as published: cells where two of them meet are in both. The
layout ends where the ceiling is cut off.

Legend: R voxels a side of the room's grid, T tokens per face, D channels of a token.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.backbones.trellis2.sampling import normalized
from scenewright.errors import InputError
from scenewright.geometry.ovoxel.voxelize_object import placed_to_ovoxel
from scenewright.sparse.tensor import SparseTensor
from scenewright.systems.inspace.asset_views import asset_visibility
from scenewright.systems.inspace.made_rooms import CEILING_CUT_M, RoomModel
from scenewright.systems.inspace.training_samples import MAX_ASSETS
from scenewright.types import Mesh, OVoxel
from scenewright.weights.record import LatentStatistics

__all__ = ["LatentsOf", "VoxelParts", "detail_samples", "voxel_parts"]

LatentsOf = Callable[[OVoxel], tuple[SparseTensor, SparseTensor]]
"""Shape and texture latent (not normalised) of voxels, on the same cells."""


@dataclass(frozen=True)
class VoxelParts:
    """Voxels of a room's parts; `objects` name their box by row.

    Attributes:
        room: everything together; None where it is left out.
    """

    layout: OVoxel
    objects: tuple[tuple[int, OVoxel], ...]
    room: OVoxel | None = None


def voxel_parts(model: RoomModel, resolution: int, *, with_room: bool = True) -> VoxelParts:
    """Voxels of layout and visible objects; an object too thin or small for the grid is left out.

    Raises:
        InputError: not even the layout is on the grid.
    """
    room = model.room
    top = (room.ceiling_m - CEILING_CUT_M - float(room.center_m[2])) * room.scale
    boxes = torch.from_numpy(room.boxes)
    visible = asset_visibility(boxes, torch.from_numpy(room.camera)).visible().nonzero()[:MAX_ASSETS, 0].tolist()
    layout, meshes = model.layout(), model.objects()
    objects = []
    for row in visible:
        try:
            objects.append((row, placed_to_ovoxel(meshes[row], resolution)))
        except InputError:
            continue
    whole = None
    if with_room:
        everything: list[Mesh] = [*layout, *(part for parts in meshes for part in parts)]
        whole = _below(placed_to_ovoxel(everything, resolution), top)
    return VoxelParts(_below(placed_to_ovoxel(layout, resolution), top), tuple(objects), whole)


def _below(voxels: OVoxel, top: float) -> OVoxel:
    """The voxels whose middle lies below a height of the cube."""
    grid = voxels.grid
    kept = (grid.coords[:, 2] + 0.5) / grid.resolution - 0.5 < top
    left = replace(
        grid, coords=grid.coords[kept], dual_vertices=grid.dual_vertices[kept], intersected=grid.intersected[kept]
    )
    return OVoxel(left, {name: values[kept] for name, values in voxels.materials.items()})


@torch.no_grad()
def detail_samples(
    parts: VoxelParts,
    latents_of: LatentsOf,
    boxes: Float[Tensor, "A 7"],
    camera: Float[Tensor, " 3"],
    tokens: Float[Tensor, "6 T D"],
    statistics: Mapping[str, LatentStatistics],
) -> dict[str, dict[str, Tensor]]:
    """The tensors of one training room, for the "shape" and for the "texture" flow.

    Args:
        boxes: of all objects of the room.
        statistics: of "shape" and "texture" latents.
    """
    voxels: Sequence[OVoxel | None] = [parts.room, parts.layout, *(item for _, item in parts.objects)]
    found = [None if item is None else latents_of(item) for item in voxels]
    given = [item for item in found if item is not None]
    shape, texture = (
        torch.cat([normalized(pair[kind], statistics[name]).feats for pair in given]).half()
        for kind, name in enumerate(("shape", "texture"))
    )
    shared = {
        "coords": torch.cat([pair[0].coords[:, 1:] for pair in given]).int(),
        "lengths": torch.tensor([0 if item is None else len(item[0].coords) for item in found]),
        "boxes": boxes[[row for row, _ in parts.objects]],
        "tokens": tokens.half(),
        "camera": camera,
    }
    return {"shape": shared | {"latent": shape}, "texture": shared | {"latent": texture, "shape_latent": shape}}
