"""One picture that holds all masks: a label per pixel (indexed, grey or 16 bit) or a colour per object.

Black or 0 is background; so are transparent pixels. Distinct colours are distinct objects, whatever their grey level.
Where there is an alpha channel, it decides: its opaque part is one object, unless it is made of a few flat colours.
Tones that smoothing and JPEG leave at edges, which would otherwise become slivers, are recognised and undone.
"""

from pathlib import Path

import numpy as np
import scipy
from jaxtyping import Bool, Integer
from PIL import Image

from scenewright.encoders.masks.folder import reject_cropped
from scenewright.encoders.masks.label_map import is_opaque, label_map, stored_channels
from scenewright.encoders.masks.object_masks import MOST_MASKS, Frame, NamedMask, Size, resized_nearest
from scenewright.errors import InputError
from scenewright.files import name_of, spend
from scenewright.io.images import load_label_image
from scenewright.types import Mask

__all__ = ["masks_of_labels", "read_label_picture"]

# Values without an area of their own are noise from so many on, wherever they are.
_MANY_EDGE_VALUES = 16
# The share of a value's pixels that lie between two others, from which on it is a tone of smoothed edges.
_EDGE_TONE_SHARE = 0.7
# Colours nearer than this (in each channel) are one colour with noise.
_SAME_COLOUR = 24
# The share of a mask's pixels near one of its main colours; photographs have less.
_FLAT_SHARE = 0.8
# The most colours of objects on transparent ground; a shaded cut-out has more, or colours that are more alike.
_MOST_LAYERS = 64
# More labels than this are only believed where they are areas: a photograph has as many values.
_USUAL_OBJECTS = 256
# On average, of flat colours; a tiny cut-out has few colours, too, since it has few pixels.
_PIXELS_PER_COLOUR = 4
_AREA_SHARE = 0.3
# What looking for labels takes beside the picture itself.
_BYTES_PER_PIXEL = 40


def read_label_picture(path: Path, frame: Frame) -> tuple[list[NamedMask], list[str]]:
    """One mask per label of the picture, by ascending label, and warnings of what was repaired.

    A picture with transparency gives the one mask of its opaque pixels, unless these are a few flat colours.

    Raises:
        InputError: the file cannot be read, has so many labels that it cannot be a mask, or is a cut-out whose shape is
            not that of the picture, so that its place is unknown.
    """
    image = load_label_image(path, reduce_to=None if frame.size is None else frame.size[::-1])
    spend(_BYTES_PER_PIXEL * image.width * image.height, f"the label picture '{path.name}'")
    notes: list[str] = []
    if image.mode == "P":
        labels = _palette_labels(image)
    elif (opaque := is_opaque(image)).all() or _is_layered(image, opaque):
        labels = _labels(image, path.name, notes)
    else:
        reject_cropped(path, opaque.shape, frame)
        return [NamedMask(name_of(path.stem), Mask.of(opaque))], notes
    background = _border_label(labels) if labels.all() else None
    if background is not None:
        labels = np.where(labels == background, np.uint32(0), labels)
        notes.append(f"Mask '{path.name}' has no black pixel; the value along its border was taken as background.")
    return masks_of_labels(labels, path, frame, is_colour=image.mode in ("RGB", "RGBA")), notes


