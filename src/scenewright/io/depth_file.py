"""Depth maps in files: `.npy` and `.exr` in metres, or 16-bit grey PNG in millimetres."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.io.archives import read_npy
from scenewright.io.atomic import atomic_path
from scenewright.io.images import MAX_PIXELS, load_label_image
from scenewright.io.linear_image import load_channel

__all__ = ["load_depth", "save_depth"]

_MAX_MM = 65535
_HELD = {"1": "black and white", "L": "8-bit grey levels", "P": "a palette"}
# Blender writes Z or V (and the same value in R, G and B), other tools "depth".
_EXR_CHANNELS = ("Z", "depth", "V", "Y", "R")


def load_depth(path: str | Path) -> Float[Tensor, "height width"]:
    """Depth in metres; 0, NaN and infinity mean that nothing is known there.

    Raises:
        InputError: the file is missing, of another kind, has more than one channel, or holds no depth at all.
        MissingExtraError: an .exr is given, and OpenImageIO is not installed.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        metres = _of_array(path)
    elif path.suffix.lower() == ".png":
        metres = _of_picture(path)
    elif path.suffix.lower() == ".exr":
        metres = load_channel(path, _EXR_CHANNELS, max_pixels=MAX_PIXELS).numpy()
    else:
        raise InputError(f"Expected depth as .npy or .exr (metres) or 16-bit .png (millimetres), got '{path.name}'.")
    metres = metres.squeeze()
    if metres.ndim != 2:
        raise InputError(f"Expected one depth per pixel in '{path}', got an array of shape {metres.shape}.")
    if not (np.isfinite(metres) & (metres > 0)).any():
        raise InputError(f"'{path}' holds no depth above zero; check its unit and content.")
    return torch.from_numpy(metres)


def _of_array(path: Path) -> np.ndarray:
    array = read_npy(path)
    if array.dtype.kind not in "iuf":
        raise InputError(f"'{path}' holds values of type {array.dtype}, no depth; save it as numbers, in metres.")
    with np.errstate(over="ignore"):  # what is too far for single precision is infinitely far: unknown
        return array.astype(np.float32)


def _of_picture(path: Path) -> np.ndarray:
    image = load_label_image(path)
    if not image.mode.startswith("I"):
        content = _HELD.get(image.mode, "colours")
        raise InputError(
            f"'{path}' holds {content}, no depth in millimetres; save it as 16-bit grey PNG in millimetres, or as .npy "
            "or .exr in metres."
        )
    return np.asarray(image).astype(np.float32) / 1000


def save_depth(depth_m: Float[Tensor, "height width"], path: str | Path) -> Path:
    """Write depth atomically as `.npy` or `.png`; what is unknown becomes 0 in a picture. Returns the path.

    Raises:
        InputError: another suffix.
    """
    path = Path(path)
    if path.suffix.lower() not in (".npy", ".png"):
        raise InputError(f"Cannot write depth as '{path.name}'; use .npy or .png.")
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".npy":
            with open(temporary, "wb") as file:
                np.save(file, depth_m.cpu().numpy())
        else:
            millimetres = (depth_m.nan_to_num(0, 0, 0) * 1000).round().clamp(0, _MAX_MM).cpu().numpy()
            Image.fromarray(millimetres.astype(np.uint16)).save(temporary, format="PNG")
    return path
