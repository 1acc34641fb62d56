"""Which image tokens every token of the detail stage reads.

Tokens of the whole room and of the layout read whole faces inside the view cone of their voxel; tokens of an asset
read the patches its box covers. So a room has few distinct key sets: up to 26 of faces and one per asset.

The published code sorts assets into groups of overlapping boxes, but cuts the rows of each group by counting from the
first row on, although rows stay in the order of parts. Where groups interleave, assets get the keys of another group.
`published_rows` reproduces that for comparisons; weights were trained with it.
Source: naver/inspace trellis2/utils/asset_attention_mask.py and trellis2/models/structured_latent_flow.py.

Legend: T tokens, S key sets, K image tokens (6 faces), A assets.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.systems.inspace.asset_views import FaceTokens, asset_rectangles, overlap_groups
from scenewright.systems.inspace.parts import LATENT_RESOLUTION, RoomParts
from scenewright.systems.inspace.view_bias import voxel_view_mask

__all__ = ["KeySets", "intended_keys", "published_rows"]


@dataclass(frozen=True)
class KeySets:
    """Row i reads the image tokens that `masks[set_of_row[i]]` allows."""

    set_of_row: Int[Tensor, " T"]
    masks: Bool[Tensor, "S K"]

    def dense(self) -> Bool[Tensor, "T K"]:
        """The whole mask, row by row; large."""
        return self.masks[self.set_of_row]

    @classmethod
    def of_dense(cls, mask: Bool[Tensor, "T K"]) -> "KeySets":
        """The distinct rows of a mask."""
        masks, rows = mask.unique(dim=0, return_inverse=True)
        return cls(rows, masks)


def intended_keys(
    parts: RoomParts,
    boxes: Float[Tensor, "A 7"],
    camera: Float[Tensor, " 3"],
    tokens: FaceTokens,
    resolution: int = LATENT_RESOLUTION,
) -> KeySets:
    """Key sets of a room's tokens.

    Args:
        boxes: one per asset part, in their order.
        camera: position of the panorama in the cube.
    """
    faces: list[Tensor] = []
    for part in parts.parts:
        if part.kind != "asset":
            faces.append(voxel_view_mask(part.coords, camera, resolution, tokens.fov_deg)[0])
    sets, rows = torch.cat(faces).unique(dim=0, return_inverse=True)
    lengths = [len(part.coords) for part in parts.parts if part.kind == "asset"]
    counts = torch.tensor(lengths, device=rows.device, dtype=torch.long)  # a room may have no asset
    assets = torch.arange(len(counts), device=rows.device).repeat_interleave(counts) + len(sets)
    whole_faces = sets.repeat_interleave(tokens.per_face, 1)
    return KeySets(torch.cat([rows, assets]), torch.cat([whole_faces, asset_rectangles(boxes, camera, tokens)[1]]))


def published_rows(keys: KeySets, parts: RoomParts, boxes: Float[Tensor, "A 7"], margin: float = 0.02) -> KeySets:
    """The key sets that the published code really uses; a row may be left without any key.

    A row's mask means positions in the token list of its own group (the tokens that any member reads, ascending), but
    is applied to the list of the group whose slice the row falls into.
    """
    groups = overlap_groups(boxes, margin)[1]
    num_shared = sum(part.kind != "asset" for part in parts.parts)
    lengths = parts.lengths
    group_of_asset = {asset: g for g, members in enumerate(groups) for asset in members}
    first = sum(lengths[:num_shared])
    rows_of_group = torch.tensor(
        [sum(lengths[num_shared + asset] for asset in members) for members in groups], dtype=torch.long
    )
    slice_of_row = torch.arange(len(groups)).repeat_interleave(rows_of_group)
    dense = keys.dense().clone()
    asset_of_row = torch.arange(len(boxes)).repeat_interleave(torch.tensor(lengths[num_shared:], dtype=torch.long))
    group_of_row = torch.tensor([group_of_asset[int(asset)] for asset in asset_of_row], dtype=torch.long)
    lists = [(dense[first:][group_of_row == g]).any(0).nonzero()[:, 0] for g in range(len(groups))]
    for row in (slice_of_row != group_of_row).nonzero()[:, 0].tolist():
        own, other = lists[int(group_of_row[row])], lists[int(slice_of_row[row])]
        allowed = dense[first + row][own].nonzero()[:, 0]
        dense[first + row] = False
        dense[first + row][other[allowed[allowed < len(other)]]] = True
    return KeySets.of_dense(dense)
