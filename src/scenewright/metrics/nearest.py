"""Distance from every point of one cloud to the nearest point of another, exact, with bounded memory.

On the CPU a k-d tree answers the queries (`point_tree`); on an accelerator the distance matrix is formed in row
blocks that stay below a byte budget. Both paths return the same numbers to rounding.

Legend: N query points, M reference points.
"""

from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.errors import InputError
from scenewright.metrics.point_tree import PointTree

__all__ = ["mutual_distances", "nearest_distances", "nearest_neighbours"]

# Rows per block are chosen so that one block of the distance matrix stays below this many bytes.
BLOCK_BYTES = 256 * 2**20
_MIN_POINTS_FOR_THREADS = 32_768


def nearest_neighbours(
    query: Float[Tensor, "N 3"], reference: Float[Tensor, "M 3"]
) -> tuple[Float[Tensor, " N"], Int[Tensor, " N"]]:
    """Euclidean distance (unit of the points) and index of the nearest reference point, for every query point.

    Not differentiable. Time is O((N + M) log M) on the CPU; memory is O(N + M) there and `BLOCK_BYTES` elsewhere.

    Raises:
        InputError: a cloud is empty or holds a NaN or an infinity.
    """
    _check(query, reference)
    if query.device.type == "cpu":
        return _nearest_by_tree(query, reference)
    return _nearest_by_blocks(query, reference)


def nearest_distances(query: Float[Tensor, "N 3"], reference: Float[Tensor, "M 3"]) -> Float[Tensor, " N"]:
    """Euclidean distance from every query point to its nearest reference point; see `nearest_neighbours`."""
    return nearest_neighbours(query, reference)[0]


def mutual_distances(
    first: Float[Tensor, "N 3"], second: Float[Tensor, "M 3"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " M"]]:
    """Distances of every first point to the second cloud, and of every second point to the first.

    The same numbers as `nearest_distances` both ways, in less time on the CPU: each cloud's tree also puts its own
    points in a good order for asking.

    Raises:
        InputError: a cloud is empty or holds a NaN or an infinity.
    """
    _check(first, second)
    if first.device.type != "cpu":
        return _nearest_by_blocks(first, second)[0], _nearest_by_blocks(second, first)[0]
    clouds = first.detach().numpy(), second.detach().numpy()
    # The kernels release the interpreter; starting threads costs more than a small query.
    with ThreadPoolExecutor(2 if min(len(first), len(second)) > _MIN_POINTS_FOR_THREADS else 1) as pool:
        trees = list(pool.map(PointTree, clouds))
        there, back = pool.map(
            lambda i: trees[1 - i].nearest(clouds[i], sequence=trees[i].order)[0],
            range(2),
        )
    return torch.from_numpy(there).to(first.dtype), torch.from_numpy(back).to(second.dtype)


def _check(query: Tensor, reference: Tensor) -> None:
    for name, points in (("query", query), ("reference", reference)):
        if len(points) == 0:
            raise InputError(
                f"Expected at least one point in the {name} cloud, got none; score empty objects as missing."
            )
        if not bool(torch.isfinite(points).all()):
            raise InputError(f"The {name} cloud holds NaN or infinite coordinates; clean the mesh before scoring it.")


def _nearest_by_tree(query: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    distances, indices = PointTree(reference.detach().numpy()).nearest(query.detach().numpy())
    return torch.from_numpy(distances).to(query.dtype), torch.from_numpy(indices)


def _nearest_by_blocks(query: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    rows = max(1, BLOCK_BYTES // (reference.element_size() * len(reference)))
    distances, indices = [], []
    for block in query.detach().split(rows):
        # The matrix-product form loses digits for near points, which are the ones that count.
        squared = torch.cdist(block, reference.detach(), compute_mode="donot_use_mm_for_euclid_dist")
        value, index = squared.min(dim=1)
        distances.append(value)
        indices.append(index)
    return torch.cat(distances), torch.cat(indices)
