import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from scenewright.errors import InputError, MissingExtraError
from scenewright.io import images
from scenewright.io.images import (
    decode_image,
    encode_png,
    load_image,
    load_label_pixels,
    load_photograph,
    load_unturned_image,
    save_image,
    stored_picture,
    working_size,
)

RED = (255, 0, 0)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing: the header of a decompression bomb."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(image: Image.Image, file_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=file_format, **options)
    return buffer.getvalue()


def test_missing_empty_folder(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_image(tmp_path / "none.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(InputError, match="is empty"):
        load_image(tmp_path / "empty.png")
    with pytest.raises(InputError, match="is a folder"):
        load_image(tmp_path)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_mark_is_read(tmp_path, progressive):
    noise = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", progressive=progressive)
    (tmp_path / "whole.jpg").write_bytes(buffer.getvalue())
    (tmp_path / "endless.jpg").write_bytes(buffer.getvalue()[:-2])
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:-200])
    assert load_image(tmp_path / "endless.jpg").tobytes() == load_image(tmp_path / "whole.jpg").tobytes()
    with pytest.raises(InputError, match=r"'.*cut\.jpg' is truncated or damaged"):
        load_image(tmp_path / "cut.jpg")


def test_truncated(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    (tmp_path / "half.png").write_bytes(encoded(noise)[:4000])
    with pytest.raises(InputError, match=r"'.*half\.png' is truncated or damaged"):
        load_image(tmp_path / "half.png")


def test_text_and_formats_that_are_not_allowed(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(InputError, match="Expected a PNG, JPEG, WEBP, BMP, TIFF, GIF, AVIF picture"):
        load_image(tmp_path / "text.png")
    Image.new("RGB", (16, 16)).save(tmp_path / "a.eps")
    with pytest.raises(InputError, match="Expected a PNG"):
        load_image(tmp_path / "a.eps")


@pytest.mark.parametrize("size", [(20_000, 20_000), (1 << 30, 1 << 30)])
def test_decompression_bombs_are_refused_by_their_header(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png_header(*size))
    with pytest.raises(InputError, match=r"scale it down"):
        load_image(tmp_path / "bomb.png")


def test_tiny_and_transparent(tmp_path):
    save_image(Image.new("RGB", (1, 1)), tmp_path / "tiny.png")
    with pytest.raises(InputError, match=r"at least 8x8 pixels, but '.*' is 1x1"):
        load_image(tmp_path / "tiny.png")
    save_image(Image.new("RGBA", (16, 16), (255, 0, 0, 0)), tmp_path / "clear.png")
    with pytest.raises(InputError, match="fully transparent"):
        load_image(tmp_path / "clear.png")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "I;16"])
def test_opaque_modes_become_rgb(tmp_path, mode):
    if mode == "I;16":
        image = Image.fromarray(np.full((9, 9), 0x80FF, np.uint16))
    else:
        image = Image.new("RGB", (9, 9), (255, 255, 255)).convert(mode)
    file_format = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    (tmp_path / "a").write_bytes(encoded(image, file_format))
    loaded = load_image(tmp_path / "a")
    assert loaded.mode == "RGB"
    assert loaded.getpixel((4, 4)) == ((0x80,) * 3 if mode == "I;16" else (255, 255, 255))


@pytest.mark.parametrize(("most", "kind"), [(1, "f"), (255, "f"), (65535, "f"), (255, "i"), (65535, "i")])
def test_tiff_of_long_numbers_keeps_its_grey_levels(tmp_path, most, kind):
    """Such files do not say what white is."""
    levels = np.linspace(0, 1, 96).reshape(8, 12)
    stored = (levels * most).astype(np.float32) if kind == "f" else np.rint(levels * most).astype(np.int32)
    expected = levels * 255
    if kind == "f":
        stored[3, 3], expected[3, 3] = np.nan, 0
    Image.fromarray(stored).save(tmp_path / "a.tiff")
    loaded = np.asarray(load_image(tmp_path / "a.tiff").convert("L"), dtype=float)
    assert np.abs(loaded - expected).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P with transparency"])
