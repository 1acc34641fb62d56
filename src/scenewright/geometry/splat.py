"""Gaussian splatting in plain torch: pictures of 3D Gaussians from a camera, for previews and small optimisations.

Each Gaussian is projected to an ellipse on the screen (EWA splatting with the local affine approximation of the
projection; Zwicker et al. 2001, Kerbl et al. 2023). The mip-splatting screen filter adds `kernel_size` px^2 to the
2D covariance and scales opacity by sqrt(det before / det after), so that a splat keeps its energy when it is smaller
than a pixel (Yu et al. 2024). Compositing is front to back by depth of the centre.

Legend: N Gaussians, H, W image, P (Gaussian, pixel) pairs. Camera OpenCV; scales in world units.
Differentiable in every parameter of the Gaussians. Cost: the sum of the ellipses' bounding boxes in pixels, worked
through in chunks of rows.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.camera.projection import camera_center
from scenewright.geometry.rotation import quaternion_wxyz_to_matrix
from scenewright.geometry.spherical_harmonics import spherical_harmonics
from scenewright.types import Camera, Gaussians

__all__ = ["SH_DEGREE_0", "SplatImage", "splat_gaussians"]

SH_DEGREE_0 = 0.28209479177387814
MIN_ALPHA = 1 / 255
MAX_ALPHA = 0.99
MAX_PAIRS = 1 << 22


@dataclass(frozen=True)
class SplatImage:
    """`rgb` over black (multiplied by coverage), `alpha` coverage, `depth_z_m` expected depth where covered, else 0."""

    rgb: Float[Tensor, "height width 3"]
    alpha: Float[Tensor, "height width"]
    depth_z_m: Float[Tensor, "height width"]


def splat_gaussians(gaussians: Gaussians, camera: Camera, *, kernel_size: float = 0.1) -> SplatImage:
    """Picture of Gaussians on black; splats reach three standard deviations, centres nearer than 0.01 are not drawn.

    Args:
        kernel_size: variance in px^2 that the screen filter adds (0.1 in TRELLIS; 0 switches it off).
    """
    rotation = camera.cam_from_world[:3, :3].to(gaussians.means)
    centers = gaussians.means @ rotation.T + camera.cam_from_world[:3, 3].to(gaussians.means)
    pixels, covariance, opacity = _project(gaussians, camera, centers, rotation, kernel_size)
    determinant = covariance[:, 0, 0] * covariance[:, 1, 1] - covariance[:, 0, 1] ** 2
    with torch.no_grad():
        reach = 3.0 * torch.stack([covariance[:, 0, 0], covariance[:, 1, 1]], 1).clamp(min=0).sqrt()
        size = torch.tensor([camera.width, camera.height], device=pixels.device)
        low = (pixels - reach - 0.5).ceil().clamp(min=0)
        high = torch.minimum((pixels + reach - 0.5).floor(), size - 1.0)
        drawn = (centers[:, 2] > 0.01) & (low <= high).all(1) & (determinant > 0) & (opacity > MIN_ALPHA)
        kept = torch.nonzero(drawn & torch.isfinite(pixels).all(1)).squeeze(1)
        order = kept[centers[kept, 2].argsort()]
    low, high = low[order].long(), high[order].long()
    pixels, covariance, opacity = pixels[order], covariance[order], opacity[order]
    inverse_determinant = 1 / determinant[order]
    conic = torch.stack(
        [covariance[:, 1, 1] * inverse_determinant, -covariance[:, 0, 1] * inverse_determinant,
         covariance[:, 0, 0] * inverse_determinant], 1,
    )  # fmt: skip
    direction = torch.nn.functional.normalize(gaussians.means[order] - camera_center(camera).to(pixels), dim=1)
    values = torch.cat([_colors(gaussians.sh[order], direction), centers[order, 2:]], 1)
    bands = [
        _draw_rows(pixels, conic, opacity, values, low, high, first, last, camera.width)
        for first, last in _row_bands(low, high, camera.height)
    ]
    image = torch.cat(bands)
    alpha = image[..., 4]
    return SplatImage(image[..., :3], alpha, torch.where(alpha > 0, image[..., 3] / alpha.clamp(min=1e-9), 0.0))


def _project(
    gaussians: Gaussians, camera: Camera, centers: Tensor, rotation: Tensor, kernel_size: float
) -> tuple[Float[Tensor, "N 2"], Float[Tensor, "N 2 2"], Float[Tensor, " N"]]:
    """Screen positions, filtered screen covariances, and compensated opacities."""
    k = camera.intrinsics_px.to(centers)
    depth = centers[:, 2].clamp(min=1e-6)
    x, y = centers[:, 0] / depth, centers[:, 1] / depth
    # The affine approximation breaks down far outside the picture; the published rasterisers hold it at 1.3 times.
    edge_x, edge_y = 1.3 * 0.5 * camera.width / k[0, 0], 1.3 * 0.5 * camera.height / k[1, 1]
    held_x, held_y = x.clamp(-edge_x, edge_x), y.clamp(-edge_y, edge_y)
    zero = torch.zeros_like(depth)
    jacobian = torch.stack(
        [k[0, 0] / depth, zero, -k[0, 0] * held_x / depth, zero, k[1, 1] / depth, -k[1, 1] * held_y / depth], 1
    ).reshape(-1, 2, 3)
    axes = jacobian @ rotation @ quaternion_wxyz_to_matrix(gaussians.quaternions_wxyz) * gaussians.scales[:, None, :]
    covariance = axes @ axes.mT
    before = covariance[:, 0, 0] * covariance[:, 1, 1] - covariance[:, 0, 1] ** 2
    covariance = covariance + kernel_size * torch.eye(2).to(covariance)
    after = covariance[:, 0, 0] * covariance[:, 1, 1] - covariance[:, 0, 1] ** 2
    opacity = gaussians.opacities
    if kernel_size > 0:
        opacity = opacity * (before.clamp(min=1e-12) / after).sqrt()
    pixels = torch.stack([k[0, 0] * x + k[0, 1] * y + k[0, 2], k[1, 1] * y + k[1, 2]], 1)
    return pixels, covariance, opacity


def _colors(sh: Float[Tensor, "N K 3"], direction: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Colours towards the camera."""
    degree = math.isqrt(sh.shape[1]) - 1
    return (0.5 + (spherical_harmonics(direction, degree)[..., None] * sh).sum(1)).clamp(min=0)


