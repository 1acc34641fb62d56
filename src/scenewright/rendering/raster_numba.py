"""The CPU rasteriser: compiled loops that turn triangles into a visibility buffer.

Steps: project vertices; per triangle reject, clip and snap to 1/256 pixel (`setup_plain`, `setup_clipped`); fill a
z-buffer (`fill_band`); recover face ids and perspective-correct barycentrics (`resolve_band`). Edge functions are exact
integers with the top-left rule, so triangles that share an edge leave no gap and no pixel twice, at any sub-pixel
offset.

The depth key q is linear over the screen and larger when nearer: 1/z in perspective, -z in parallel projection. Every
triangle counts from both sides. Kernels release the interpreter lock and write disjoint rows, so threads share them.

A `view` is 17 float64: rotation (9, row-major), translation (3), fx, fy, skew, cx, cy.
"""

from typing import no_type_check

import numpy as np

from scenewright.compiled import njit
from scenewright.rendering.texture_numba import face_alpha

__all__ = [
    "fill_band",
    "instances_at",
    "project_vertices",
    "resolve_band",
    "resolve_depth",
    "setup_clipped",
    "setup_plain",
]

SHIFT = 8
SUBPIXEL = 1 << SHIFT
GUARD_PX = 8192.0  # triangles reaching further than this beyond the image are clipped so that integers stay small


@njit(cache=True, nogil=True)
@no_type_check
def on_screen(vertices, i, view, ortho):
    """Vertex i in float64 as u * w, v * w, w, z, with w = z in perspective and 1 in parallel projection."""
    x, y, z = float(vertices[i, 0]), float(vertices[i, 1]), float(vertices[i, 2])
    cam_x = view[0] * x + view[1] * y + view[2] * z + view[9]
    cam_y = view[3] * x + view[4] * y + view[5] * z + view[10]
    cam_z = view[6] * x + view[7] * y + view[8] * z + view[11]
    w = 1.0 if ortho else cam_z
    return view[12] * cam_x + view[14] * cam_y + view[15] * w, view[13] * cam_y + view[16] * w, w, cam_z


@njit(cache=True, nogil=True)
@no_type_check
def project_vertices(vertices, view, ortho, near, width, height, fixed, vertex_key, is_plain):
    """Vertices on the screen.

    `is_plain` marks those beyond the near plane and inside the guard band, whose snapped pixel position `fixed` and
    depth key `vertex_key` may be used.
    """
    for i in range(vertices.shape[0]):
        u, v, w, cam_z = on_screen(vertices, i, view, ortho)
        # Written so that a coordinate that is not a number is never plain.
        plain = near <= cam_z < 1e30 and -GUARD_PX * w <= u <= (width + GUARD_PX) * w
        plain = plain and -GUARD_PX * w <= v <= (height + GUARD_PX) * w
        is_plain[i] = plain
        if plain:
            vertex_key[i] = -cam_z if ortho else 1.0 / cam_z
            fixed[i, 0], fixed[i, 1] = int(np.rint(u / w * SUBPIXEL)), int(np.rint(v / w * SUBPIXEL))


@njit(cache=True, nogil=True)
@no_type_check
def setup_plain(fixed, vertex_key, is_plain, faces, selected, width, height, corners, keys, owner, order, rest):
    """Screen triangles of the faces that need no clipping; returns their count and how many faces went to `rest`.

    `selected`: which faces take part; empty for all.
    `corners` [T, 6] fixed-point x, y of three corners in counter-clockwise order of the integer edge test; `keys`
    [T, 3] depth keys; `owner` [T] face; `order` [T] -1 for a triangle in its face's order, -2 with corners 1 and 2
    swapped.
    Kept apart from `setup_clipped` because this loop, alone, compiles to code five times as fast.
    """
    half = SUBPIXEL // 2
    some = selected.shape[0] > 0
    emitted, left_over = 0, 0
    for f in range(faces.shape[0]):
        if some and not selected[f]:
            continue
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        if not (is_plain[i] and is_plain[j] and is_plain[k]):
            rest[left_over] = f
            left_over += 1
            continue
        ax, ay, bx, by = int(fixed[i, 0]), int(fixed[i, 1]), int(fixed[j, 0]), int(fixed[j, 1])
        cx, cy = int(fixed[k, 0]), int(fixed[k, 1])
        if max((min(ax, bx, cx) + half - 1) >> SHIFT, 0) > min((max(ax, bx, cx) - half) >> SHIFT, width - 1):
            continue
        if max((min(ay, by, cy) + half - 1) >> SHIFT, 0) > min((max(ay, by, cy) - half) >> SHIFT, height - 1):
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        corners[emitted, 0], corners[emitted, 1] = ax, ay
        keys[emitted, 0] = vertex_key[i]
        if area > 0:
            corners[emitted, 2], corners[emitted, 3], corners[emitted, 4], corners[emitted, 5] = bx, by, cx, cy
            keys[emitted, 1], keys[emitted, 2] = vertex_key[j], vertex_key[k]
            order[emitted] = -1
        else:
            corners[emitted, 2], corners[emitted, 3], corners[emitted, 4], corners[emitted, 5] = cx, cy, bx, by
            keys[emitted, 1], keys[emitted, 2] = vertex_key[k], vertex_key[j]
            order[emitted] = -2
        owner[emitted] = f
        emitted += 1
    return emitted, left_over


