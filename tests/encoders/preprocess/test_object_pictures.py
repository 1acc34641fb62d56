"""Pictures of single objects, as TRELLIS v1 and TRELLIS.2 prepare them, and the crop rules they share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scenewright.encoders.preprocess import trellis1, trellis2
from scenewright.encoders.preprocess.crop import drop_alpha, opaque_extent, rounded_box, square_box, with_alpha
from scenewright.errors import InputError

PREPARATIONS = pytest.mark.parametrize("prepare", [trellis1.prepare_object, trellis2.prepare_object])


def canvas(left: int = 20, upper: int = 30, *, size: tuple[int, int] = (100, 90)) -> Image.Image:
    """A 24 x 16 object of noise on a transparent canvas."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    pixels = np.zeros((size[1], size[0], 4), np.uint8)
    pixels[upper : upper + 16, left : left + 24, :3] = noise
    pixels[upper : upper + 16, left : left + 24, 3] = 255
    return Image.fromarray(pixels)


def test_box_by_hand() -> None:
    opaque = np.zeros((50, 60), bool)
    opaque[10:21, 5:26] = True
    extent = opaque_extent(opaque)
    assert extent == (5, 10, 25, 20)
    assert square_box(extent) == (5, 5, 25, 25)
    assert square_box(extent, margin=1.2) == (3, 3, 27, 27)


def test_box_halves_round_to_even() -> None:
    assert rounded_box((0.5, 1.5, 2.5, -0.5)) == (0, 2, 2, 0)


@PREPARATIONS
@settings(max_examples=15, deadline=None)
@given(dx=st.integers(-20, 40), dy=st.integers(-20, 40))
def test_place_on_the_canvas_does_not_matter(prepare, dx: int, dy: int) -> None:
    # Even steps, since boxes with halves round to the even neighbour.
    dx, dy = 2 * (dx // 2), 2 * (dy // 2)
    moved = canvas(20 + dx, 30 + dy, size=(104, 96))
    np.testing.assert_array_equal(np.asarray(prepare(moved)), np.asarray(prepare(canvas())))


def test_trellis1_is_square_with_a_margin() -> None:
    prepared = np.asarray(trellis1.prepare_object(canvas(), size=56))
    assert prepared.shape == (56, 56, 3)
    # The crop is 26 pixels for an object of 24 x 16: six rows of black above it, of which Lanczos reaches into three.
    assert not prepared[:6].any()
    assert prepared[28].any()


def test_trellis2_keeps_its_pixels() -> None:
    image = canvas()
    prepared = np.asarray(trellis2.prepare_object(image))
    # Columns 20..43 have extent 23: half 11 about (31.5, 37.5), so columns 20..41 and rows 26..47 (rounded to even).
    np.testing.assert_array_equal(prepared, np.asarray(image)[26:48, 20:42, :3])


def test_trellis2_shrinks_large_cut_outs() -> None:
    large = canvas().resize((2000, 1800), Image.Resampling.NEAREST)
    assert max(trellis2.prepare_object(large).size) < 300


def test_half_transparent_pixels_are_darkened() -> None:
    pixels = np.full((20, 20, 4), 200, np.uint8)
    pixels[..., 3] = 255
    pixels[10, 10, 3] = 128
    prepared = np.asarray(trellis2.prepare_object(Image.fromarray(pixels)))
    assert sorted({int(value) for value in np.unique(prepared)}) == [100, 200]


@PREPARATIONS
def test_opaque_pictures_need_a_remover(prepare) -> None:
    opaque = Image.new("RGB", (30, 20), (200, 100, 50))
    with pytest.raises(InputError, match=r"opaque everywhere.*transparency.*background"):
        prepare(opaque)


@PREPARATIONS
def test_opaque_pictures_go_to_the_remover_at_most_1024_wide(prepare) -> None:
    seen = []

    def remover(image: Image.Image) -> Image.Image:
        seen.append((image.mode, image.size))
        mask = Image.new("L", image.size)
        mask.paste(255, (100, 100, 300, 300))
        return Image.merge("RGBA", [*image.split(), mask])

    prepared = prepare(Image.new("RGB", (3000, 1500), (200, 100, 50)), remove_background=remover)
    assert seen == [("RGB", (1024, 512))]
    assert np.asarray(prepared)[prepared.height // 2, prepared.width // 2].tolist() == [200, 100, 50]


@PREPARATIONS
@pytest.mark.parametrize("alpha", [0, 204])
def test_nothing_opaque_is_an_error(prepare, alpha: int) -> None:
    with pytest.raises(InputError, match="has no object"):
        prepare(Image.new("RGBA", (32, 32), (255, 255, 255, alpha)))


@PREPARATIONS
def test_one_opaque_pixel_is_an_error(prepare) -> None:
    image = Image.new("RGBA", (32, 32))
    image.putpixel((4, 5), (255, 0, 0, 255))
    with pytest.raises(InputError, match="one single pixel"):
        prepare(image)


def test_transparency_of_palette_pictures_counts() -> None:
    palette = Image.new("P", (20, 20))
    palette.putpalette([0, 0, 0, 250, 10, 20])
    palette.paste(1, (5, 5, 15, 15))
    palette.info["transparency"] = 0
    assert with_alpha(palette).mode == "RGBA"
    assert trellis2.prepare_object(palette).getpixel((2, 2)) == (250, 10, 20)


def test_dropping_alpha_blackens_only_what_is_fully_transparent() -> None:
    pixels = np.array([[[10, 20, 30, 0], [10, 20, 30, 1], [10, 20, 30, 255]]], np.uint8)
    expected = [[[0, 0, 0], [10, 20, 30], [10, 20, 30]]]
    np.testing.assert_array_equal(np.asarray(drop_alpha(Image.fromarray(pixels))), expected)


def test_resize_for_the_encoder_is_square() -> None:
    assert trellis2.resized_for_encoder(Image.new("RGB", (30, 40)), 512).size == (512, 512)
