"""Masks from boxes and clicks without any download: U2-Net finds what stands out there, GrabCut its exact border.

    masks = CutOutSegmenter.shipped().from_prompts(image, prompts)

A box is cut out with a margin; what stands out in it is where GrabCut starts, and nothing outside the box is the
object. Clicks say no size: windows of several sizes around them are tried, and that one counts whose object stands out
most and is cut off least. SAM is better (`scenewright.encoders.masks.sam`); thin things and what others hide stay hard.

Sources: U2-Net (Qin et al. 2020); GrabCut (Rother et al. 2004) as in OpenCV.

Legend: h w a window's size as it is worked with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from safetensors.torch import load_file

from scenewright.encoders.masks.object_masks import Frame, NamedMask, checked_masks, resized_nearest
from scenewright.encoders.masks.prompts import Box, MaskPrompts, Point
from scenewright.encoders.preprocess.crop import image_to_tensor
from scenewright.encoders.u2net import U2NetSmall
from scenewright.types import Mask, ObjectMasks

__all__ = ["CutOutSegmenter"]

_WEIGHTS = Path(__file__).parents[2] / "assets" / "masks" / "u2net_small.safetensors"
_MARGIN = 0.15
# Sides of the windows around a click, in parts of the picture's longer side.
_WINDOWS = (0.2, 0.35, 0.55, 0.85)
_MOST_PIXELS = 384
_ROUNDS = 3
# Radius of what a click marks, in parts of the window's side.
_CLICK = 0.015
_STANDS_OUT = 0.5
# A find of less than this share, of a box or of what is likely the object, is none.
_LEAST_SHARE = 0.1

Pixels = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Window:
    """A part of the picture (left, upper, right, lower), and how strongly each pixel of it stands out."""

    place: Pixels
    picture: UInt8[np.ndarray, "h w 3"]
    saliency: Float[np.ndarray, "h w"]

    @property
    def scale(self) -> float:
        """Pixels of the window for each of the picture."""
        return self.picture.shape[1] / (self.place[2] - self.place[0])

    def at(self, x: float, y: float) -> tuple[int, int]:
        """Row and column of a place in the picture."""
        height, width = self.saliency.shape
        column, row = ((x - self.place[0]) * self.scale, (y - self.place[1]) * self.scale)
        return min(max(int(row), 0), height - 1), min(max(int(column), 0), width - 1)

    def disc(self, point: Point) -> Bool[np.ndarray, "h w"]:
        """The pixels that a click marks."""
        row, column = self.at(*point[:2])
        rows, columns = np.ogrid[: self.saliency.shape[0], : self.saliency.shape[1]]
        radius = max(_CLICK * max(self.saliency.shape), 1)
        return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


class CutOutSegmenter:
    """The small U2-Net and GrabCut; on the CPU."""

    def __init__(self, network: U2NetSmall) -> None:
        # Channels last: its convolutions of 16 channels take 0.6 of the time.
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @classmethod
    def shipped(cls) -> "CutOutSegmenter":
        """With the weights in the package."""
        network = U2NetSmall()
        network.load_state_dict(load_file(_WEIGHTS))
        return cls(network)

    def from_prompts(self, image: Image.Image, prompts: MaskPrompts) -> ObjectMasks:
        """One mask per box, then one per marked object, at the picture's size.

        Raises:
            InputError: a prompt lies outside the picture, or no mask is usable.
        """
        prompts = prompts.checked(image.height, image.width)
        image = image.convert("RGB")
        masks = [self._in_box(image, box) for box in prompts.boxes]
        masks += [self._at_points(image, points) for points in prompts.points]
        found = [NamedMask(prompts.name(index), mask) for index, mask in enumerate(masks)]
        return checked_masks(found, Frame((image.height, image.width)), source="the segmented prompts")

    def _in_box(self, image: Image.Image, box: Box) -> Mask:
        left, upper, right, lower = box
        margin = _MARGIN * max(right - left, lower - upper)
        window = self._look(image, (left - margin, upper - margin, right + margin, lower + margin))
        inside = np.zeros(window.saliency.shape, dtype=bool)
        (first_row, first_column), (last_row, last_column) = window.at(left, upper), window.at(right, lower)
        inside[first_row : last_row + 1, first_column : last_column + 1] = True
        likely = inside & (window.saliency > _STANDS_OUT)
        if likely.sum() < _LEAST_SHARE * inside.sum():
            likely = inside  # nothing stands out there: colours alone decide
        return _placed(_grab_cut(window.picture, likely, outside=~inside), window, image)

    def _at_points(self, image: Image.Image, points: Sequence[Point]) -> Mask:
        on, off = [point for point in points if point[2]], [point for point in points if not point[2]]
        xs, ys = [point[0] for point in on], [point[1] for point in on]
        center, spread = (sum(xs) / len(on), sum(ys) / len(on)), max(max(xs) - min(xs), max(ys) - min(ys))
        best, chosen = -np.inf, None
        for share in _WINDOWS:
            half = max(share * max(image.size), 1.5 * spread) / 2
            window = self._look(image, (center[0] - half, center[1] - half, center[0] + half, center[1] + half))
            found = _with_points(window.saliency > _STANDS_OUT, window, on)
            score = _score(found, window, image, on, off)
            if chosen is None or score > best:
                best, chosen = score, (window, found)
        assert chosen is not None
        window, found = chosen
        marks = np.any([window.disc(point) for point in on], axis=0)
        never = np.any([window.disc(point) for point in off], axis=0) if off else np.zeros_like(marks)
        cut = _grab_cut(window.picture, found | marks, outside=never & ~marks, certain=marks)
        return _placed(_with_points(cut, window, on), window, image)

    def _look(self, image: Image.Image, box: Box) -> _Window:
        left, upper = max(int(box[0]), 0), max(int(box[1]), 0)
        right, lower = min(int(np.ceil(box[2])), image.width), min(int(np.ceil(box[3])), image.height)
        part = image.crop((left, upper, right, lower))
        scale = min(1, _MOST_PIXELS / max(part.size))
        size = max(round(part.width * scale), 1), max(round(part.height * scale), 1)
        square = image_to_tensor(part.resize((self.network.size,) * 2, Image.Resampling.LANCZOS))
        with torch.no_grad():
            found = self.network(square[None] / square.max().clamp(min=1e-6))[0]
        found = (found - found.min()) / (found.max() - found.min()).clamp(min=1e-6)
        saliency = Image.fromarray(found.numpy()).resize(size, Image.Resampling.BILINEAR)
        picture = np.asarray(part.resize(size, Image.Resampling.LANCZOS))
        return _Window((left, upper, right, lower), picture, np.asarray(saliency))


def _with_points(pixels: Bool[np.ndarray, "h w"], window: _Window, points: Sequence[Point]) -> Bool[np.ndarray, "h w"]:
    """The connected pieces that hold one of the points."""
    labels, _ = scipy.ndimage.label(pixels)
    wanted = {int(labels[window.at(*point[:2])]) for point in points} - {0}
    return np.isin(labels, list(wanted))


def _score(
    found: Bool[np.ndarray, "h w"], window: _Window, image: Image.Image, on: Sequence[Point], off: Sequence[Point]
) -> float:
    """A number that is larger where a window shows one object whole: it stands out, and holds the clicks on it."""
    held = sum(bool(found[window.at(*point[:2])]) for point in on) / len(on)
    wrong = sum(bool(found[window.at(*point[:2])]) for point in off)
    if not held:
        return -1.0 - wrong
    left, upper, right, lower = window.place
    cut = [
        *((found[:, 0],) if left > 0 else ()),
        *((found[0],) if upper > 0 else ()),
        *((found[:, -1],) if right < image.width else ()),
        *((found[-1],) if lower < image.height else ()),
    ]
    share_cut = sum(side.sum() for side in cut) / max(np.sqrt(found.sum()) * 4, 1)
    return float(window.saliency[found].mean() * held - 2 * share_cut - wrong)


def _grab_cut(
    picture: UInt8[np.ndarray, "h w 3"],
    likely: Bool[np.ndarray, "h w"],
    *,
    outside: Bool[np.ndarray, "h w"],
    certain: Bool[np.ndarray, "h w"] | None = None,
) -> Bool[np.ndarray, "h w"]:
    """GrabCut from what is likely the object; the likely pixels themselves where colours do not tell it apart."""
    import cv2

    labels = np.full(likely.shape, cv2.GC_PR_BGD, np.uint8)
    labels[likely] = cv2.GC_PR_FGD
    labels[outside] = cv2.GC_BGD
    if certain is not None:
        labels[certain] = cv2.GC_FGD
    is_object = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if not 5 <= is_object.sum() <= is_object.size - 5:  # five colours on either side are the least for its models
        return is_object
    cv2.setRNGSeed(0)
    cv2.grabCut(picture, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return found if found.sum() >= _LEAST_SHARE * is_object.sum() else is_object


def _placed(pixels: Bool[np.ndarray, "h w"], window: _Window, image: Image.Image) -> Mask:
    left, upper, right, lower = window.place
    return Mask.placed(
        resized_nearest(pixels, (lower - upper, right - left)), (left, upper), (image.height, image.width)
    )