@njit(cache=True, nogil=True)
@no_type_check
def setup_clipped(vertices, view, faces, rest, near, ortho, width, height, corners, keys, owner, clipped, weights):
    """Screen triangles of the faces in `rest`, up to six each; returns their count.

    As in `setup_plain`, but `clipped` [T] is the row of `weights` [T, 9]: the corners' barycentrics on the face.
    """
    half = SUBPIXEL // 2
    emitted = 0
    projected = np.empty((3, 4))
    polygon = np.empty((9, 7))
    other = np.empty((9, 7))
    screen = np.empty((9, 2), np.int64)
    for f in rest:
        for row in range(3):
            u, v, w, z = on_screen(vertices, faces[f, row], view, ortho)
            projected[row, 0], projected[row, 1], projected[row, 2], projected[row, 3] = u, v, w, z
        if is_out_of_sight(projected, near, width, height):
            continue
        for row in range(3):
            for c in range(4):
                polygon[row, c] = projected[row, c]
            for c in range(3):
                polygon[row, 4 + c] = 1.0 if c == row else 0.0
        count = 3
        for plane in range(5):
            count = clip_polygon(polygon, count, other, plane, near, width, height)
            polygon, other = other, polygon
            if count < 3:
                break
        for row in range(count):
            for c in range(2):
                screen[row, c] = int(np.rint(polygon[row, c] / polygon[row, 2] * SUBPIXEL))
        for row in range(1, count - 1):
            b, c = row, row + 1
            ax, ay, bx, by, cx, cy = screen[0, 0], screen[0, 1], screen[b, 0], screen[b, 1], screen[c, 0], screen[c, 1]
            if max((min(ax, bx, cx) + half - 1) >> SHIFT, 0) > min((max(ax, bx, cx) - half) >> SHIFT, width - 1):
                continue
            if max((min(ay, by, cy) + half - 1) >> SHIFT, 0) > min((max(ay, by, cy) - half) >> SHIFT, height - 1):
                continue
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            if area == 0:
                continue
            if area < 0:
                b, c = c, b
            for corner, source in enumerate((0, b, c)):
                corners[emitted, 2 * corner], corners[emitted, 2 * corner + 1] = screen[source, 0], screen[source, 1]
                keys[emitted, corner] = -polygon[source, 3] if ortho else 1.0 / polygon[source, 2]
                for weight in range(3):
                    weights[emitted, 3 * corner + weight] = polygon[source, 4 + weight]
            owner[emitted] = f
            clipped[emitted] = emitted
            emitted += 1
    return emitted


@njit(cache=True, nogil=True)
@no_type_check
def is_out_of_sight(projected, near, width, height):
    """Whether a triangle has a broken corner or lies wholly behind one side of the view.

    The sides are half-spaces through the camera, so the tests hold for corners behind it too.
    """
    behind, left, right, above, below = 0, 0, 0, 0, 0
    for corner in range(3):
        u, v, w, z = projected[corner, 0], projected[corner, 1], projected[corner, 2], projected[corner, 3]
        if not (abs(u) < 1e30 and abs(v) < 1e30 and abs(z) < 1e30):
            return True
        behind += z < near
        left += u < 0
        right += u > width * w
        above += v < 0
        below += v > height * w
    return behind == 3 or left == 3 or right == 3 or above == 3 or below == 3


