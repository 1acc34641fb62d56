"""Pictures in and out: an allow-list of formats, sizes checked from the header, one sentence when a file is no use.

The header is read first and refuses what is too large, so a decompression bomb is never decoded. Whatever the file's
mode (palette, grey, 16 bit, CMYK, premultiplied), the caller gets RGB, or RGBA where the file has transparency, upright
according to its EXIF orientation. Photographs come at a working size (`load_photograph`), so that what is done with
them does not grow with the camera; how a picture lay in its file is kept (`stored_picture`).
"""

import hashlib
import io
import math
import re
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError, MissingExtraError
from scenewright.files import read_file, reading, reason_of, spend
from scenewright.io.atomic import atomic_path
from scenewright.io.linear_image import LINEAR_SUFFIXES, load_linear_image, tone_mapped

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "PICTURE_SUFFIXES",
    "SAVED_SUFFIXES",
    "WORKING_PIXELS",
    "StoredPicture",
    "decode_image",
    "encode_png",
    "encode_small",
    "image_of",
    "image_size",
    "load_exif",
    "load_image",
    "load_label_image",
    "load_label_pixels",
    "load_photograph",
    "load_unturned_image",
    "pixels_of",
    "save_image",
    "stored_picture",
    "upright_size",
    "working_size",
]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
"""Formats that are opened, of several pictures in a file the first; JPEG includes MPO, which phones write as .jpg with
a second picture inside. HEIC is opened where the extra `heic` is installed.

Of 16 bits per channel the upper eight are kept. OpenEXR and Radiance pictures go through `linear_image`.
"""

PICTURE_SUFFIXES = (
    *(".png", ".bmp", ".webp", ".jpg", ".jpeg", ".jfif"),
    *(".tif", ".tiff", ".gif", ".avif", ".heic", ".heif", ".hif"),
)
"""Endings of the names of picture files, in lower case."""

MAX_PIXELS = 1 << 27
"""Largest picture decoded: 16384 x 8192, half a gigabyte as RGBA."""

WORKING_PIXELS = 3 << 22
"""Largest photograph that is worked with at its own size: 4096 x 3072."""

_MIN_SIDE_PX = 8
_KIND, _WAY_OUT = "a picture", "save it again as PNG"
_FORMAT_OF = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
SAVED_SUFFIXES = tuple(_FORMAT_OF)
"""Those that `save_image` takes."""
_STORED = "scenewright_stored"  # the key of `StoredPicture` in a picture's `info`
_ORIENTATION, _EXIF_IFD, _FOCAL_35MM = 0x0112, 0x8769, 0xA405
# What makes a picture of each orientation upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# Formats that people meet and that are refused by name: first bytes, from which byte on.
_REFUSED = (
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000"),
    (b"\xff\x4f\xff\x51", 0, "JPEG 2000"),
    (b"\xff\x0a", 0, "JPEG XL"),
    (b"\0\0\0\x0cJXL ", 0, "JPEG XL"),
    (b"8BPS", 0, "Photoshop"),
    (b"%!PS", 0, "PostScript"),
    (b"%PDF", 0, "PDF"),
    (b"\x76\x2f\x31\x01", 0, "OpenEXR under another ending"),
    (b"#?RADIANCE", 0, "a Radiance picture under another ending"),
    (b"ftypisom", 4, "a film"),
    (b"ftypmp42", 4, "a film"),
    (b"ftypqt  ", 4, "a film"),
    (b"ftypcrx ", 4, "raw (CR3)"),
)


_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_MOST_BEFORE_SVG = 4096
_SVG = re.compile(rb"(\xef\xbb\xbf)?\s*(<[?!][^<]*)*<svg\b", re.IGNORECASE)


@dataclass(frozen=True)
class StoredPicture:
    """A picture as it lies in its file: its size before it was turned or reduced, and what its EXIF data say.

    Attributes:
        orientation: EXIF's, 1 (upright) to 8; from 5 on the picture is stored on its side.
        focal_35mm: focal length in millimetres on 35 mm film, 0 where it is not known.
    """

    width: int
    height: int
    orientation: int = 1
    focal_35mm: float = 0.0

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) as the picture is shown."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def stored_picture(image: Image.Image) -> StoredPicture:
    """The picture as it lay in its file; one that was made in memory, as it is."""
    stored = image.info.get(_STORED)
    return stored if isinstance(stored, StoredPicture) else StoredPicture(*image.size)


