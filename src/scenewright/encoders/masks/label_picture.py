"""One picture that holds all masks: a label per pixel (indexed, grey or 16 bit) or a colour per object.

Black or 0 is background; so are transparent pixels. Distinct colours are distinct objects, whatever their grey level.
Smoothed edges and JPEG noise, which would otherwise become hundreds of objects, are recognised and undone.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Integer
from PIL import Image

from scenewright.encoders.masks.folder import reject_cropped
from scenewright.encoders.masks.label_map import label_map, stored_channels
from scenewright.encoders.masks.object_masks import NamedMask, resized_nearest
from scenewright.errors import InputError
from scenewright.files import spend
from scenewright.io.images import load_label_image

__all__ = ["read_label_picture"]

# Smoothed edges bring many values of which no pixel lies inside an area of its own value.
_MANY_EDGE_VALUES = 16
# Colours nearer than this (in each channel) are one colour with noise.
_SAME_COLOUR = 24
# The share of a mask's pixels near one of its main colours; photographs have less.
_FLAT_SHARE = 0.8
# A cut-out photograph has hardly two pixels of equal value.
_PIXELS_PER_VALUE = 4
_MOST_OBJECTS = 256
# What looking for labels takes beside the picture itself.
_BYTES_PER_PIXEL = 40


def read_label_picture(path: Path, image_size: tuple[int, int] | None = None) -> tuple[list[NamedMask], list[str]]:
    """One mask per label of the picture, by ascending label, and warnings of what was repaired.

    A cut-out (a photograph with transparency) gives the one mask of its opaque pixels.

    Raises:
        InputError: the file cannot be read, has so many labels that it cannot be a mask, or is a cut-out whose shape is
            not that of the picture, `image_size` (height, width), so that its place is unknown.
    """
    image = load_label_image(path)
    spend(_BYTES_PER_PIXEL * image.width * image.height, f"the label picture '{path.name}'")
    notes: list[str] = []
    labels = _labels(image, path.name, notes)
    values = np.unique(labels[labels > 0])
    if len(values) > _MOST_OBJECTS:
        raise InputError(
            f"Expected a mask with at most {_MOST_OBJECTS} objects, got {len(values)} different values in '{path}'; "
            "is it a photograph? Save masks as PNG without smoothing."
        )
    stored_size = labels.shape
    if len(values) == 1 and image.mode != "P" and image.has_transparency_data:
        reject_cropped(path, stored_size, image_size)
    if image_size is not None and image_size != stored_size:
        labels = resized_nearest(labels, image_size)
    spend(len(values) * labels.size, f"the {len(values)} masks of '{path.name}'")
    if len(values) == 1:
        return [NamedMask(path.stem, labels == values[0], stored_size)], notes
    is_colour = image.mode in ("RGB", "RGBA") and values.max(initial=0) > 255
    names = [f"object_{_hexadecimal(int(value))}" if is_colour else f"object_{value}" for value in values]
    return [NamedMask(name, labels == value, stored_size) for name, value in zip(names, values, strict=True)], notes


def _labels(image: Image.Image, name: str, notes: list[str]) -> Integer[np.ndarray, "height width"]:
    if image.mode == "P":
        labels = _palette_labels(image)
    else:
        pixels, opaque = stored_channels(image)
        labels = np.where(opaque, label_map(pixels), np.uint32(0))
        num_values = len(np.unique(labels[opaque]))
        if not opaque.all() and opaque.sum() < _PIXELS_PER_VALUE * num_values:
            return opaque.astype(np.uint32)
        if image.format in ("JPEG", "MPO") or _is_smoothed(labels):
            snapped = _snapped(pixels * opaque.reshape(*opaque.shape, *[1] * (pixels.ndim - 2)))
            if snapped is None and not opaque.all():
                return opaque.astype(np.uint32)
            if snapped is None:
                raise InputError(
                    f"Expected a mask with one value per object in '{name}', but it looks like a photograph; "
                    "save masks as PNG without smoothing."
                )
            labels = label_map(snapped)
            notes.append(
                f"Mask '{name}' has {num_values} different values, most of them at edges (smoothing or JPEG); each "
                f"pixel was given the nearest of the {len(np.unique(labels))} main ones. Save masks as PNG, unsmoothed."
            )
    background = _border_label(labels) if labels.all() else None
    if background is not None:
        labels = np.where(labels == background, np.uint32(0), labels)
        notes.append(f"Mask '{name}' has no black pixel; the value along its border was taken as background.")
    return labels


def _palette_labels(image: Image.Image) -> Integer[np.ndarray, "height width"]:
    """Palette indices, 0 for the background: transparent entries and the one black entry in use, else index 0."""
    index = np.asarray(image).astype(np.uint32)
    rgba = np.asarray(image.convert("RGBA"))
    opaque = rgba[..., 3] > 127
    black = np.unique(index[(rgba[..., :3] == 0).all(-1) & opaque])
    if len(black) == 1 and black[0] > 0:  # index 0 is an object here, so labels count from 1
        return np.where(opaque & (index != black[0]), index + 1, np.uint32(0))
    return np.where(opaque, index, np.uint32(0))


def _is_inside(labels: np.ndarray) -> np.ndarray:
    """Pixels whose four neighbours have their own value."""
    padded = np.pad(labels, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.logical_and.reduce([labels == neighbour for neighbour in neighbours])


def _is_smoothed(labels: np.ndarray) -> bool:
    """Whether most values occur at edges only, or few do between plain black and white."""
    inner = np.unique(labels[_is_inside(labels)])
    num_edge = len(np.unique(labels)) - len(inner)
    is_black_and_white = inner.tolist() in ([0, 255], [0, 0xFFFF], [0, 0xFFFFFF])
    return num_edge > 2 * len(inner) and (num_edge > _MANY_EDGE_VALUES or is_black_and_white)


def _snapped(pixels: Integer[np.ndarray, "height width *channels"]) -> np.ndarray | None:
    """Every pixel given the nearest main colour (one with areas of its own); None for a photograph."""
    packed = pixels if pixels.ndim == 2 else pixels @ np.array([1, 256, 65536], dtype=np.uint32)
    values, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(packed.shape)
    inner_counts = np.bincount(inverse[_is_inside(packed)], minlength=len(values))
    shifts = (0,) if pixels.ndim == 2 else (0, 8, 16)
    colours = np.stack([values >> shift & (0xFFFFFFFF if pixels.ndim == 2 else 255) for shift in shifts], axis=-1)
    colours = colours.astype(np.int64)
    centres: list[np.ndarray] = []
    distance = np.full(len(values), np.iinfo(np.int64).max)
    nearest = np.zeros(len(values), dtype=np.int64)
    for candidate in np.argsort(-inner_counts, kind="stable"):
        if inner_counts[candidate] < max(4, 1e-4 * packed.size) or len(centres) == _MOST_OBJECTS:
            break
        if distance[candidate] > _SAME_COLOUR:
            new_distance = np.abs(colours - colours[candidate]).max(-1)
            nearest = np.where(new_distance < distance, len(centres), nearest)
            distance = np.minimum(distance, new_distance)
            centres.append(colours[candidate])
    if not centres or counts[distance <= _SAME_COLOUR].sum() < _FLAT_SHARE * packed.size:
        return None
    # Black stays black: JPEG's nearly black would otherwise be an object.
    table = np.stack([np.where(centre.max() <= _SAME_COLOUR, 0, centre) for centre in centres]).astype(np.uint32)
    snapped = table[nearest][inverse]
    return snapped[..., 0] if pixels.ndim == 2 else snapped


def _border_label(labels: np.ndarray) -> int | None:
    """The label of more than half of the outermost pixels, where there is another label too."""
    border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    values, counts = np.unique(border, return_counts=True)
    most = counts.argmax()
    is_background = counts[most] > len(border) / 2 and bool((labels != values[most]).any())
    return int(values[most]) if is_background else None


def _hexadecimal(label: int) -> str:
    return f"{label & 255:02x}{label >> 8 & 255:02x}{label >> 16 & 255:02x}"
