"""Distances of a panorama from a network that sees perspective pictures: overlapping views, aligned into one map.

    panorama -> perspective_views -> DepthNetwork -> aligned_distance -> distance along every ray

The inverse distance along a ray that view i sees at inverse depth d is (s_i d + t_i) / l, l the ray's length per unit
along the view's axis. Where views overlap these numbers must agree; the factors s and shifts t that make them agree
best (relative to how much the numbers vary at all) are one generalised eigenvector. A common factor remains: of a
metric network the median of what it said, else unknown.

Legend: V views, S side of a view in pixels, N rays, h, w size of the distance map. Frame: world axes (`room_frame`).
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from scipy.linalg import eigh
from torch import Tensor

from scenewright.encoders.depth import DepthNetwork, load_depth_network
from scenewright.encoders.panorama_distance import SHIPPED_WEIGHTS, PanoramaDistance
from scenewright.encoders.records import DEPTH_ANYTHING_METRIC, SMALL_DISTANCE
from scenewright.geometry.camera.cubemap import sample_equirect
from scenewright.progress import Advance, ignore
from scenewright.systems.inspace.panorama import Panorama
from scenewright.systems.inspace.room_distance import room_distance
from scenewright.systems.inspace.room_frame import depth_rays
from scenewright.weights.source import WeightsSource
from scenewright.weights.transformers_format import WEIGHTS_FILE

__all__ = [
    "DepthModel",
    "EstimatedDistance",
    "aligned_distance",
    "estimated_distance",
    "perspective_views",
    "view_rays",
]

# Yaw and pitch in degrees; views of 90 degrees overlap by a third at the horizon and cover both poles.
_VIEWS = (
    *((60 * k, 0) for k in range(6)),
    *((90 * k + 45, 55) for k in range(4)),
    *((90 * k + 45, -55) for k in range(4)),
)
_SIDE_PX = 518
_ALIGNED_HEIGHT = 96
_ROUNDS = 5
_TRUSTED = 0.95
"""Part of a view's half width whose depth counts for the alignment; networks are worst at the rim."""
_USUAL_MEDIAN_M = 2.0
_FARTHEST = 20.0
"""Distances end at so many times the median."""
_SMALL_NOTE = (
    "The distances were estimated by the small network that ships, which knows made rooms only; "
    "--depth auto estimates them better in photographs."
)


@dataclass(frozen=True)
class DepthModel:
    """Where a depth network comes from (`SMALL_DISTANCE`: it ships), and where it runs."""

    source: str = DEPTH_ANYTHING_METRIC.repository
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    offline: bool = False

    @property
    def weights_file(self) -> Path:
        """Its weights on this machine.

        Raises:
            WeightsError: they are not there, and cannot be downloaded.
        """
        if self.source == SMALL_DISTANCE:
            return SHIPPED_WEIGHTS
        return WeightsSource(self.source, self.offline).find(WEIGHTS_FILE)

    def estimated(self, rgb: UInt8[Tensor, "H W 3"], *, advance: Advance = ignore) -> "EstimatedDistance":
        """Distances of a panorama; `advance` counts views.

        Raises:
            WeightsError: see `load_depth_network`.
        """
        if self.source == SMALL_DISTANCE:
            distance = room_distance(PanoramaDistance.shipped().to(self.device), rgb)
            return EstimatedDistance(distance, is_metric=True, note=_SMALL_NOTE)
        network = load_depth_network(self.source, device=self.device, offline=self.offline)
        return estimated_distance(network, rgb, advance=advance)


@dataclass(frozen=True)
class EstimatedDistance:
    """Distance along every ray of a panorama; in metres where `is_metric`, else up to a common factor."""

    distance_m: Float[Tensor, "h w"]
    is_metric: bool
    note: str = "The distances were estimated by a network."

    def added_to(self, panorama: Panorama) -> Panorama:
        """The panorama with these distances."""
        return replace(panorama, distance_m=self.distance_m, has_scale=self.is_metric, notes=(self.note,))


def view_rays(size: int) -> Float[Tensor, "V size size 3"]:
    """World rays through the pixel centres of the views, of length 1 along each view's axis, float64."""
    axis = (torch.arange(size, dtype=torch.float64) + 0.5) * 2 / size - 1
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    local = torch.stack([right, torch.ones_like(right), -down], -1)
    return torch.einsum("vij,hwj->vhwi", _rotations(), local)


def perspective_views(rgb: UInt8[Tensor, "H W 3"], size: int = _SIDE_PX) -> UInt8[Tensor, "V size size 3"]:
    """The views of a panorama, 90 degrees by 90 degrees, bilinear."""
    views = []
    for rays in view_rays(size):
        x, y, z = rays.float().unbind(-1)
        # OpenCV axes of a camera that looks along +y.
        views.append(sample_equirect(rgb.float(), torch.stack([x, -z, y], -1)).round().clamp(0, 255).byte())
    return torch.stack(views)


def estimated_distance(
    network: DepthNetwork, rgb: UInt8[Tensor, "H W 3"], height: int = 512, *, advance: Advance = ignore
) -> EstimatedDistance:
    """Distances of a panorama on `height` x 2 `height` rays (`depth_rays`); `advance` counts views."""
    views = perspective_views(rgb)
    inverse = []
    for number, view in enumerate(views):
        inverse.append(network.inverse_depth(view[None]))
        advance(number + 1, len(views))
    return EstimatedDistance(aligned_distance(torch.cat(inverse), network.is_metric, height), network.is_metric)


