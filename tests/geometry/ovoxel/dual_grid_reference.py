"""A slow, independent statement of the mesh -> dual grid rules in NumPy, for generic (tie-free) input.

Crossings are found by solving for every grid line and triangle, overlaps by testing every voxel, minima by a bounded
least-squares solver. Nothing is shared with the fast path.
"""

import itertools

import numpy as np
from scipy.optimize import lsq_linear

WEIGHTS = (1.0, 0.2, 0.01)


def dual_grid(vertices, faces, resolution, weights=WEIGHTS):
    """Dict voxel -> (dual vertex in voxels, flags)."""
    size = 1.0 / resolution
    points = (vertices + 0.5).astype(np.float64)
    rows, flags = {}, {}

    def add(voxel, matrix, target):
        rows[voxel].append((matrix, target))

    for face in faces:
        triangle = points[face]
        normal = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
        normal /= np.linalg.norm(normal)
        for axis in range(3):
            a0, a1 = (axis + 1) % 3, (axis + 2) % 3
            for i, j in itertools.product(range(resolution - 1), repeat=2):
                at = _pierced((i + 1) * size, (j + 1) * size, triangle[:, [a0, a1]])
                if at is None:
                    continue
                crossing = at @ triangle
                cell = int(crossing[axis] // size)
                for corner, (di, dj) in enumerate(itertools.product((0, 1), repeat=2)):
                    voxel = [0, 0, 0]
                    voxel[a0], voxel[a1], voxel[axis] = i + di, j + dj, cell
                    voxel = tuple(voxel)
                    rows.setdefault(voxel, [])
                    flags.setdefault(voxel, [False] * 3)
                    if corner == 0:
                        flags[voxel][axis] = True
                    add(voxel, normal[None], [normal @ triangle[0]])
                    add(voxel, np.sqrt(weights[2]) * np.eye(3), np.sqrt(weights[2]) * crossing)
    for face in faces:
        triangle = points[face]
        normal = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])
        normal /= np.linalg.norm(normal)
        for voxel in rows:
            if _overlaps(triangle, normal, np.array(voxel) * size, size):
                add(voxel, normal[None], [normal @ triangle[0]])
    edges = [tuple(sorted((int(face[e]), int(face[(e + 1) % 3])))) for face in faces for e in range(3)]
    for a, b in {edge for edge in edges if edges.count(edge) == 1}:
        direction = (points[b] - points[a]) / np.linalg.norm(points[b] - points[a])
        project = np.sqrt(weights[1]) * (np.eye(3) - np.outer(direction, direction))
        # Voxels on the path: midpoints between consecutive border crossings.
        cuts = [0.0, 1.0]
        for axis in range(3):
            delta = points[b, axis] - points[a, axis]
            if delta:
                cuts += [(g * size - points[a, axis]) / delta for g in range(resolution + 1)]
        cuts = sorted(cut for cut in cuts if 0 <= cut <= 1)
        for low, high in itertools.pairwise(cuts):
            voxel = tuple(((points[a] + (low + high) / 2 * (points[b] - points[a])) // size).astype(int).tolist())
            if voxel in rows:
                add(voxel, project, project @ points[a])
    result = {}
    for voxel, terms in rows.items():
        matrix, target = np.concatenate([t[0] for t in terms]), np.concatenate([np.atleast_1d(t[1]) for t in terms])
        corner = np.array(voxel) * size
        solved = lsq_linear(matrix, target - matrix @ corner, (0, size), tol=1e-14)
        result[voxel] = (solved.x / size, flags[voxel])
    return result


def _pierced(x, y, triangle):
    """Barycentric coordinates of (x, y) in a projected triangle, None outside."""
    system = np.stack([triangle[:, 0], triangle[:, 1], np.ones(3)])
    if abs(np.linalg.det(system)) < 1e-14:
        return None
    at = np.linalg.solve(system, [x, y, 1.0])
    return at if (at >= 0).all() else None


def _overlaps(triangle, normal, corner, size):
    """Separating axes: the box's three, the plane's normal, and the nine products of edges and box axes."""
    points = triangle - corner - size / 2
    axes = [*np.eye(3), normal]
    for e in range(3):
        axes += [np.cross(points[(e + 1) % 3] - points[e], axis) for axis in np.eye(3)]
    for axis in axes:
        reach, values = size / 2 * np.abs(axis).sum(), points @ axis
        if values.min() > reach or values.max() < -reach:
            return False
    return True