def test_transparency_becomes_rgba(tmp_path, mode):
    image = Image.new("RGBA", (9, 9), (255, 255, 255, 255))
    image.putpixel((0, 0), (255, 255, 255, 0))
    if mode == "P with transparency":
        palette = Image.new("P", (9, 9), 0)
        palette.putpalette([255, 255, 255, 0, 0, 0])
        palette.putpixel((0, 0), 1)
        palette.save(tmp_path / "a.png", transparency=1)
    else:
        image.convert(mode if mode != "PA" else "RGBA").save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png")
    assert loaded.mode == "RGBA"
    assert loaded.getpixel((0, 0))[3] == 0
    assert loaded.getpixel((8, 8)) == (255, 255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sixteen_bits_are_turned_as_eight_are(tmp_path, orientation):
    levels = np.arange(96, dtype=np.uint8).reshape(8, 12)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(levels).save(tmp_path / "8.png", exif=exif)
    Image.fromarray(levels.astype(np.uint16) << 8).save(tmp_path / "16.png", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(tmp_path / "8.png")).convert("RGB")
    for name in ("8.png", "16.png"):
        loaded = load_image(tmp_path / name)
        assert np.array_equal(np.asarray(loaded), np.asarray(expected))
        assert ImageOps.exif_transpose(loaded).size == expected.size  # nobody turns it a second time
        assert np.array_equal(np.asarray(load_unturned_image(tmp_path / name))[..., 0], levels)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (32, 16))
    image.paste(RED, (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show rotated by 90 degrees clockwise
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    loaded = load_image(tmp_path / "a.jpg")
    assert loaded.size == (16, 32)
    assert loaded.getpixel((8, 4))[0] > 200
    assert loaded.getpixel((8, 28))[0] < 60


def test_label_pixels_keep_palette_indices_and_sixteen_bits(tmp_path):
    indices = np.arange(64, dtype=np.uint8).reshape(8, 8) % 5
    palette = Image.fromarray(indices).convert("P")
    palette.putpalette([i * 16 for i in range(15)])
    palette.save(tmp_path / "p.png")
    assert np.array_equal(load_label_pixels(tmp_path / "p.png"), indices)
    deep = indices.astype(np.uint16) * 1000
    Image.fromarray(deep).save(tmp_path / "d.png")
    assert np.array_equal(load_label_pixels(tmp_path / "d.png"), deep)


def test_saving_by_suffix(tmp_path):
    image = Image.new("RGBA", (8, 8), (*RED, 255))
    for suffix in (".png", ".jpg", ".webp", ".bmp"):
        assert load_image(save_image(image, tmp_path / f"a{suffix}")).getpixel((0, 0))[0] > 250
    with pytest.raises(InputError, match=r"use \.png"):
        save_image(image, tmp_path / "a.tga")
    assert len(os.listdir(tmp_path)) == 4


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_bytes_are_lossless_and_repeatable(channels):
    pixels = torch.randint(0, 256, (5, 7, channels), dtype=torch.uint8)
    content = encode_png(pixels)
    assert content == encode_png(pixels.clone())
    decoded = np.array(Image.open(io.BytesIO(content))).reshape(5, 7, channels)
    assert np.array_equal(decoded, pixels.numpy())


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_fuzzed_pictures_only_raise_input_errors(data):
    file_format = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"]))
    content = bytearray(encoded(Image.new("RGB", (16, 12), RED), file_format))
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    try:
        image = decode_image(bytes(content), max_pixels=1 << 20)
    except InputError:
        return
    assert image.mode in ("RGB", "RGBA")


@pytest.mark.parametrize("file_format", ["TIFF", "GIF", "AVIF"])
def test_the_first_picture_of_other_formats(tmp_path, file_format):
    pictures = [Image.new("RGB", (40, 30), colour) for colour in (RED, (0, 0, 255))]
    pictures[0].save(tmp_path / "a.jpg", format=file_format, save_all=True, append_images=pictures[1:])
    loaded = load_image(tmp_path / "a.jpg")
    assert (loaded.mode, loaded.size) == ("RGB", (40, 30))
    assert np.allclose(loaded.getpixel((20, 15)), RED, atol=4)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"\0\0\0\x0cjP  \r\n", "JPEG 2000"), (b"8BPS\0\1", "Photoshop"), (b"\xff\x0a\0\0", "JPEG XL")],
)
def test_formats_that_are_not_read_are_named(content, kind):
    with pytest.raises(InputError, match=f"is {kind}; save it as PNG"):
        decode_image(content)


def test_heic_asks_for_its_extra(monkeypatch):
    monkeypatch.setattr(images, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"scenewright\[heic\]"):
        decode_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_large_photographs_come_at_their_working_size(tmp_path, file_format):
    exif = Image.Exif()
    exif[0x0112] = 8
    large = Image.new("RGB", (5200, 3900), RED)
    large.paste((0, 0, 255), (0, 0, 2600, 3900))
    large.save(tmp_path / "a", format=file_format, exif=exif)
    loaded = load_photograph(tmp_path / "a")
    assert loaded.size == (1950, 2600)
    assert loaded.getpixel((900, 2500))[2] > 200  # its left half is below
    assert stored_picture(loaded).upright_size == (3900, 5200)
    assert load_image(tmp_path / "a").size == (3900, 5200)


def test_working_sizes():
    assert working_size(4032, 3024) == (4032, 3024)
    assert working_size(8064, 6048) == (4032, 3024)
    width, height = working_size(15999 // 2 * 2, 7999)
    assert width == 2 * height
    assert width * height <= images.WORKING_PIXELS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!DOCTYPE svg>\n<!-- a -->\n<svg xmlns="x">', "is SVG; save it as PNG"),
        (b"<?xml " + b"<! " * 1000, "none, or is damaged; save it again as PNG"),
        (b"\x76\x2f\x31\x01" + bytes(50), "is OpenEXR under another ending; save it as PNG"),
        (b"\0\0\0\x20ftypisom" + bytes(50), "is a film; save it as PNG"),
    ],
)
def test_what_is_no_picture_is_told_with_a_way_out(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.png'.* {message}"):
        load_image(tmp_path / "a.png")
