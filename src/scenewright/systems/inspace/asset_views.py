"""Where a box shows on the six cube faces: the patch tokens an asset reads, and whether it is seen well enough.

A box is the rectangle around its projected corners that lie in front of the face; corners behind are ignored, so a box
that crosses a face's plane is covered too little there (as published). u grows to the right, v downwards:
u = (x / k + 1) / 2 S, v = (1 - y / k) / 2 S, k = tan(fov / 2).
Source: naver/inspace trellis2/utils/asset_attention_mask.py.

Legend: A boxes, S face image size in pixels, P patches per side. Faces in the order of `FACE_AXES`.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.geometry.camera.cubemap import cube_face_rotations
from scenewright.systems.inspace.view_bias import FOV_DEG

__all__ = ["AssetVisibility", "FaceTokens", "asset_rectangles", "asset_visibility", "box_corners", "overlap_groups"]

# Corners closer to the face's plane through the camera have no place on the image.
_NEAREST = 1e-6


@dataclass(frozen=True)
class FaceTokens:
    """The tokens of a cube face: CLS and registers, then square patches row by row."""

    fov_deg: float = FOV_DEG
    image_size: int = 512
    patch_size: int = 16
    num_special: int = 5
    expand_px: float = 28.0
    """Growth of an asset's rectangle on each side."""

    @property
    def patches(self) -> int:
        """Patches per side."""
        return self.image_size // self.patch_size

    @property
    def per_face(self) -> int:
        """Tokens per face."""
        return self.num_special + self.patches**2


@dataclass(frozen=True)
class AssetVisibility:
    """Share of each box that the six faces show; `per_face` and `best` are 1 where the camera is inside the box."""

    per_face: Float[Tensor, "A 6"]
    inside: Bool[Tensor, " A"]

    @property
    def best(self) -> Float[Tensor, " A"]:
        return self.per_face.amax(1) if len(self.per_face) else self.per_face.sum(1)

    def visible(self, threshold: float = 0.5) -> Bool[Tensor, " A"]:
        """Whether a box counts as seen: training drops the others."""
        return self.inside | (self.best >= threshold)


def box_corners(boxes: Float[Tensor, "A 7"]) -> Float[Tensor, "A 8 3"]:
    """Corners of upright boxes, in the frame and dtype of their centres."""
    signs = torch.cartesian_prod(*[boxes.new_tensor([-0.5, 0.5])] * 3)
    x, y, z = (signs * boxes[:, None, 3:6]).unbind(-1)
    c, s = boxes[:, 6, None].cos(), boxes[:, 6, None].sin()
    return torch.stack([c * x - s * y, s * x + c * y, z], -1) + boxes[:, None, :3]


def asset_rectangles(
    boxes: Float[Tensor, "A 7"], camera: Float[Tensor, " 3"], tokens: FaceTokens
) -> tuple[Int[Tensor, "A 6 4"], Bool[Tensor, "A keys"]]:
    """Patch cells that each box covers on each face, and the image tokens it reads.

    Returns:
        First and last (excluded) column, first and last (excluded) row, -1 where no cell is covered; and which of the
        6 x `per_face` tokens are covered. CLS and registers never are; a box on no face at all reads everything.
    """
    bounds, shown = _projected_bounds(boxes, camera, tokens.fov_deg, tokens.image_size)
    low, high = bounds[..., 0::2] - tokens.expand_px, bounds[..., 1::2] + tokens.expand_px
    low, high = (edge.clamp(0, tokens.image_size) / tokens.patch_size for edge in (low, high))
    first, last = low.floor().int(), high.ceil().int().clamp(max=tokens.patches)
    shown &= (first < last).all(-1)
    rectangles = torch.stack([first[..., 0], last[..., 0], first[..., 1], last[..., 1]], -1)
    rectangles = torch.where(shown[..., None], rectangles, -1)
    cell = torch.arange(tokens.patches, device=boxes.device, dtype=torch.int32)
    columns = (cell >= rectangles[..., :1]) & (cell < rectangles[..., 1:2])
    rows = (cell >= rectangles[..., 2:3]) & (cell < rectangles[..., 3:])
    patches = (rows[..., :, None] & columns[..., None, :]).flatten(2)
    special = patches.new_zeros(*patches.shape[:2], tokens.num_special)
    mask = torch.cat([special, patches], 2).flatten(1)
    return rectangles, mask | ~mask.any(1, keepdim=True)


