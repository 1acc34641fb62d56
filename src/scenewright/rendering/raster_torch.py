"""The rasteriser in plain torch operations: slow on a CPU, at home on any accelerator, and the twin that keeps
`raster_numba` honest.

Same integers as there: corners snapped to 1/256 pixel, exact edge functions, top-left rule, key 1/z (or -z in parallel
projection), the first triangle wins on equal keys (clipped ones come last). Every (triangle, pixel of its bounding box)
pair is tested at once, in chunks of bounded memory, and the winners are found by scatter-max.

Legend: T screen triangles, P pairs. On devices without float64 (MPS) projection falls back to float32.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenewright.rendering.texture_torch import face_alpha
from scenewright.rendering.triangles import TriangleScene
from scenewright.rendering.view import View

__all__ = ["rasterize_torch"]

SUBPIXEL = 256
HALF = SUBPIXEL // 2
GUARD_PX = 8192.0
MAX_PAIRS = 1 << 22


def rasterize_torch(
    scene: TriangleScene,
    view: View,
    *,
    selected: Bool[Tensor, " F"] | None = None,
    in_front_of: Float[Tensor, "height width"] | None = None,
    behind: Float[Tensor, "height width"] | None = None,
    alpha_test: bool = True,
) -> tuple[Int[Tensor, "height width"], Float[Tensor, "height width 2"], Float[Tensor, "height width"]]:
    """Face id, barycentrics and depth per pixel; arguments as in `gbuffer.rasterize`."""
    device = scene.vertices.device
    real = torch.float32 if device.type == "mps" else torch.float64
    corners, keys, owner, weights = _screen_triangles(scene, view, selected, real)
    num_pixels = view.height * view.width
    front = torch.full((num_pixels,), -torch.inf, dtype=real, device=device)
    if in_front_of is not None:
        front = _limit_key(in_front_of, view, real, -torch.inf)
    limit = None if behind is None else _limit_key(behind, view, real, torch.inf)
    winner = torch.full((num_pixels,), -1, dtype=torch.int64, device=device)
    kind = scene.bank.kinds[:, 0][scene.face_material.long()] if len(scene.faces) else None
    has_holes = alpha_test and kind is not None and bool(((kind == 1) | (kind == 2)).any())
    first = torch.div(corners.amin(1) - HALF + SUBPIXEL - 1, SUBPIXEL, rounding_mode="floor").clamp(min=0)
    size = torch.tensor([view.width - 1, view.height - 1], device=device)
    last = torch.minimum(torch.div(corners.amax(1) - HALF, SUBPIXEL, rounding_mode="floor"), size)
    extent = last - first + 1
    pairs_up_to = (extent[:, 0] * extent[:, 1]).cumsum(0)
    start = 0
    while start < len(owner):
        done = int(pairs_up_to[start - 1]) if start else 0
        stop = max(int(torch.searchsorted(pairs_up_to, done + MAX_PAIRS, right=True)), start + 1)
        block = slice(start, stop)
        counts = extent[block, 0] * extent[block, 1]
        tri = torch.repeat_interleave(torch.arange(start, stop, device=device), counts)
        local = torch.arange(len(tri), device=device) - (counts.cumsum(0) - counts)[tri - start]
        column = first[tri, 0] + local % extent[tri, 0]
        row = first[tri, 1] + torch.div(local, extent[tri, 0], rounding_mode="floor")
        edges, inside = _edges(corners[tri], column, row)
        tri, column, row, edges = tri[inside], column[inside], row[inside], edges[inside]
        inverse_area = 1.0 / edges.sum(1).to(real)
        key = keys[tri, 0]
        key = key + (edges[:, 1] * (keys[tri, 1] - key) + edges[:, 2] * (keys[tri, 2] - key)) * inverse_area
        pixel = row * view.width + column
        visible = key > front[pixel]
        if limit is not None:
            visible &= key < limit[pixel]
        if has_holes and kind is not None:
            mode = kind[owner[tri]]
            tested = torch.nonzero(visible & ((mode == 1) | (mode == 2))).squeeze(1)
            at = _barycentrics(edges[tested], keys[tri[tested]], weights[tri[tested]], view.ortho)
            alpha, cutoff = face_alpha(scene, owner[tri[tested]], at)
            visible[tested] = alpha >= cutoff
        tri, pixel, key = tri[visible], pixel[visible], key[visible]
        best = torch.full_like(front, -torch.inf).scatter_reduce(0, pixel, key, "amax")
        wins = key == best[pixel]
        lowest = torch.full_like(winner, len(owner)).scatter_reduce(0, pixel[wins], tri[wins], "amin")
        improved = best > front
        front = torch.where(improved, best, front)
        winner = torch.where(improved, lowest, winner)
        start = stop
    return _resolve(view, corners, keys, owner, weights, front, winner)


def _resolve(
    view: View, corners: Tensor, keys: Tensor, owner: Tensor, weights: Tensor, front: Tensor, winner: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    face = torch.full(winner.shape, -1, dtype=torch.int32, device=winner.device)
    barycentrics = torch.zeros(*winner.shape, 2, device=winner.device)
    depth = torch.zeros(winner.shape, device=winner.device)
    pixel = torch.nonzero(winner >= 0).squeeze(1)
    tri = winner[pixel]
    row = torch.div(pixel, view.width, rounding_mode="floor")
    edges, _ = _edges(corners[tri], pixel % view.width, row)
    face[pixel] = owner[tri].int()
    barycentrics[pixel] = _barycentrics(edges, keys[tri], weights[tri], view.ortho)
    depth[pixel] = (-front[pixel] if view.ortho else 1 / front[pixel]).float()
    shape = (view.height, view.width)
    return face.reshape(shape), barycentrics.reshape(*shape, 2), depth.reshape(shape)


def _edges(corners: Int[Tensor, "P 3 2"], column: Tensor, row: Tensor) -> tuple[Int[Tensor, "P 3"], Bool[Tensor, " P"]]:
    """Edge values opposite each corner at the pixel centres, and which centres the triangle owns."""
    point = torch.stack([column, row], -1) * SUBPIXEL + HALF
    begin, end = corners[:, [1, 2, 0]], corners[:, [2, 0, 1]]
    step_x, step_y = begin[..., 1] - end[..., 1], end[..., 0] - begin[..., 0]
    offset = point[:, None] - begin
    edges = offset[..., 0] * step_x + offset[..., 1] * step_y
    owned = (step_x > 0) | ((step_x == 0) & (step_y > 0))
    return edges, ((edges > 0) | ((edges == 0) & owned)).all(1)


def _barycentrics(
    edges: Int[Tensor, "P 3"], keys: Float[Tensor, "P 3"], weights: Float[Tensor, "P 3 3"], ortho: bool
) -> Float[Tensor, "P 2"]:
    screen = edges * (1.0 / edges.sum(1, keepdim=True).to(keys.dtype))
    if not ortho:
        screen = screen * keys
        screen = screen / screen.sum(1, keepdim=True)
    return (screen[:, None] @ weights).squeeze(1)[:, 1:].float()


def _limit_key(depth: Tensor, view: View, real: torch.dtype, unlimited: float) -> Tensor:
    values = depth.flatten().to(real)
    return torch.where(values == 0, unlimited, -values if view.ortho else 1 / values)


def _screen_triangles(
    scene: TriangleScene, view: View, selected: Tensor | None, real: torch.dtype
) -> tuple[Int[Tensor, "T 3 2"], Float[Tensor, "T 3"], Int[Tensor, " T"], Float[Tensor, "T 3 3"]]:
    """Snapped corners, depth keys, faces, and the corners' barycentric weights on their face."""
    n = view.numbers.to(scene.vertices.device, real)
    x, y, z = scene.vertices.to(real).unbind(1)
    # Written out term by term: a matrix product may fuse or reorder, and then rounds differently from the CPU loops.
    cam_x = n[0] * x + n[1] * y + n[2] * z + n[9]
    cam_y = n[3] * x + n[4] * y + n[5] * z + n[10]
    cam_z = n[6] * x + n[7] * y + n[8] * z + n[11]
    w = torch.ones_like(cam_z) if view.ortho else cam_z
    u = n[12] * cam_x + n[14] * cam_y + n[15] * w
    v = n[13] * cam_y + n[16] * w
    near = -1e30 if view.ortho else view.near
    face = torch.arange(len(scene.faces), device=x.device)
    if selected is not None:
        face = face[selected]
    rows = torch.stack([u, v, w, cam_z], 1)[scene.faces[face].long()]
    u, v, w, z = rows.unbind(-1)
    shown = (rows.abs() < 1e30).all(-1).all(-1) & ~(z < near).all(1)
    for outside in (u < 0, u > view.width * w, v < 0, v > view.height * w):
        shown &= ~outside.all(1)
    crossing = (z < near) | (u < -GUARD_PX * w) | (u > (view.width + GUARD_PX) * w)
    crossing |= (v < -GUARD_PX * w) | (v > (view.height + GUARD_PX) * w)
    crossing = crossing.any(1)
    eye = torch.eye(3, dtype=real, device=x.device)
    whole = shown & ~crossing
    corners = torch.cat([rows[whole], eye.expand(int(whole.sum()), 3, 3)], -1)
    cut, cut_face = _clip(rows[shown & crossing], face[shown & crossing], near, view)
    corners = torch.cat([corners, cut])
    owner = torch.cat([face[whole], cut_face])
    return _snap(corners, owner, view)