@njit(cache=True, nogil=True)
@no_type_check
def plane_distance(row, plane, near, width, height):
    if plane == 0:
        return row[3] - near
    if plane == 1:
        return row[0] + GUARD_PX * row[2]
    if plane == 2:
        return (width + GUARD_PX) * row[2] - row[0]
    if plane == 3:
        return row[1] + GUARD_PX * row[2]
    return (height + GUARD_PX) * row[2] - row[1]


@njit(cache=True, nogil=True)
@no_type_check
def clip_polygon(polygon, count, out, plane, near, width, height):
    """Sutherland-Hodgman against one plane in homogeneous space; returns the new corner count."""
    written = 0
    for k in range(count):
        nxt = (k + 1) % count
        here = plane_distance(polygon[k], plane, near, width, height)
        there = plane_distance(polygon[nxt], plane, near, width, height)
        if here >= 0:
            for c in range(7):
                out[written, c] = polygon[k, c]
            written += 1
        if (here >= 0) != (there >= 0):
            # Always cut from the inner end, so that two faces sharing this edge cut it at the same point.
            t = here / (here - there) if here >= 0 else there / (there - here)
            for c in range(7):
                if here >= 0:
                    out[written, c] = polygon[k, c] + t * (polygon[nxt, c] - polygon[k, c])
                else:
                    out[written, c] = polygon[nxt, c] + t * (polygon[k, c] - polygon[nxt, c])
            written += 1
    return written


@njit(cache=True, nogil=True)
@no_type_check
def fill_band(
    corners, keys, owner, clipped, weights, count, ortho, first_row, last_row, depth_key, triangle, limit_key, peel,
    alpha_test, uv, colors, faces, face_material, factors, kinds, textures, texels,
):  # fmt: skip
    """Z-buffer rows [first_row, last_row): `depth_key` holds the largest key so far, `triangle` who wrote it.

    On equal keys the first triangle wins. `peel`: only fragments strictly behind `limit_key` count. `alpha_test`:
    fragments of masked or blended materials below their cutoff are dropped.
    """
    width = depth_key.shape[1]
    half = SUBPIXEL // 2
    for t in range(count):
        ax, ay = int(corners[t, 0]), int(corners[t, 1])
        bx, by = int(corners[t, 2]), int(corners[t, 3])
        cx, cy = int(corners[t, 4]), int(corners[t, 5])
        first_y = max((min(ay, by, cy) + half - 1) >> SHIFT, first_row)
        last_y = min((max(ay, by, cy) - half) >> SHIFT, last_row - 1)
        if first_y > last_y:
            continue
        first_x = max((min(ax, bx, cx) + half - 1) >> SHIFT, 0)
        last_x = min((max(ax, bx, cx) - half) >> SHIFT, width - 1)
        face = owner[t]
        tested = alpha_test and kinds[face_material[face], 0] in (1, 2)
        # Edge k faces corner k; a pixel centre exactly on a right or bottom edge belongs to the neighbour.
        step_a_x, step_a_y = by - cy, cx - bx
        step_b_x, step_b_y = cy - ay, ax - cx
        step_c_x, step_c_y = ay - by, bx - ax
        bias_a = 0 if (step_a_x > 0 or (step_a_x == 0 and step_a_y > 0)) else -1
        bias_b = 0 if (step_b_x > 0 or (step_b_x == 0 and step_b_y > 0)) else -1
        bias_c = 0 if (step_c_x > 0 or (step_c_x == 0 and step_c_y > 0)) else -1
        inverse_area = 1.0 / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
        key_a = keys[t, 0]
        delta_b, delta_c = keys[t, 1] - key_a, keys[t, 2] - key_a
        px = first_x * SUBPIXEL + half
        for row in range(first_y, last_y + 1):
            py = row * SUBPIXEL + half
            edge_a = (px - bx) * step_a_x + (py - by) * step_a_y
            edge_b = (px - cx) * step_b_x + (py - cy) * step_b_y
            edge_c = (px - ax) * step_c_x + (py - ay) * step_c_y
            for column in range(first_x, last_x + 1):
                # One hard-to-predict branch instead of four: the signs together, and the depth whether needed or not.
                key = key_a + (edge_b * delta_b + edge_c * delta_c) * inverse_area
                is_inside = ((edge_a + bias_a) | (edge_b + bias_b) | (edge_c + bias_c)) >= 0
                if is_inside & (key > depth_key[row, column]) and not (peel and key >= limit_key[row, column]):
                    visible = True
                    if tested:
                        b1, b2 = barycentrics(edge_a, edge_b, edge_c, keys[t], clipped[t], weights, inverse_area, ortho)
                        alpha, cutoff = face_alpha(
                            face, b1, b2, uv, colors, faces, face_material, factors, kinds, textures, texels
                        )
                        visible = alpha >= cutoff
                    if visible:
                        depth_key[row, column] = key
                        triangle[row, column] = t
                edge_a += SUBPIXEL * step_a_x
                edge_b += SUBPIXEL * step_b_x
                edge_c += SUBPIXEL * step_c_x