def working_size(width: int, height: int) -> tuple[int, int]:
    """The size at which a photograph is worked with: its own, or divided by the least whole number that suffices."""
    divisor = math.ceil(math.sqrt(width * height / WORKING_PIXELS))
    if divisor <= 1:
        return width, height
    rows = math.ceil(height / divisor)
    return max(1, round(width * rows / height)), rows  # a panorama stays exactly twice as wide as high


def load_photograph(path: str | Path) -> Image.Image:
    """As `load_image`, at its `working_size`: time and memory do not grow with the camera."""
    return load_image(path, reduce=True)


def load_image(path: str | Path, *, max_pixels: int = MAX_PIXELS, reduce: bool = False) -> Image.Image:
    """The picture at `path`, upright, as RGB or (where the file has transparency) RGBA; linear light is tone-mapped.

    Args:
        reduce: give it at its `working_size`.

    Raises:
        MissingExtraError: the file holds linear light, and OpenImageIO is not installed.
        InputError: the file is missing, empty, truncated, of another format, too large, smaller than 8 pixels on a
            side, or transparent everywhere.
    """
    with reading(Path(path), _KIND, _WAY_OUT):
        if Path(path).suffix.lower() in LINEAR_SUFFIXES:
            image = Image.fromarray(tone_mapped(load_linear_image(path, max_pixels=max_pixels)).numpy())
            image = _reduced(image, working_size(*image.size), Image.Resampling.BOX) if reduce else image
        else:
            image = decode_image(read_file(path), name=f"'{path}'", max_pixels=max_pixels, reduce=reduce)
    if min(image.size) < _MIN_SIDE_PX:
        raise InputError(
            f"Expected a picture of at least {_MIN_SIDE_PX}x{_MIN_SIDE_PX} pixels, "
            f"but '{path}' is {image.width}x{image.height}; give a larger one."
        )
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[1] == 0:
        raise InputError(
            f"Every pixel of '{path}' is fully transparent, so it shows no object; give an opaque picture."
        )
    return image


def load_unturned_image(path: str | Path) -> Image.Image:
    """The picture at `path` as RGB or RGBA, as it lies in its file: its orientation mark is ignored, as COLMAP does.

    Raises:
        MissingExtraError: see `decode_image`.
        InputError: likewise, or the file is missing.
    """
    with reading(Path(path), _KIND, _WAY_OUT):
        return decode_image(read_file(path), name=f"'{path}'", upright=False)


def decode_image(
    content: bytes,
    *,
    name: str = "the picture",
    max_pixels: int = MAX_PIXELS,
    reduce: bool = False,
    upright: bool = True,
) -> Image.Image:
    """The picture held in `content` as RGB or RGBA; `name` is how error messages call it.

    Raises:
        InputError: not a picture of an allowed format, damaged, larger than `max_pixels`, or too much for the file
            that holds it.
        MissingExtraError: a HEIC picture without its decoder.
    """
    with reading(name, _KIND, _WAY_OUT, size=len(content)):
        image = _decoded(content, name, max_pixels, reduce=reduce)
        stored = image.info.pop(_STORED)
        try:
            image = _rgb_or_rgba(image)
            if reduce:
                image = _reduced(image, working_size(stored.width, stored.height), Image.Resampling.BOX)
            if upright and stored.orientation in _TURNS:
                _spend_pixels(image, image.mode, name)
                image = image.transpose(_TURNS[stored.orientation])
                image.info.pop("exif", None)  # it would turn the picture a second time
            image.info[_STORED] = stored
            return image
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"The picture {name} has pixels that cannot be converted ({reason_of(error)}); save it as PNG."
            ) from error


def load_label_image(
    path: str | Path, *, max_pixels: int = MAX_PIXELS, reduce_to: tuple[int, int] | None = None
) -> Image.Image:
    """The label or mask picture at `path` as stored, in its own mode (palette, grey, 16 bit, colours, alpha).

    Args:
        reduce_to: (width, height) to give a picture in that no photograph is worked with, if it has that shape.

    Raises:
        InputError: as `load_image`, sizes and transparency apart.
    """
    with reading(Path(path), _KIND, _WAY_OUT):
        image = _decoded(read_file(path), f"'{path}'", max_pixels)
    del image.info[_STORED]
    if reduce_to is None or image.width * image.height <= WORKING_PIXELS:
        return image
    fitting = (
        size
        for size in (reduce_to, reduce_to[::-1])
        if size[0] < image.width and abs(size[0] * image.height / (size[1] * image.width) - 1) < 0.02
    )
    return _reduced(image, next(fitting, working_size(*image.size)), Image.Resampling.NEAREST)