def _row_bands(low: Tensor, high: Tensor, height: int) -> list[tuple[int, int]]:
    """Bands of rows whose (Gaussian, pixel) pairs fit the memory of one chunk."""
    width = high[:, 0] - low[:, 0] + 1
    change = torch.zeros(height + 1, dtype=torch.int64, device=low.device)
    change.index_add_(0, low[:, 1], width)
    change.index_add_(0, high[:, 1] + 1, -width)
    per_row = change.cumsum(0)[:height].tolist()
    bands, first, pairs = [], 0, 0
    for row, count in enumerate(per_row):
        if row > first and pairs + count > MAX_PAIRS:
            bands.append((first, row))
            first, pairs = row, 0
        pairs += count
    return [*bands, (first, height)]


def _draw_rows(
    pixels: Tensor, conic: Tensor, opacity: Tensor, values: Tensor, low: Tensor, high: Tensor, first: int, last: int,
    width: int,
) -> Float[Tensor, "rows width 5"]:  # fmt: skip
    """Colour, depth and coverage of rows [first, last): every pair at once, composited by a segmented sum of logs."""
    device = pixels.device
    top, bottom = low[:, 1].clamp(min=first), high[:, 1].clamp(max=last - 1)
    across, down = high[:, 0] - low[:, 0] + 1, (bottom - top + 1).clamp(min=0)
    counts = across * down
    splat = torch.repeat_interleave(torch.arange(len(counts), device=device), counts)
    local = torch.arange(len(splat), device=device) - (counts.cumsum(0) - counts)[splat]
    column = low[splat, 0] + local % across[splat]
    row = top[splat] + torch.div(local, across[splat], rounding_mode="floor")
    offset = torch.stack([column, row], 1) + 0.5 - pixels[splat]
    a, b, c = conic[splat].unbind(1)
    power = 0.5 * (a * offset[:, 0] ** 2 + c * offset[:, 1] ** 2) + b * offset[:, 0] * offset[:, 1]
    alpha = (opacity[splat] * torch.exp(-power)).clamp(max=MAX_ALPHA)
    visible = torch.nonzero(alpha.detach() >= MIN_ALPHA).squeeze(1)
    place = (row[visible] - first) * width + column[visible]
    # Pairs come in depth order; a stable sort by pixel keeps it within each pixel.
    by_pixel = place.argsort(stable=True)
    visible, place = visible[by_pixel], place[by_pixel]
    alpha, splat = alpha[visible], splat[visible]
    # float64: differences of a running sum over millions of pairs are small beside the sum itself.
    passed = torch.log1p(-alpha.double()).cumsum(0)
    exclusive = torch.cat([passed.new_zeros(1), passed[:-1]]) if len(passed) else passed
    starts = torch.ones_like(place, dtype=torch.bool)
    starts[1:] = place[1:] != place[:-1]
    segment = starts.cumsum(0) - 1
    before = exclusive - exclusive[starts][segment]
    weight = (before.exp() * alpha).to(pixels.dtype)
    entries = torch.cat([values[splat], torch.ones_like(weight)[:, None]], 1) * weight[:, None]
    image = torch.zeros((last - first) * width, 5, dtype=pixels.dtype, device=device)
    return image.index_add(0, place, entries).reshape(last - first, width, 5)
