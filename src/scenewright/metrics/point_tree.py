"""A k-d tree for one question: the nearest point of a cloud, exact, for many queries that lie near each other.

Sliding-midpoint splits (Maneewongvatana and Mount 1999) with the tight box of every node; a query starts from a guess
(the answer of the query before it, or of the same query in the last round of ICP), so that most nodes are never
opened. On surface clouds this takes half to a sixth of the time of SciPy's tree, which answers more kinds of questions.

Legend: M points of the tree, N queries. Everything is float64; building is O(M log M), memory O(M + N).
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int

from scenewright.compiled import njit

__all__ = ["PointTree"]

_LEAF_SIZE = 10
# Beyond this depth of halved boxes (points crowded at many scales) nodes are split at the median instead.
_MAX_HALVINGS = 40
# Deeper nodes are not split at all, so that a query's stack cannot overflow.
_MAX_DEPTH = 120


class PointTree:
    """The points of one cloud, ready for nearest-point queries; the cloud must not be empty and must be finite."""

    def __init__(self, points: Float[np.ndarray, "M 3"]) -> None:
        self.points = np.ascontiguousarray(points, dtype=np.float64)
        self._ordered = self.points.copy()
        self._boxes, self._child, self._range, self.order = _build(self._ordered)

    def nearest(
        self,
        queries: Float[np.ndarray, "N 3"],
        *,
        within: float = np.inf,
        guess: Int[np.ndarray, " N"] | None = None,
        sequence: Int[np.ndarray, " N"] | None = None,
    ) -> tuple[Float[np.ndarray, " N"], Int[np.ndarray, " N"]]:
        """Distance (unit of the points) and index of the nearest point, for every query.

        Args:
            within: only points strictly nearer than this count; where there is none the answer is (inf, -1).
            guess: indices of points that are probably near (-1: no idea); they change the time and nothing else,
                except which of several points at exactly one distance is named.
            sequence: the order in which to answer; neighbours in space one after the other are fastest (the `order`
                of the queries' own tree).
        """
        queries = np.ascontiguousarray(queries, dtype=np.float64)
        none = np.zeros(0, np.int64)
        return _nearest(
            self._boxes,
            self._child,
            self._range,
            self._ordered,
            self.order,
            self.points,
            queries,
            none if guess is None else guess,
            none if sequence is None else sequence,
            within,
        )


@njit(cache=True, nogil=True)
@no_type_check
def _build(points):
    """Reorders `points`; returns boxes [nodes, 6], first child (-1: leaf), range [nodes, 2] and the old indices."""
    num = points.shape[0]
    order = np.arange(num)
    boxes = np.empty((max(2 * num, 1), 6))
    child = np.full(max(2 * num, 1), -1, np.int64)
    span = np.empty((max(2 * num, 1), 2), np.int64)
    depth = np.empty(max(2 * num, 1), np.int64)
    span[0, 0], span[0, 1], depth[0] = 0, num, 0
    size, node = 1, 0
    while node < size:
        begin, end = span[node, 0], span[node, 1]
        axis, width = 0, -1.0
        for a in range(3):
            low = high = points[begin, a]
            for i in range(begin + 1, end):
                value = points[i, a]
                low = min(low, value)
                high = max(high, value)
            boxes[node, a], boxes[node, 3 + a] = low, high
            if high - low > width:
                axis, width = a, high - low
        if width <= 0:
            span[node, 1] = begin + 1  # all in one place: one of them speaks for the rest
        elif end - begin > _LEAF_SIZE and depth[node] < _MAX_DEPTH:
            middle = 0.5 * (boxes[node, axis] + boxes[node, 3 + axis])
            if depth[node] > _MAX_HALVINGS:
                middle = np.median(points[begin:end, axis])
            if middle >= boxes[node, 3 + axis]:
                middle = boxes[node, axis]
            left, right = begin, end - 1
            while left <= right:
                if points[left, axis] <= middle:
                    left += 1
                else:
                    for a in range(3):
                        points[left, a], points[right, a] = points[right, a], points[left, a]
                    order[left], order[right] = order[right], order[left]
                    right -= 1
            child[node] = size
            for k in range(2):
                span[size + k, 0] = begin if k == 0 else left
                span[size + k, 1] = left if k == 0 else end
                depth[size + k] = depth[node] + 1
            size += 2
        node += 1
    return boxes[:size].copy(), child[:size].copy(), span[:size].copy(), order


@njit(cache=True, nogil=True, inline="always")
@no_type_check
def _box_distance(boxes, node, x, y, z):
    dx = max(max(boxes[node, 0] - x, x - boxes[node, 3]), 0.0)
    dy = max(max(boxes[node, 1] - y, y - boxes[node, 4]), 0.0)
    dz = max(max(boxes[node, 2] - z, z - boxes[node, 5]), 0.0)
    return dx * dx + dy * dy + dz * dz


@njit(cache=True, nogil=True)
@no_type_check
def _nearest(boxes, child, span, ordered, order, points, queries, guess, sequence, within):
    num = queries.shape[0]
    distances, indices = np.empty(num), np.empty(num, np.int64)
    stack, stack_distance = np.empty(_MAX_DEPTH + 8, np.int64), np.empty(_MAX_DEPTH + 8)
    bound = within * within
    previous = -1
    for step in range(num):
        q = sequence[step] if sequence.shape[0] else step
        x, y, z = queries[q, 0], queries[q, 1], queries[q, 2]
        best, found = bound, -1
        start = guess[q] if guess.shape[0] else previous
        if start >= 0:
            dx, dy, dz = points[start, 0] - x, points[start, 1] - y, points[start, 2] - z
            d = dx * dx + dy * dy + dz * dz
            if d < best:
                best, found = d, start
        stack[0], stack_distance[0] = 0, _box_distance(boxes, 0, x, y, z)
        top = 1
        while top > 0:
            top -= 1
            if stack_distance[top] >= best:
                continue
            node = stack[top]
            while child[node] >= 0:
                near = child[node]
                far = near + 1
                near_distance, far_distance = _box_distance(boxes, near, x, y, z), _box_distance(boxes, far, x, y, z)
                if far_distance < near_distance:
                    near, far = far, near
                    near_distance, far_distance = far_distance, near_distance
                if near_distance >= best:
                    node = -1
                    break
                if far_distance < best:
                    stack[top], stack_distance[top] = far, far_distance
                    top += 1
                node = near
            if node < 0:
                continue
            for i in range(span[node, 0], span[node, 1]):
                dx, dy, dz = ordered[i, 0] - x, ordered[i, 1] - y, ordered[i, 2] - z
                d = dx * dx + dy * dy + dz * dz
                if d < best:
                    best, found = d, order[i]
        distances[q] = np.sqrt(best) if found >= 0 else np.inf
        indices[q] = found
        if found >= 0:
            previous = found
    return distances, indices