def load_exif(path: str | Path) -> Image.Exif:
    """The EXIF data of a picture file; its pixels are not decoded.

    Raises:
        InputError: the file is missing or is no picture of an allowed format.
    """
    with reading(Path(path), _KIND, _WAY_OUT):
        return _opened(read_file(path), f"'{path}'", MAX_PIXELS).getexif()


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height that the header of a picture file promises, as stored.

    Raises:
        InputError: the file is missing or is no picture of an allowed format.
    """
    with reading(Path(path), _KIND, _WAY_OUT):
        return _opened(read_file(path), f"'{path}'", MAX_PIXELS).size


def upright_size(path: str | Path) -> tuple[int, int]:
    """Width and height of the picture in a file as it is shown; its header and EXIF data are read, no pixels.

    Raises:
        InputError: the file is missing or is no picture of an allowed format.
    """
    with reading(Path(path), _KIND, _WAY_OUT):
        image = _opened(read_file(path), f"'{path}'", MAX_PIXELS)
        return StoredPicture(*image.size, *_exif(image)).upright_size


def load_label_pixels(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Pixel values of a label or mask picture as stored: palette indices, grey levels (8 or 16 bit), or colours.

    Returns:
        uint8 or int32 array, [height, width] or [height, width, channels].

    Raises:
        InputError: as `load_image`, sizes and transparency apart.
    """
    image = load_label_image(path, max_pixels=max_pixels)
    if image.mode == "1":
        image = image.convert("L")
    pixels = np.asarray(image)
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)


def save_image(image: Image.Image, path: str | Path) -> Path:
    """Write `image` to `path` atomically, in the format its suffix names (.png, .jpg, .webp, .bmp); returns the path.

    Raises:
        InputError: unknown suffix, or the folder cannot be written.
    """
    path = Path(path)
    file_format = _FORMAT_OF.get(path.suffix.lower())
    if file_format is None:
        raise InputError(f"Cannot write a picture as '{path.name}'; use {', '.join(SAVED_SUFFIXES)}.")
    if file_format in ("JPEG", "BMP") and image.mode not in ("RGB", "L"):
        image = image.convert("RGB")
    with atomic_path(path) as temporary:
        image.save(temporary, format=file_format, **({"quality": 95} if file_format == "JPEG" else {}))
    return path


def encode_png(pixels: UInt8[Tensor, "height width *channels"]) -> bytes:
    """PNG bytes of an 8-bit picture with 1 (or no), 3 or 4 channels; the same pixels give the same bytes."""
    array = pixels.detach().cpu().numpy()
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def encode_small(pixels: UInt8[Tensor, "height width channels"], kind: Literal["jpeg", "webp"]) -> bytes:
    """Bytes of an 8-bit picture with 3 channels (WebP: or 4), with losses that are hard to see (quality 90)."""
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels.detach().cpu().numpy()))
    if kind == "jpeg":
        image.save(buffer, format="JPEG", quality=90, subsampling=0)
    else:
        image.save(buffer, format="WEBP", quality=90, method=4)
    return buffer.getvalue()


def image_of(picture: Float[Tensor, "height width channels"]) -> Image.Image:
    """The 8-bit picture of encoded values in [0, 1]; what lies outside is clamped."""
    return Image.fromarray((picture.detach().clamp(0, 1) * 255).round().byte().cpu().numpy())


def pixels_of(image: Image.Image, mode: str) -> UInt8[Tensor, "height width channels"]:
    """The picture's pixels converted to `mode` ("RGB" or "RGBA")."""
    return torch.from_numpy(np.array(image.convert(mode)))


def _opened(content: bytes, name: str, max_pixels: int) -> Image.Image:
    """The first picture of a file, whose header was read and whose pixels were not."""
    formats = (*FORMATS, "HEIF") if _opens_heic(content, name) else FORMATS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is checked below
        try:
            image = Image.open(io.BytesIO(content), formats=formats)
        except Image.DecompressionBombError as error:
            raise InputError(f"The picture {name} is too large to decode; scale it down.") from error
        except Exception as error:
            known = ", ".join(FORMATS)
            kind = next((kind for start, at, kind in _REFUSED if content[at : at + len(start)] == start), None)
            if kind is None and _SVG.match(content[:_MOST_BEFORE_SVG]):
                kind = "SVG"
            problem = f"{kind}; save it as PNG" if kind else "none, or is damaged; save it again as PNG"
            raise InputError(f"Expected a {known} picture, but {name} is {problem}.") from error
    if image.width * image.height > max_pixels:
        raise InputError(
            f"The picture {name} has {image.width}x{image.height} pixels, "
            f"more than the {max_pixels / 1e6:.0f} million allowed; scale it down."
        )
    return image