@njit(cache=True, nogil=True)
@no_type_check
def barycentrics(edge_a, edge_b, edge_c, key, clip_row, weights, inverse_area, ortho):
    """Perspective-correct weights of the face's corners 1 and 2 from screen-space edge values."""
    wa, wb, wc = edge_a * inverse_area, edge_b * inverse_area, edge_c * inverse_area
    if not ortho:
        wa, wb, wc = wa * key[0], wb * key[1], wc * key[2]
        total = wa + wb + wc
        wa, wb, wc = wa / total, wb / total, wc / total
    if clip_row == -1:
        return wb, wc
    if clip_row == -2:
        return wc, wb
    row = weights[clip_row]
    return wa * row[1] + wb * row[4] + wc * row[7], wa * row[2] + wb * row[5] + wc * row[8]


@njit(cache=True, nogil=True)
@no_type_check
def resolve_band(
    corners, keys, owner, clipped, weights, ortho, first_row, last_row, depth_key, triangle, face, bary, depth
):  # fmt: skip
    """Face id (-1: none), barycentrics of corners 1 and 2, and depth (0: none) for rows [first_row, last_row)."""
    half = SUBPIXEL // 2
    for row in range(first_row, last_row):
        py = row * SUBPIXEL + half
        for column in range(depth_key.shape[1]):
            t = triangle[row, column]
            if t < 0:
                face[row, column] = -1
                depth[row, column] = 0.0
                bary[row, column, 0] = 0.0
                bary[row, column, 1] = 0.0
                continue
            px = column * SUBPIXEL + half
            ax, ay = int(corners[t, 0]), int(corners[t, 1])
            bx, by = int(corners[t, 2]), int(corners[t, 3])
            cx, cy = int(corners[t, 4]), int(corners[t, 5])
            edge_a = (px - bx) * (by - cy) + (py - by) * (cx - bx)
            edge_b = (px - cx) * (cy - ay) + (py - cy) * (ax - cx)
            edge_c = (px - ax) * (ay - by) + (py - ay) * (bx - ax)
            inverse_area = 1.0 / (edge_a + edge_b + edge_c)
            b1, b2 = barycentrics(edge_a, edge_b, edge_c, keys[t], clipped[t], weights, inverse_area, ortho)
            face[row, column] = owner[t]
            bary[row, column, 0] = b1
            bary[row, column, 1] = b2
            key = depth_key[row, column]
            depth[row, column] = -key if ortho else 1.0 / key


@njit(cache=True, nogil=True)
@no_type_check
def resolve_depth(ortho, first_row, last_row, depth_key, triangle, depth):
    """Only the depth of `resolve_band`."""
    for row in range(first_row, last_row):
        for column in range(depth_key.shape[1]):
            key = depth_key[row, column]
            seen = -key if ortho else 1.0 / key
            depth[row, column] = seen if triangle[row, column] >= 0 else 0.0


@njit(cache=True, nogil=True)
@no_type_check
def instances_at(face, face_instance, face_material, kinds, hidden_kind, instance):
    """Fill `instance` [H, W] with the instance each pixel's face belongs to; 0 for none and for `hidden_kind`."""
    for row in range(face.shape[0]):
        for column in range(face.shape[1]):
            f = face[row, column]
            instance[row, column] = 0
            if f >= 0 and kinds[face_material[f], 0] != hidden_kind:
                instance[row, column] = face_instance[f]
