"""Alpha decides where there is one, smoothed edges make no slivers, and what looks wrong is said."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from scenewright.encoders.masks import find_masks, load_masks
from scenewright.io.images import load_photograph

SIZE = (160, 120)
BOX = (30, 20, 90, 80)


def shaded() -> np.ndarray:
    """A picture of hundreds of values in smooth bands, as a rendering or a wall in a photograph has."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    return np.stack([90 + x // 3, 60 + y // 2, np.full_like(x, 40)], -1).astype(np.uint8)


def cut_out(colours: np.ndarray, opaque: int = 255) -> Image.Image:
    alpha = np.zeros(SIZE[::-1], np.uint8)
    alpha[BOX[1] : BOX[3], BOX[0] : BOX[2]] = opaque
    return Image.fromarray(np.dstack([colours, alpha]))


@pytest.mark.parametrize("colours", [shaded(), shaded() // 8, np.zeros((*SIZE[::-1], 3), np.uint8)])
@pytest.mark.parametrize("opaque", [255, 1])
def test_the_opaque_part_of_a_cut_out_is_its_mask(tmp_path: Path, colours: np.ndarray, opaque: int) -> None:
    cut_out(colours, opaque).save(tmp_path / "chair.png")
    masks = load_masks(tmp_path / "chair.png", SIZE[::-1])
    assert masks.names == ("chair",)
    assert masks.regions[0].box == BOX
    assert masks.regions[0].area == 60 * 60


def drawn(values: tuple[int, int]) -> Image.Image:
    picture = Image.new("L", SIZE)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((20, 20, 70, 90), fill=values[0])
    draw.ellipse((60, 30, 140, 100), fill=values[1])
    return picture


@pytest.mark.parametrize("values", [(85, 170), (128, 255), (255, 128), (200, 200)])
@pytest.mark.parametrize("how", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, "JPEG"])
def test_smoothed_masks_have_no_slivers(tmp_path: Path, values: tuple[int, int], how: Image.Resampling | str) -> None:
    picture, path = drawn(values), tmp_path / ("a.jpg" if how == "JPEG" else "a.png")
    (picture if isinstance(how, str) else picture.resize((320, 240), how)).save(path)
    scale = 1 if isinstance(how, str) else 4
    masks = load_masks(path)
    exact = [int(np.count_nonzero(np.asarray(picture) == value)) * scale for value in sorted(set(values))]
    assert [mask.area for mask in masks.regions] == pytest.approx(exact, rel=0.05)
    assert "most of them at edges" in masks.warnings[0]


def test_thin_objects_that_meet_are_no_smoothed_edges(tmp_path: Path) -> None:
    picture = drawn((7, 9))
    draw = ImageDraw.Draw(picture)
    for value, x in ((3, 10), (5, 11)):
        draw.line((x, 10, x, 100), fill=value)
    picture.save(tmp_path / "a.png")
    masks = load_masks(tmp_path / "a.png")
    assert masks.names == ("object_3", "object_5", "object_7", "object_9")
    assert masks.warnings == ()


def test_a_mask_that_holds_the_border_is_told(tmp_path: Path) -> None:
    inverted = np.full(SIZE[::-1], 255, np.uint8)
    inverted[20:80, 30:90] = 0
    Image.fromarray(inverted).save(tmp_path / "inverted.png")
    assert "is it the background, or inverted" in load_masks(tmp_path / "inverted.png").warnings[0]


@pytest.mark.parametrize("suffix", [".tiff", ".png"])
def test_many_labels_of_sixteen_bits(tmp_path: Path, suffix: str) -> None:
    labels = np.zeros((160, 200), np.uint16)
    for number in range(320):
        row, column = divmod(number, 20)
        labels[10 * row + 1 : 10 * row + 9, 10 * column + 1 : 10 * column + 9] = 500 + number
    Image.fromarray(labels).save(tmp_path / f"a{suffix}")
    masks = load_masks(tmp_path / f"a{suffix}")
    assert len(masks) == 320
    assert {mask.area for mask in masks.regions} == {64}
    assert masks.names[0] == "object_500"


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("alone", [True, False])
def test_masks_of_the_stored_pixels_are_turned_with_the_photograph(
    tmp_path: Path, orientation: int, alone: bool
) -> None:
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[10:30, 5:45] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    alpha = np.dstack([pixels, pixels[..., 0]])
    for name in ("a",) if alone else ("a", "b"):
        Image.fromarray(alpha if name == "a" else pixels[..., ::-1, :].copy()).save(tmp_path / f"{name}.png")
    photo = load_photograph(tmp_path / "photo.png")
    masks = find_masks(photo, [tmp_path / f"{name}.png" for name in (("a",) if alone else ("a", "b"))])
    assert photo.size == (60, 80)
    assert (np.asarray(photo)[..., 0] > 0).tolist() == masks.masks[0].tolist()
    assert "turned with it" in " ".join(masks.warnings)


def test_a_float_tiff_of_shares_is_a_mask(tmp_path: Path) -> None:
    shares = np.zeros((20, 30), np.float32)
    shares[5:15, 5:20], shares[0, 0], shares[1, 1] = 0.99, np.nan, 0.2
    Image.fromarray(shares).save(tmp_path / "sofa.tiff")
    (mask,) = load_masks(tmp_path / "sofa.tiff", (20, 30)).regions
    assert mask.area == 150


def test_where_a_turn_leaves_no_trace_it_is_asked_for(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.new("RGB", SIZE, "gray").save(tmp_path / "photo.jpg", exif=exif)
    drawn((200, 200)).save(tmp_path / "a.png")
    masks = find_masks(load_photograph(tmp_path / "photo.jpg"), tmp_path / "a.png")
    assert "EXIF orientation 3" in masks.warnings[0]


def test_scenegens_folder_with_one_label_picture(tmp_path: Path) -> None:
    Image.new("RGB", SIZE, "gray").save(tmp_path / "scene.jpg")
    drawn((80, 200)).save(tmp_path / "RGB_Mask.PNG")
    assert load_masks(tmp_path).names == ("object_80", "object_200")