def masks_of_labels(
    labels: Integer[np.ndarray, "height width"], path: Path, frame: Frame, *, is_colour: bool = False
) -> list[NamedMask]:
    """One mask per label above 0 at the picture's size, in ascending order; a single one is named after the file.

    Raises:
        InputError: there are so many labels, each of so few pixels, that they cannot be objects.
    """
    values, _ = _counted(labels)
    values = values[values > 0]
    if len(values) > _USUAL_OBJECTS and _is_inside(labels)[labels > 0].mean() < _AREA_SHARE:
        raise InputError(
            f"Expected a mask with an area per object, got {len(values)} different values in '{path}', few of whose "
            "pixels lie together; is it a photograph? Save masks as PNG without smoothing."
        )
    if len(values) > MOST_MASKS:
        raise InputError(f"Expected at most {MOST_MASKS:,} objects in '{path}', got {len(values):,} different values.")
    stored_size: Size = labels.shape
    index = resized_nearest(_indexed(labels, np.concatenate([[0], values])), frame.fitted(stored_size))
    named = []
    places = scipy.ndimage.find_objects(index, max_label=len(values))
    for number, (value, place) in enumerate(zip(values.tolist(), places, strict=True), 1):
        rows, columns = place or np.s_[:0, :0]  # a label may be lost where the picture is smaller
        spend((rows.stop - (rows.start or 0)) * (columns.stop - (columns.start or 0)) // 8, "its masks")
        mask = Mask.placed(index[rows, columns] == number, (columns.start or 0, rows.start or 0), index.shape)
        name = f"object_{_hexadecimal(value) if is_colour and values[-1] > 255 else value}"
        named.append(NamedMask(name_of(path.stem) if len(values) == 1 else name, mask, stored_size))
    return named


def _labels(image: Image.Image, name: str, notes: list[str]) -> Integer[np.ndarray, "height width"]:
    pixels, opaque = stored_channels(image)
    if not opaque.all():
        pixels = pixels * opaque.reshape(*opaque.shape, *[1] * (pixels.ndim - 2))
    labels = label_map(pixels)
    inner, _ = _counted(labels[_is_inside(labels)])
    is_noisy = image.format in ("JPEG", "MPO") or _is_noisy(labels, inner)
    if not is_noisy and not _has_edge_tones(labels, inner, pixels):
        return labels
    snapped = _snapped(pixels, tolerance=_SAME_COLOUR if is_noisy else 0)
    if snapped is None:
        raise InputError(
            f"Expected a mask with one value per object in '{name}', but it looks like a photograph; "
            "save masks as PNG without smoothing."
        )
    before, after = (len(_counted(values)[0]) for values in (labels, snapped))
    notes.append(
        f"Mask '{name}' has {before} different values, most of them at edges (smoothing or JPEG); each "
        f"pixel was given the nearest of the {after} main ones. Save masks as PNG, unsmoothed."
    )
    return snapped


def _palette_labels(image: Image.Image) -> Integer[np.ndarray, "height width"]:
    """Palette indices, 0 for the background: transparent entries and the one black entry in use, else index 0."""
    index = np.asarray(image).astype(np.uint32)
    opaque = is_opaque(image)
    black = np.unique(index[(np.asarray(image.convert("RGBA"))[..., :3] == 0).all(-1) & opaque])
    if len(black) == 1 and black[0] > 0:  # index 0 is an object here, so labels count from 1
        return np.where(opaque & (index != black[0]), index + 1, np.uint32(0))
    return np.where(opaque, index, np.uint32(0))


def _is_layered(image: Image.Image, opaque: Bool[np.ndarray, "height width"]) -> bool:
    """Whether the opaque part is made of a few flat colours, each an object, and is not one object's picture."""
    pixels, _ = stored_channels(image)
    labels = label_map(pixels)
    values, counts = _counted(labels[opaque])
    inside = np.isin(values, _counted(labels[opaque & _is_inside(labels)])[0])
    for kept in (values > 0, (values > 0) & inside):  # without edges, or with smoothed ones
        colours = _colours(values[kept], pixels.ndim)
        covered = counts[kept].sum()
        is_flat = covered >= _PIXELS_PER_COLOUR * len(colours) and covered >= 0.9 * counts[values > 0].sum()
        if 2 <= len(colours) <= _MOST_LAYERS and is_flat:
            apart = np.abs(colours[:, None] - colours[None]).max(-1) + 256 * np.eye(len(colours))
            if apart.min() > _SAME_COLOUR or pixels.ndim == 2:
                return True
    return False


def _counted(labels: Integer[np.ndarray, "*any"]) -> tuple[Integer[np.ndarray, " V"], Integer[np.ndarray, " V"]]:
    """The values that occur, ascending, and how often each does."""
    if labels.max(initial=0) >= 1 << 24:
        return np.unique(labels, return_counts=True)
    counts = np.bincount(labels.reshape(-1))
    values = np.flatnonzero(counts)
    return values, counts[values]


def _indexed(
    labels: Integer[np.ndarray, "height width"], values: Integer[np.ndarray, " V"]
) -> Integer[np.ndarray, "height width"]:
    """The place of each pixel's label among the ascending values."""
    if values[-1] >= 1 << 24:
        return np.searchsorted(values, labels).astype(np.int32)
    table = np.zeros(int(values[-1]) + 1, dtype=np.int32)
    table[values] = np.arange(len(values))
    return table[labels]


def _colours(packed: Integer[np.ndarray, " V"], ndim: int) -> Integer[np.ndarray, "V C"]:
    """Grey levels, or the three channels of labels that `label_map` packed from colours."""
    values = packed.astype(np.int64)
    if ndim == 2:
        return values[:, None]
    return np.stack([values >> shift & 255 for shift in (0, 8, 16)], axis=-1)


def _is_inside(labels: np.ndarray) -> np.ndarray:
    """Pixels whose four neighbours have their own value."""
    result = np.ones(labels.shape, dtype=bool)
    is_as_above, is_as_left = labels[1:] == labels[:-1], labels[:, 1:] == labels[:, :-1]
    result[1:] &= is_as_above
    result[:-1] &= is_as_above
    result[:, 1:] &= is_as_left
    result[:, :-1] &= is_as_left
    return result


def _is_noisy(labels: np.ndarray, inner: np.ndarray) -> bool:
    """Whether most values are many that occur at edges only, not among the `inner` ones."""
    num_edge = len(_counted(labels)[0]) - len(inner)
    return num_edge > max(2 * len(inner), _MANY_EDGE_VALUES)


def _has_edge_tones(labels: np.ndarray, inner: np.ndarray, pixels: np.ndarray) -> bool:
    """Whether there are several values that occur only between others, or one between plain black and white."""
    values, counts = _counted(labels)
    is_edge = ~np.isin(values, inner)
    if not is_edge.any():
        return False
    index = _indexed(labels, values)
    rows, columns = np.nonzero(is_edge[index])
    of_tone = index[rows, columns][_lies_between(pixels, rows, columns)]
    tones = is_edge & (np.bincount(of_tone, minlength=len(values)) >= _EDGE_TONE_SHARE * counts)
    is_black_and_white = inner.tolist() in ([0, 255], [0, 0xFFFF], [0, 0xFFFFFF])
    return int(tones.sum()) >= (1 if is_black_and_white else 3)


def _lies_between(
    pixels: np.ndarray, rows: Integer[np.ndarray, " N"], columns: Integer[np.ndarray, " N"]
) -> Bool[np.ndarray, " N"]:
    """Whether these pixels are of a tone between those of two opposite neighbours."""
    height, width = pixels.shape[:2]
    own = pixels[rows, columns].reshape(len(rows), -1)
    result = np.zeros(len(rows), dtype=bool)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        first, second = (
            pixels[(rows + step * down).clip(0, height - 1), (columns + step * right).clip(0, width - 1)]
            for step in (1, -1)
        )
        first, second = first.reshape(own.shape), second.reshape(own.shape)
        between = (np.minimum(first, second) <= own) & (own <= np.maximum(first, second))
        result |= between.all(1) & (own != first).any(1) & (own != second).any(1)
    return result


def _snapped(pixels: Integer[np.ndarray, "height width *channels"], tolerance: int) -> np.ndarray | None:
    """Labels in which every pixel belongs to a main colour (one with areas of its own); None for a photograph.

    Pixels of other tones belong to the nearest object, or to the background where its colour is nearer.
    """
    packed = pixels if pixels.ndim == 2 else pixels @ np.array([1, 256, 65536], dtype=np.uint32)
    values, counts = _counted(packed)
    index = _indexed(packed, values)
    inner_counts = np.bincount(index[_is_inside(packed)], minlength=len(values))
    colours = _colours(values, pixels.ndim)
    centres: list[int] = []
    distance = np.full(len(values), np.iinfo(np.int64).max)
    nearest = np.zeros(len(values), dtype=np.int64)
    for candidate in np.argsort(-inner_counts, kind="stable"):
        if inner_counts[candidate] < max(4, 1e-4 * packed.size):
            break
        if distance[candidate] > tolerance:
            new_distance = np.abs(colours - colours[candidate]).max(-1)
            nearest = np.where(new_distance < distance, len(centres), nearest)
            distance = np.minimum(distance, new_distance)
            centres.append(int(candidate))
    is_main = distance <= tolerance
    if not centres or counts[is_main].sum() < _FLAT_SHARE * packed.size:
        return None
    # Black stays black: JPEG's nearly black would otherwise be an object.
    is_black = colours[centres].max(-1) <= tolerance
    labels = np.where(is_black, 0, values[centres]).astype(np.uint32)
    if pixels.ndim == 3 and (colours[centres] == colours[centres][:, :1]).all():
        labels = np.where(is_black, 0, colours[centres][:, 0]).astype(np.uint32)  # as `label_map` does
    owner = nearest[index]
    if len(centres) > 2:
        unsure = ~_core(owner, is_main[index])
        ground = int(np.flatnonzero(is_black)[0]) if is_black.any() else _border_label(owner)
        place = scipy.ndimage.distance_transform_edt(
            unsure | (owner == ground), return_distances=False, return_indices=True
        )
        found = owner[place[0][unsure], place[1][unsure]]
        if ground is not None:
            tones, own = colours[index[unsure]], colours[centres]
            to_ground, to_object = (np.abs(tones - own[which]).max(-1) for which in (ground, found))
            found = np.where(to_ground < to_object, ground, found)
        owner[unsure] = found
    return labels[owner]


def _core(owner: np.ndarray, is_main: np.ndarray) -> np.ndarray:
    """Pixels of a main colour beside which, or on which, an area of that colour begins."""
    own = np.where(is_main, owner, -1)
    inside = np.where(_is_inside(own), own, -2)
    padded = np.pad(inside, 1, constant_values=-2)
    height, width = own.shape
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return is_main & np.logical_or.reduce([neighbour == own for neighbour in around])


def _border_label(labels: np.ndarray) -> int | None:
    """The label of more than half of the outermost pixels, where there is another label too."""
    border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    values, counts = np.unique(border, return_counts=True)
    most = counts.argmax()
    is_background = counts[most] > len(border) / 2 and bool((labels != values[most]).any())
    return int(values[most]) if is_background else None


def _hexadecimal(label: int) -> str:
    return f"{label & 255:02x}{label >> 8 & 255:02x}{label >> 16 & 255:02x}"
