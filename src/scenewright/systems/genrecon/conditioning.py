"""The condition of every voxel of a scene from all pictures: projection into each view, then the multi-view aggregator.

Each distinct cell of the scene is conditioned once and copied to the chunks that hold it. Voxels are taken in blocks
under a memory ceiling, which does not change the result; geometry is fp32 whatever the features are.
Source: GenRecon, `genrecon/pipelines/full_scene_images_to_3d.py`.

Legend: N views, T tokens of a view, S voxels, D channels. Frame: the joint frame (local frame of the first chunk).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.camera.patches import camera_embedding, patch_of_points
from scenewright.systems.genrecon.aggregator import MultiViewAggregator, Pairs
from scenewright.systems.genrecon.fused_aggregator import FusedAggregator

__all__ = ["MEMORY_BYTES", "NUM_GLOBAL_TOKENS", "EncodedViews", "condition_points"]

NUM_GLOBAL_TOKENS = 5
"""Class and register tokens of DINOv3 in front of the patches; no voxel reads them."""
MEMORY_BYTES = 1 << 30
"""Ceiling of the working memory of a block of voxels, beside the features themselves."""
# Rows of D values a pair needs at its peak: hidden rows of both branches, and their sums before them.
_ROWS_PER_PAIR = 6
# Bytes of geometry a voxel needs per view: camera coordinates, image coordinates, patch, flag.
_GEOMETRY_BYTES = 96


@dataclass(frozen=True)
class EncodedViews:
    """Encoded pictures with their cameras; `cam_from_joint` holds the chunk's scale, so that depth is in metres.

    `num_global` tokens in front of the patches belong to no place in the picture.
    """

    tokens: Float[Tensor, "N T D"]
    cam_from_joint: Float[Tensor, "N 4 4"]
    intrinsics_unit: Float[Tensor, "N 3 3"]
    num_global: int = NUM_GLOBAL_TOKENS

    @property
    def patches(self) -> int:
        """Patches along an image side.

        Raises:
            InputError: the tokens are not five and a square of patches.
        """
        count = self.tokens.shape[1] - self.num_global
        side = round(max(count, 0) ** 0.5)
        if side < 1 or side * side != count:
            raise InputError(
                f"Expected {self.num_global} tokens and a square of patches per view, got {self.tokens.shape[1]} "
                "tokens; encode square pictures."
            )
        return side


@torch.no_grad()
def condition_points(
    aggregator: MultiViewAggregator,
    views: EncodedViews,
    points: Float[Tensor, "S 3"],
    *,
    dtype: torch.dtype = torch.float32,
    memory_bytes: int = MEMORY_BYTES,
) -> Float[Tensor, "S D"]:
    """The aggregated feature of every point, exactly zero where no view sees it.

    Args:
        points: in the joint frame, fp32.
        dtype: of the matrix products on a processor, float32 or bfloat16.
        memory_bytes: ceiling of the working memory; a single point with all its views is always taken at once.
    """
    count, per_view, width = views.tokens.shape
    tokens, patches = views.tokens.flatten(0, 1), views.patches
    result = points.new_empty(len(points), width, dtype=tokens.dtype)
    first_patch = torch.arange(count, device=points.device) * per_view + views.num_global
    fused = None
    if points.device.type == "cpu" and not aggregator.config.has_camera:
        fused = FusedAggregator(aggregator, dtype)
    # A third of the ceiling each for geometry, terms of tokens, and rows of pairs.
    share = memory_bytes // 3
    block = max(1, share // (_GEOMETRY_BYTES * max(count, 1)))
    if fused is not None and fused.term_bytes * len(tokens) > share:
        block = max(1, min(block, share // (fused.term_bytes * max(count, 1))))
    for begin in range(0, len(points), block):
        part, rows = points[begin : begin + block], result[begin : begin + block]
        patch, seen = patch_of_points(part, views.cam_from_joint, views.intrinsics_unit, patches)
        token = (patch + first_patch[:, None]).T[seen.T]
        if fused is None:
            camera = None
            if aggregator.config.has_camera:
                camera = camera_embedding(part, views.cam_from_joint).transpose(0, 1)[seen.T]
            _by_pairs(aggregator, tokens, token, camera, seen.sum(0), rows, share)
        else:
            used, term = token.unique(return_inverse=True)
            terms = fused.token_terms(tokens, used)
            fused.aggregate(tokens, terms, token, term, seen.sum(0), rows, memory_bytes=share)
    return result


def _by_pairs(
    aggregator: MultiViewAggregator,
    tokens: Float[Tensor, "M D"],
    token: Int[Tensor, " Q"],
    camera: Float[Tensor, "Q 5"] | None,
    pairs_of_voxel: Int[Tensor, " S"],
    result: Float[Tensor, "S D"],
    memory_bytes: int,
) -> None:
    """By the aggregator itself: on accelerators, and where pairs bring numbers of their cameras."""
    limit = max(1, memory_bytes // (_ROWS_PER_PAIR * tokens.shape[1] * 4))
    done = 0
    for rows in _voxel_blocks(pairs_of_voxel, limit):
        counts = pairs_of_voxel[rows]
        own = slice(done, done + int(counts.sum()))
        voxel = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
        pairs = Pairs(token[own], voxel, len(counts), None if camera is None else camera[own])
        result[rows] = aggregator(tokens, pairs)
        done = own.stop


def _voxel_blocks(pairs_of_voxel: Int[Tensor, " S"], limit: int) -> Iterator[slice]:
    """Consecutive voxels with at most `limit` pairs together (or one voxel with more)."""
    total = pairs_of_voxel.cumsum(0)
    begin, done = 0, 0
    while begin < len(total):
        end = int(torch.searchsorted(total, done + limit, right=True))
        end = max(end, begin + 1)
        yield slice(begin, end)
        begin, done = end, int(total[end - 1])