def _snap(corners: Tensor, owner: Tensor, view: View) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    fixed = torch.round(corners[..., :2] / corners[..., 2:3] * SUBPIXEL).long()
    keys = -corners[..., 3] if view.ortho else 1.0 / corners[..., 2]
    weights = corners[..., 4:]
    ab, ac = fixed[:, 1] - fixed[:, 0], fixed[:, 2] - fixed[:, 0]
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    swap = torch.tensor([0, 2, 1], device=area.device)
    flipped = area < 0
    fixed = torch.where(flipped[:, None, None], fixed[:, swap], fixed)
    keys = torch.where(flipped[:, None], keys[:, swap], keys)
    weights = torch.where(flipped[:, None, None], weights[:, swap], weights)
    first = torch.div(fixed.amin(1) - HALF + SUBPIXEL - 1, SUBPIXEL, rounding_mode="floor").clamp(min=0)
    size = torch.tensor([view.width - 1, view.height - 1], device=area.device)
    last = torch.minimum(torch.div(fixed.amax(1) - HALF, SUBPIXEL, rounding_mode="floor"), size)
    keep = (area != 0) & (first <= last).all(1)
    return fixed[keep], keys[keep], owner[keep], weights[keep]


def _clip(rows: Float[Tensor, "N 3 4"], face: Tensor, near: float, view: View) -> tuple[Tensor, Tensor]:
    """Triangle fans of the parts inside near plane and guard band (Sutherland-Hodgman, all polygons at once)."""
    count = len(rows)
    eye = torch.eye(3, dtype=rows.dtype, device=rows.device).expand(count, 3, 3)
    polygon = torch.zeros(count, 9, 7, dtype=rows.dtype, device=rows.device)
    polygon[:, :3] = torch.cat([rows, eye], -1)
    size = torch.full((count,), 3, device=rows.device)
    slot = torch.arange(9, device=rows.device)
    planes = rows.new_tensor(
        [[0, 0, 0, 1], [1, 0, GUARD_PX, 0], [-1, 0, view.width + GUARD_PX, 0], [0, 1, GUARD_PX, 0],
         [0, -1, view.height + GUARD_PX, 0]]
    )  # fmt: skip
    for i, plane in enumerate(planes):
        valid = slot < size[:, None]
        following = torch.where(slot + 1 < size[:, None], slot + 1, 0)
        following_row = polygon.gather(1, following[..., None].expand(-1, -1, 7))
        here = (polygon[..., :4] * plane).sum(-1) - (near if i == 0 else 0.0)
        there = here.gather(1, following)
        inside, next_inside = here >= 0, there >= 0
        t = torch.where(inside, here / (here - there), there / (there - here))[..., None]
        inner = torch.where(inside[..., None], polygon, following_row)
        outer = torch.where(inside[..., None], following_row, polygon)
        candidates = torch.stack([polygon, inner + t * (outer - inner)], 2).flatten(1, 2)
        kept = torch.stack([valid & inside, valid & (inside != next_inside)], 2).flatten(1, 2)
        order = torch.argsort(~kept, dim=1, stable=True)[:, :9]
        polygon = candidates.gather(1, order[..., None].expand(-1, -1, 7))
        size = kept.sum(1)
    fan = torch.stack([torch.zeros_like(slot[1:8]), slot[1:8], slot[2:9]], 1)
    exists = fan[:, 2] < size[:, None]
    return polygon[:, fan][exists], face[:, None].expand(-1, 7)[exists]
