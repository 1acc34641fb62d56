"""Radial and tangential lens distortion: undoing it in coordinates and pictures, and the pinhole that fits inside.

x_d = x (1 + k1 r^2 + k2 r^4) + 2 p1 x y + p2 (r^2 + 2 x^2), y likewise with p1 and p2 exchanged (Brown 1966, as OpenCV
and COLMAP write it). The new pinhole keeps only pixels that the distorted picture has (OpenCV's optimal new camera
matrix with alpha = 0).

Legend: N points. Coordinates are normalised (z = 1) unless a name ends in _px.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from scenewright.errors import InputError

__all__ = [
    "PINHOLE",
    "Distortion",
    "UndistortedCamera",
    "distorted",
    "remapped",
    "remapped_labels",
    "undistorted_camera",
    "undistorted_points",
]

# Fixed-point rounds and grid of OpenCV's search for the inner rectangle, which published crops are made with.
_ROUNDS = 5
_GRID = 9
# Of the pinhole's picture at distance 1: a telescope's.
_LEAST_WIDTH = 0.01


@dataclass(frozen=True)
class Distortion:
    """Coefficients of the model above; all zero is a pinhole."""

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0

    @property
    def is_none(self) -> bool:
        return self == Distortion()


PINHOLE = Distortion()
"""No distortion."""


@dataclass(frozen=True)
class UndistortedCamera:
    """The pinhole of an undistorted picture: `intrinsics_px` refers to the crop of `width` x `height` at (left, top).

    `full_intrinsics_px` belongs to the picture before the crop, which has the distorted picture's size.
    """

    intrinsics_px: Float[np.ndarray, "3 3"]
    width: int
    height: int
    left: int
    top: int
    full_intrinsics_px: Float[np.ndarray, "3 3"]


def distorted(points: Float[np.ndarray, "*N 2"], lens: Distortion) -> Float[np.ndarray, "*N 2"]:
    """Where points of an ideal pinhole appear behind the lens."""
    x, y = points[..., 0], points[..., 1]
    r2 = x * x + y * y
    radial = 1 + lens.k1 * r2 + lens.k2 * r2 * r2
    return np.stack(
        [
            x * radial + 2 * lens.p1 * x * y + lens.p2 * (r2 + 2 * x * x),
            y * radial + lens.p1 * (r2 + 2 * y * y) + 2 * lens.p2 * x * y,
        ],
        -1,
    )


def undistorted_points(points: Float[np.ndarray, "*N 2"], lens: Distortion) -> Float[np.ndarray, "*N 2"]:
    """The inverse of `distorted` by fixed-point iteration, five rounds as OpenCV does."""
    ideal = points
    for _ in range(_ROUNDS):
        x, y = ideal[..., 0], ideal[..., 1]
        r2 = x * x + y * y
        radial = 1 + lens.k1 * r2 + lens.k2 * r2 * r2
        shift = np.stack(
            [
                2 * lens.p1 * x * y + lens.p2 * (r2 + 2 * x * x),
                lens.p1 * (r2 + 2 * y * y) + 2 * lens.p2 * x * y,
            ],
            -1,
        )
        ideal = (points - shift) / radial[..., None]
    return ideal


def undistorted_camera(
    intrinsics_px: Float[np.ndarray, "3 3"], lens: Distortion, width: int, height: int
) -> UndistortedCamera:
    """The largest pinhole whose every pixel the distorted picture shows, cropped to whole pixels.

    Border pixels count at their index (0 .. width - 1), as in OpenCV.

    Raises:
        InputError: the coefficients fold the picture over itself, so that no pinhole fits inside.
    """
    with np.errstate(all="ignore"):  # of coefficients that no lens has
        low, high = _inner_rectangle(intrinsics_px, lens, width, height)
    if not (high - low > _LEAST_WIDTH).all():
        raise InputError(
            f"A lens of {lens} folds a picture of {width}x{height} pixels over itself, so it cannot be undone; "
            "calibrate the camera again, or undistort the pictures first."
        )
    focal = (np.array([width, height]) - 1) / (high - low)
    centre = -focal * low
    full = np.array([[focal[0], 0.0, centre[0]], [0.0, focal[1], centre[1]], [0.0, 0.0, 1.0]])
    low_px, high_px = low * focal + centre, high * focal + centre
    left, top = (int(value) for value in np.rint(low_px))
    wide, tall = (int(value) for value in np.rint(high_px - low_px))
    right, bottom = min(left + wide, width), min(top + tall, height)
    left, top = max(left, 0), max(top, 0)
    cropped = full.copy()
    cropped[:2, 2] -= (left, top)
    return UndistortedCamera(cropped, right - left, bottom - top, left, top, full)


def remapped(
    pixels: UInt8[np.ndarray, "height width 3"],
    intrinsics_px: Float[np.ndarray, "3 3"],
    lens: Distortion,
    camera: UndistortedCamera,
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """The undistorted picture of `camera`, bilinear; what lies outside the distorted picture is black."""
    from scipy.ndimage import map_coordinates

    place = _seen_from(intrinsics_px, lens, camera)
    channels = [
        map_coordinates(pixels[..., c].astype(np.float32), place, order=1, mode="grid-constant") for c in range(3)
    ]
    return np.rint(np.stack(channels, -1)).clip(0, 255).astype(np.uint8)


def remapped_labels(
    labels: Int[np.ndarray, "height width"],
    intrinsics_px: Float[np.ndarray, "3 3"],
    lens: Distortion,
    camera: UndistortedCamera,
) -> Int[np.ndarray, "new_height new_width"]:
    """The same for labels: the nearest pixel's; 0 outside the distorted picture."""
    rows, columns = (np.rint(values).astype(int) for values in _seen_from(intrinsics_px, lens, camera))
    height, width = labels.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return np.where(inside, labels[rows.clip(0, height - 1), columns.clip(0, width - 1)], 0)


def _seen_from(
    intrinsics_px: Float[np.ndarray, "3 3"], lens: Distortion, camera: UndistortedCamera
) -> tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]:
    """Row and column of the distorted picture that each pixel of the undistorted one shows."""
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float64)
    k = camera.intrinsics_px
    ideal = np.stack([(columns - k[0, 2]) / k[0, 0], (rows - k[1, 2]) / k[1, 1]], -1)
    seen = distorted(ideal, lens)
    x = seen[..., 0] * intrinsics_px[0, 0] + intrinsics_px[0, 2]
    y = seen[..., 1] * intrinsics_px[1, 1] + intrinsics_px[1, 2]
    return y, x


def _inner_rectangle(
    intrinsics_px: Float[np.ndarray, "3 3"], lens: Distortion, width: int, height: int
) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    """Corners (normalised) of the rectangle inside the undistorted outline of the picture."""
    x, y = np.meshgrid(np.linspace(0, width - 1, _GRID), np.linspace(0, height - 1, _GRID))
    points = np.stack(
        [
            (x - intrinsics_px[0, 2]) / intrinsics_px[0, 0],
            (y - intrinsics_px[1, 2]) / intrinsics_px[1, 1],
        ],
        -1,
    )
    ideal = undistorted_points(points, lens)
    low = np.array([ideal[:, 0, 0].max(), ideal[0, :, 1].max()])
    high = np.array([ideal[:, -1, 0].min(), ideal[-1, :, 1].min()])
    return low, high