def asset_visibility(
    boxes: Float[Tensor, "A 7"],
    camera: Float[Tensor, " 3"],
    *,
    fov_deg: float = FOV_DEG,
    image_size: int = 512,
    edge_px: float = 3.0,
) -> AssetVisibility:
    """Share of each box's rectangle that lies inside each face's image, less where it touches the image's border.

    The share is multiplied by 1 - half the part of the clipped rectangle's perimeter within `edge_px` of the border.
    Nothing is said about occlusion.
    """
    bounds, shown = _projected_bounds(boxes, camera, fov_deg, image_size)
    clipped = bounds.clamp(0, image_size)
    width, height = clipped[..., 1] - clipped[..., 0], clipped[..., 3] - clipped[..., 2]
    whole = (bounds[..., 1] - bounds[..., 0]) * (bounds[..., 3] - bounds[..., 2])
    has_area = shown & (width > 0) & (height > 0)
    touches_low, touches_high = clipped <= edge_px, clipped >= image_size - edge_px
    on_edge = (touches_low[..., 0].double() + touches_high[..., 1]) * height
    on_edge = on_edge + (touches_low[..., 2].double() + touches_high[..., 3]) * width
    perimeter = 2 * (width + height)
    share = width * height / torch.where(has_area, whole, 1.0)
    value = share * (1 - 0.5 * on_edge / torch.where(has_area, perimeter, 1.0))
    inside = _contains(boxes.double(), camera.double())
    per_face = torch.where(has_area, value, 0.0)
    return AssetVisibility(torch.where(inside[:, None], 1.0, per_face).float(), inside)


def overlap_groups(
    boxes: Float[Tensor, "A 7"], margin: float = 0.02
) -> tuple[Bool[Tensor, "A A"], tuple[tuple[int, ...], ...]]:
    """Which boxes overlap when each extent grows by `margin` (touching counts), and the connected groups.

    Groups come by their first member, members ascending. They are how the published code batches its attention; what
    an asset reads does not depend on them.
    """
    grown = boxes.double().clone()
    grown[:, 3:6] += margin
    overlap = _overlapping(grown)
    overlap.fill_diagonal_(False)
    group = list(range(len(boxes)))
    for first, second in overlap.nonzero().tolist():
        low, high = sorted((group[first], group[second]))
        if low != high:
            group = [low if g == high else g for g in group]
    groups = tuple(tuple(a for a, g in enumerate(group) if g == name) for name in sorted(set(group)))
    return overlap, groups


def _overlapping(boxes: Float[Tensor, "A 7"]) -> Bool[Tensor, "A A"]:
    """Separating axes of upright boxes: the up axis and the two horizontal axes of either box."""
    corners = box_corners(boxes)
    c, s = boxes[:, 6].cos(), boxes[:, 6].sin()
    zero = torch.zeros_like(c)
    axes = torch.stack([torch.stack([c, s, zero], 1), torch.stack([-s, c, zero], 1)], 1)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=boxes.dtype, device=boxes.device).expand(len(boxes), 1, 3)
    axes = torch.cat([axes, up], 1)
    # [a, b, axis of a]: extent of b along the axes of a.
    along = torch.einsum("bkd,axd->abxk", corners, axes)
    low, high = along.amin(-1), along.amax(-1)
    own_low = torch.diagonal(low, dim1=0, dim2=1).movedim(-1, 0)[:, None]
    own_high = torch.diagonal(high, dim1=0, dim2=1).movedim(-1, 0)[:, None]
    meets = ((low <= own_high + _TOUCHING) & (high >= own_low - _TOUCHING)).all(-1)
    return meets & meets.T


# Boxes that touch differ by rounding only.
_TOUCHING = 1e-12


def _contains(boxes: Float[Tensor, "A 7"], point: Float[Tensor, " 3"]) -> Bool[Tensor, " A"]:
    x, y, z = (point - boxes[:, :3]).T
    c, s = boxes[:, 6].cos(), boxes[:, 6].sin()
    return (torch.stack([c * x + s * y, c * y - s * x, z], 1).abs() <= boxes[:, 3:6] / 2).all(1)


def _projected_bounds(
    boxes: Float[Tensor, "A 7"], camera: Float[Tensor, " 3"], fov_deg: float, size: int
) -> tuple[Float[Tensor, "A 6 4"], Bool[Tensor, "A 6"]]:
    """Lowest and highest u, lowest and highest v of the corners in front of each face, and whether there are any."""
    offsets = box_corners(boxes.double()) - camera.double()
    x, y, z = offsets.unbind(-1)
    cam = torch.stack([x, -z, y], -1)  # OpenCV axes of a camera that looks along +y
    turned = torch.einsum("fij,akj->afki", cube_face_rotations().to(cam), cam)
    right, down, forward = turned.unbind(-1)
    in_front = (forward > 0) & (offsets.norm(dim=-1) >= _NEAREST)[:, None]
    edge = math.tan(math.radians(fov_deg) / 2)
    depth = torch.where(in_front, forward, 1.0)
    u, v = ((axis / depth / edge + 1) / 2 * size for axis in (right, down))
    far = torch.inf
    low = [torch.where(in_front, axis, far).amin(-1) for axis in (u, v)]
    high = [torch.where(in_front, axis, -far).amax(-1) for axis in (u, v)]
    bounds = torch.stack([low[0], high[0], low[1], high[1]], -1)
    shown = in_front.any(-1)
    return torch.where(shown[..., None], bounds, 0.0), shown