def aligned_distance(
    inverse_depth: Float[Tensor, "V S S"], is_metric: bool, height: int = 512
) -> Float[Tensor, "height width"]:
    """Distances along `depth_rays` from the inverse depth of every view, each of unknown factor and shift.

    Args:
        is_metric: keep the common factor of the views (their median); else the median distance becomes 2.
    """
    rays = depth_rays(_ALIGNED_HEIGHT, 2 * _ALIGNED_HEIGHT)
    samples = _sampled(inverse_depth, rays.flatten(0, 1), _TRUSTED)
    area = rays[..., :2].norm(dim=-1).flatten()  # cosine of the latitude: what a ray of the grid stands for
    scales, shifts = _alignment(samples, area)
    fine = _sampled(inverse_depth, depth_rays(height, 2 * height).flatten(0, 1), 1.0)
    inverse = (scales[:, None] * fine.inverse + shifts[:, None]) / fine.length
    blended = (fine.rim * inverse).sum(0) / fine.rim.sum(0)
    middle = blended.median()
    blended = blended.clamp(min=float(middle) / _FARTHEST)
    said = fine.inverse / fine.length
    factor = (
        (inverse / said.clamp(min=1e-12))[fine.seen & (said > 0)].median() if is_metric else _USUAL_MEDIAN_M * middle
    )
    return (factor / blended).reshape(height, 2 * height).float()


@dataclass(frozen=True)
class _Samples:
    """Views at rays: inverse depth, length of the ray per unit along the axis, weight that falls to the rim."""

    inverse: Float[Tensor, "V N"]
    length: Float[Tensor, "V N"]
    rim: Float[Tensor, "V N"]
    seen: Bool[Tensor, "V N"]


def _rotations() -> Float[Tensor, "V 3 3"]:
    """`world_from_view` of views whose y looks ahead and z up."""
    matrices = []
    for yaw, pitch in _VIEWS:
        c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
        cp, sp = math.cos(math.radians(pitch)), math.sin(math.radians(pitch))
        turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
        matrices.append(turn @ torch.tensor([[1, 0, 0], [0, cp, -sp], [0, sp, cp]], dtype=torch.float64))
    return torch.stack(matrices)


def _sampled(inverse_depth: Float[Tensor, "V S S"], rays: Float[Tensor, "N 3"], trusted: float) -> _Samples:
    x, ahead, z = torch.einsum("vij,ni->vnj", _rotations(), rays).unbind(-1)
    in_front = ahead > 1e-6
    ahead = torch.where(in_front, ahead, 1.0)
    right, down = x / ahead, -z / ahead
    seen = in_front & (right.abs() <= trusted) & (down.abs() <= trusted)
    grid = torch.stack([right, down], -1).float()[:, None]
    values = F.grid_sample(inverse_depth[:, None].float(), grid, padding_mode="border", align_corners=False)
    rim = (1 - right.abs()).clamp(min=1e-3) * (1 - down.abs()).clamp(min=1e-3)
    length = rays.norm(dim=1) / ahead
    return _Samples(values[:, 0, 0].double(), length, torch.where(seen, rim, 0.0), seen)


def _alignment(samples: _Samples, weights: Float[Tensor, " N"]) -> tuple[Float[Tensor, " V"], Float[Tensor, " V"]]:
    """Factors and shifts of the views, up to one factor for all, positive."""
    views = len(samples.inverse)
    # Inverse distance of view i at a ray is `terms[i] @ (s_i, t_i)`.
    terms = torch.stack([samples.inverse, torch.ones_like(samples.inverse)], -1) / samples.length[..., None]
    rows, pair_weights = [], []
    for i in range(views):
        for j in range(i):
            both = samples.seen[i] & samples.seen[j]
            row = torch.zeros(int(both.sum()), views, 2, dtype=torch.float64)
            row[:, i], row[:, j] = terms[i, both], -terms[j, both]
            rows.append(row.flatten(1))
            pair_weights.append(weights[both])
    matrix, base = torch.cat(rows), torch.cat(pair_weights)
    spread = _spread(terms, samples.seen, weights)
    trust = torch.ones(len(matrix), dtype=torch.float64)
    for _ in range(_ROUNDS):
        disagreement = matrix.T @ (matrix * (base * trust)[:, None])
        x = torch.from_numpy(eigh(disagreement.numpy(), spread.numpy(), subset_by_index=[0, 0])[1][:, 0])
        residual = (matrix @ x).abs()
        scale = max(float(residual.median()), 1e-9)
        trust = 1 / (1 + (residual / (2 * scale)) ** 2)  # views disagree most at edges: those count little
    pairs = x.reshape(views, 2)
    values = (terms * pairs[:, None]).sum(-1)[samples.seen]
    if float(values.median()) < 0:
        pairs = -pairs
    return pairs[:, 0], pairs[:, 1]


def _spread(
    terms: Float[Tensor, "V N 2"], seen: Bool[Tensor, "V N"], weights: Float[Tensor, " N"]
) -> Float[Tensor, "V2 V2"]:
    """x' spread x: weighted variance of all inverse distances, with a little of every unknown to stay definite."""
    views = len(terms)
    second = torch.zeros(2 * views, 2 * views, dtype=torch.float64)
    mean, total = torch.zeros(2 * views, dtype=torch.float64), 0.0
    for i in range(views):
        own, at = weights[seen[i]], slice(2 * i, 2 * i + 2)
        term = terms[i, seen[i]]
        second[at, at] = term.T @ (term * own[:, None])
        mean[at] = (term * own[:, None]).sum(0)
        total += float(own.sum())
    matrix = second / total - torch.outer(mean, mean) / total**2
    return matrix + 1e-9 * second.diagonal().mean() / total * torch.eye(2 * views, dtype=torch.float64)