def _decoded(content: bytes, name: str, max_pixels: int, *, reduce: bool = False) -> Image.Image:
    """The first picture in `content`, decoded, with its `StoredPicture` in `info`."""
    image = _opened(content, name, max_pixels)
    size = image.size
    if reduce and image.format in ("JPEG", "MPO"):
        image.draft(None, working_size(*size))  # the decoder itself leaves out what would be thrown away
    _spend_pixels(image, image.mode, name)
    try:
        image.load()
    except Exception as error:
        if _lacks_only_its_end(content, name, max_pixels):
            return _decoded(content + _JPEG_END, name, max_pixels, reduce=reduce)
        raise InputError(f"The picture {name} is truncated or damaged ({error}); save it again.") from error
    image.info[_STORED] = StoredPicture(*size, *_exif(image))
    return image


def _lacks_only_its_end(content: bytes, name: str, max_pixels: int) -> bool:
    """Whether a JPEG has all its pixels and no end mark: then no bit of what follows can change them."""
    if not content.startswith(_JPEG_START) or content.endswith(_JPEG_END):
        return False
    seen = set()
    for following in (b"", b"\x55" * 64, b"\xb6" * 64):
        try:
            seen.add(hashlib.sha256(_opened(content + following + _JPEG_END, name, max_pixels).tobytes()).digest())
        except Exception:
            return False
    return len(seen) == 1


def _opens_heic(content: bytes, name: str) -> bool:
    """Whether the picture is HEIC, whose decoder is registered then.

    Raises:
        MissingExtraError: it is not installed.
    """
    if content[4:8] != b"ftyp" or content[8:12] not in _HEIF_BRANDS or b"avif" in content[12:64]:
        return False
    if find_spec("pi_heif") is None:
        raise MissingExtraError(f"Reading the HEIC picture {name}", "heic")
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False)
    return True


def _exif(image: Image.Image) -> tuple[int, float]:
    """Orientation and 35 mm focal length; damaged EXIF data count as none."""
    try:
        data = image.getexif()
        orientation, focal = int(data.get(_ORIENTATION, 1)), float(data.get_ifd(_EXIF_IFD).get(_FOCAL_35MM, 0))
    except Exception:
        return 1, 0.0
    return orientation if 1 <= orientation <= 8 else 1, focal if 0 < focal < 1e5 else 0.0


def _spend_pixels(image: Image.Image, mode: str, name: str) -> None:
    """Counts one copy of the picture; Pillow keeps colours in four bytes a pixel."""
    num_bytes = 1 if mode in ("1", "L", "P") else 2 if mode.startswith("I;16") else 4
    spend(image.width * image.height * num_bytes, f"the picture {name} of {image.width}x{image.height} pixels")


def _rgb_or_rgba(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        spend(image.width * image.height * 16)
        # Pillow's own conversion clips 16-bit grey at 255; the high byte is the 8-bit picture.
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        spend(image.width * image.height * 16)
        image = Image.fromarray(_grey_of_numbers(np.asarray(image)))
    mode = "RGBA" if image.has_transparency_data else "RGB"
    if image.mode == mode:
        return image
    _spend_pixels(image, mode, "converted")
    return image.convert(mode)


def _grey_of_numbers(values: np.ndarray) -> np.ndarray:
    """Grey levels of 32-bit numbers, which do not say what white is: 1 (fractions alone), 255 or 65535.

    It is the least that holds them all. Numbers that are not finite are black.
    """
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0).clip(0, 65535)
    most, has_fractions = values.max(initial=0), bool((values % 1).any())
    white = 1 if has_fractions and most <= 1 else 255 if most <= 255 else 65535
    return np.rint(values * (255 / white)).astype(np.uint8)


def _reduced(image: Image.Image, size: tuple[int, int], resampling: Image.Resampling) -> Image.Image:
    """The picture at a smaller size; the same where that is its own."""
    return image if image.size == size else image.resize(size, resampling)
