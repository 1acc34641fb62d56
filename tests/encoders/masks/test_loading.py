"""Every form of the same masks gives the same masks, and what is wrong with them is said by name."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from scenewright.encoders.masks import NamedMask, checked_masks, load_masks
from scenewright.encoders.masks.coco import encode_counts
from scenewright.errors import InputError
from scenewright.types import Mask, ObjectMasks

HEIGHT, WIDTH = 40, 56
COLOURS = [(0, 0, 0), (255, 0, 0), (0, 128, 0), (128, 0, 0), (64, 64, 0), (250, 251, 252)]


@st.composite
def label_maps(draw: st.DrawFn) -> np.ndarray:
    """One to five objects, each one to three rectangles; later ones cover earlier ones."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for label in range(1, draw(st.integers(1, 5)) + 1):
        for _ in range(draw(st.integers(1, 3))):
            left, upper = draw(st.integers(0, WIDTH - 6)), draw(st.integers(0, HEIGHT - 6))
            right, lower = draw(st.integers(left + 3, WIDTH)), draw(st.integers(upper + 3, HEIGHT))
            labels[upper:lower, left:right] = label
    labels[:, -1] = 0  # never without background
    return labels


def split(labels: np.ndarray) -> list[np.ndarray]:
    """The usable objects of a label map, as the loader should find them."""
    masks = [labels == label for label in range(1, 6)]
    return [m for m in masks if m.sum() > 0 and max(np.ptp(np.argwhere(m), axis=0)) > 0]


def as_indexed(labels: np.ndarray, folder: Path) -> Path:
    image = Image.fromarray(labels, mode="P")
    image.putpalette([value for colour in COLOURS for value in colour])
    image.save(folder / "indexed.png")
    return folder / "indexed.png"


def as_grey(labels: np.ndarray, folder: Path) -> Path:
    Image.fromarray(labels).save(folder / "grey.png")
    return folder / "grey.png"


def as_16_bit(labels: np.ndarray, folder: Path) -> Path:
    Image.fromarray(labels.astype(np.uint16) * 300).save(folder / "deep.png")
    return folder / "deep.png"


def as_colours(labels: np.ndarray, folder: Path) -> Path:
    Image.fromarray(np.array(COLOURS, np.uint8)[labels]).save(folder / "colours.png")
    return folder / "colours.png"


def as_colours_on_transparent(labels: np.ndarray, folder: Path) -> Path:
    palette = np.array([(255, 255, 255), *COLOURS[1:]], np.uint8)
    alpha = np.where(labels > 0, np.uint8(255), np.uint8(0))[..., None]
    Image.fromarray(np.concatenate([palette[labels], alpha], -1)).save(
        folder / "layers.webp", lossless=True, exact=True
    )
    return folder / "layers.webp"


def as_folder(labels: np.ndarray, folder: Path, *, white: int = 255) -> Path:
    (folder / "masks").mkdir()
    for number, mask in enumerate(split(labels), 9):  # 9 and 10 sort as numbers
        Image.fromarray(mask.astype(np.uint8) * np.uint8(white)).save(folder / "masks" / f"{number}.png")
    return folder / "masks"


def as_zeros_and_ones(labels: np.ndarray, folder: Path) -> Path:
    return as_folder(labels, folder, white=1)


def as_cut_outs(labels: np.ndarray, folder: Path) -> list[Path]:
    photo = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    paths = []
    for number, mask in enumerate(split(labels)):
        paths.append(folder / f"cut_{number}.png")
        Image.fromarray(np.dstack([photo, mask.astype(np.uint8) * np.uint8(255)])).save(paths[-1])
    return paths


def as_scenegen_demo(labels: np.ndarray, folder: Path) -> Path:
    place = folder / "demo"
    place.mkdir()
    Image.new("RGB", (WIDTH, HEIGHT), (90, 80, 70)).save(place / "scene.jpg")
    for number, mask in enumerate(split(labels)):
        Image.new("RGBA", (32, 32), (1, 2, 3, 128)).save(place / f"{number}.png")
        Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).convert("RGB").save(place / f"{number}_mask.png")
    return place


def as_coco(labels: np.ndarray, folder: Path, *, compressed: bool = False) -> Path:
    annotations = []
    for mask in split(labels):
        counts: list[int] = [0]
        for value in mask.T.reshape(-1):
            if bool(value) != (len(counts) % 2 == 0):
                counts.append(0)
            counts[-1] += 1
        encoded = encode_counts(counts) if compressed else counts
        annotations.append({"segmentation": {"size": [HEIGHT, WIDTH], "counts": encoded}})
    (folder / "coco.json").write_text(json.dumps({"annotations": annotations}))
    return folder / "coco.json"


def as_compressed_coco(labels: np.ndarray, folder: Path) -> Path:
    return as_coco(labels, folder, compressed=True)


FORMS = [
    as_indexed,
    as_grey,
    as_16_bit,
    as_colours,
    as_colours_on_transparent,
    as_folder,
    as_zeros_and_ones,
    as_cut_outs,
    as_scenegen_demo,
    as_coco,
    as_compressed_coco,
]


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=label_maps())
def test_every_form_gives_the_same_masks(
    form: Callable[[np.ndarray, Path], Path], labels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = split(labels)
    if not expected:
        return
    loaded = load_masks(form(labels, tmp_path_factory.mktemp("form")), (HEIGHT, WIDTH))
    found = sorted(mask.numpy().tobytes() for mask in loaded.masks)
    assert found == sorted(mask.tobytes() for mask in expected)
    assert len(set(loaded.names)) == len(expected)


def two_boxes(path: Path, colours: tuple[object, object] = (1, 2), mode: str = "L", background: object = 0) -> Path:
    image = Image.new(mode, (WIDTH, HEIGHT), background)
    draw = ImageDraw.Draw(image)
    draw.rectangle((5, 5, 20, 30), fill=colours[0])
    draw.rectangle((30, 5, 50, 30), fill=colours[1])
    image.save(path)
    return path


AREAS = [16 * 26, 21 * 26]


def areas(masks: ObjectMasks) -> list[int]:
    return masks.masks.flatten(1).sum(1).tolist()


def test_names_tell_labels_and_colours(tmp_path: Path) -> None:
    assert load_masks(two_boxes(tmp_path / "a.png", (3, 200))).names == ("object_3", "object_200")
    colours = two_boxes(tmp_path / "b.png", ((255, 128, 0), (0, 0, 9)), "RGB", (0, 0, 0))
    assert load_masks(colours).names == ("object_ff8000", "object_000009")
    assert load_masks(two_boxes(tmp_path / "sofa.png", (255, 255))).names == ("sofa",)


def test_several_parts_are_one_object(tmp_path: Path) -> None:
    assert areas(load_masks(two_boxes(tmp_path / "a.png", (255, 255)))) == [sum(AREAS)]


def test_names_in_a_folder_sort_as_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        mask = Image.new("L", (WIDTH, HEIGHT))
        mask.paste(255, (number, 0, number + 5, 9))
        mask.save(tmp_path / f"{number}.png")
    assert load_masks(tmp_path).names == ("1", "2", "10")


def test_palette_whose_black_is_not_index_zero(tmp_path: Path) -> None:
    image = Image.new("P", (WIDTH, HEIGHT), 2)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 0])
    image.paste(0, (5, 5, 20, 30))
    image.paste(1, (30, 5, 50, 30))
    image.save(tmp_path / "a.png")
    assert areas(load_masks(tmp_path / "a.png")) == [15 * 25, 20 * 25]


def test_coloured_background_along_the_border_is_recognised(tmp_path: Path) -> None:
    path = two_boxes(tmp_path / "a.png", ((255, 0, 0), (0, 0, 255)), "RGB", (255, 255, 255))
    masks = load_masks(path)
    assert areas(masks) == AREAS
    assert "no black pixel" in masks.warnings[0]


@pytest.mark.parametrize("colours", [((255, 255, 255), (255, 255, 255)), ((255, 0, 0), (0, 200, 255))])
def test_smoothed_masks_are_snapped_back(tmp_path: Path, colours: tuple[object, object]) -> None:
    large = Image.new("RGB", (WIDTH * 8, HEIGHT * 8))
    draw = ImageDraw.Draw(large)
    draw.ellipse((10, 10, 190, 290), fill=colours[0])
    draw.ellipse((230, 10, 430, 290), fill=colours[1])
    exact = np.asarray(large.resize((WIDTH * 4, HEIGHT * 4), Image.Resampling.NEAREST)).any(-1)
    large.resize((WIDTH * 4, HEIGHT * 4), Image.Resampling.LANCZOS).save(tmp_path / "a.png")
    masks = load_masks(tmp_path / "a.png")
    assert len(masks) == len(set(colours))
    assert (masks.union.dense().numpy() ^ exact).sum() < 0.02 * exact.sum()
    assert "nearest" in masks.warnings[0]


def test_jpeg_masks_are_snapped_back(tmp_path: Path) -> None:
    path = two_boxes(tmp_path / "a.png", ((255, 0, 0), (0, 0, 255)), "RGB", (0, 0, 0))
    Image.open(path).resize((WIDTH * 8, HEIGHT * 8), Image.Resampling.NEAREST).save(tmp_path / "a.jpg")
    masks = load_masks(tmp_path / "a.jpg")
    assert sorted(areas(masks)) == pytest.approx([64 * area for area in AREAS], rel=0.03)


def test_photographs_are_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match=r"looks like a photograph; save masks as PNG"):
        load_masks(tmp_path / "photo.png")


def test_single_cut_out_is_one_mask(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    noise[..., 3] = 0
    noise[10:40, 20:50, 3] = 255
    Image.fromarray(noise).save(tmp_path / "chair.png")
    masks = load_masks(tmp_path / "chair.png", (64, 64))
    assert masks.names == ("chair",)
    assert areas(masks) == [900]


def test_cropped_cut_outs_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path in paths:
        image = Image.new("RGBA", (32, 32))
        image.paste((200, 0, 0, 255), (4, 4, 20, 20))
        image.save(path)
    with pytest.raises(InputError, match=r"0\.png' has 32x32 pixels for a picture of 56x40.*full frame"):
        load_masks(paths, (HEIGHT, WIDTH))
    with pytest.raises(InputError, match=r"0\.png' has 32x32 pixels for a picture of 56x40.*full frame"):
        load_masks(paths[0], (HEIGHT, WIDTH))


def test_pictures_that_are_no_masks_are_skipped_by_name(tmp_path: Path) -> None:
    as_folder(np.pad(np.ones((8, 8), np.uint8), 8), tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "masks" / "room.png")
    masks = load_masks(tmp_path / "masks")
    assert masks.names == ("9",)
    assert "'room.png' is neither" in masks.warnings[0]


def test_size_mismatch_is_repaired_and_told(tmp_path: Path) -> None:
    masks = load_masks(two_boxes(tmp_path / "a.png"), (2 * HEIGHT, 2 * WIDTH))
    assert areas(masks) == [4 * area for area in AREAS]
    assert masks.warnings == ("2 masks had 56x40 pixels for a picture of 112x80 and were resized.",)
    turned = load_masks(tmp_path / "a.png", (WIDTH, HEIGHT))
    assert "not cropped or turned" in turned.warnings[0]


def box(left: int, upper: int, right: int, lower: int, size: int = 100) -> Mask:
    mask = np.zeros((size, size), bool)
    mask[upper:lower, left:right] = True
    return Mask.of(mask)


def test_empty_duplicate_single_and_tiny_masks_are_named() -> None:
    found = [
        NamedMask("sofa", box(10, 10, 60, 60)),
        NamedMask("nothing", box(5, 5, 5, 5)),
        NamedMask("sofa again", box(10, 10, 60, 60)),
        NamedMask("dot", box(80, 80, 81, 81)),
        NamedMask("cup", box(70, 70, 73, 72)),
    ]
    masks = checked_masks(found)
    assert masks.names == ("sofa", "cup")
    assert [warning.split("'")[1] for warning in masks.warnings] == ["nothing", "sofa again", "dot", "cup"]
    for warning, part in zip(
        masks.warnings, ("is empty", "same as 'sofa'", "single pixel", "only 6 pixels"), strict=True
    ):
        assert part in warning


def test_nothing_usable_is_an_error() -> None:
    with pytest.raises(InputError, match=r"no usable object mask in the masks \(Mask 'a' is empty"):
        checked_masks([NamedMask("a", box(0, 0, 0, 0))])
    with pytest.raises(InputError, match="no usable object mask"):
        checked_masks([])


def test_overlaps_go_to_the_later_mask() -> None:
    masks = checked_masks([NamedMask("a", box(0, 0, 50, 50)), NamedMask("b", box(25, 25, 75, 75))])
    first, second = masks.exclusive
    assert (first.area, second.area) == (2500 - 625, 2500)
    assert torch.equal((first | second).dense(), masks.union.dense())
    assert first.overlap(second) == 0


def test_chosen_objects_keep_their_names() -> None:
    masks = checked_masks([NamedMask(name, box(20 * i, 0, 20 * i + 10, 50)) for i, name in enumerate("abc")])
    assert masks.at([2, 0]).names == ("c", "a")
    assert torch.equal(masks.at([2, 0]).masks[1], masks.masks[0])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.png", None, "does not exist"),
        ("a.png", b"", "empty"),
        ("a.png", b"not a picture at all", "is none, or is damaged"),
    ],
)
def test_unreadable_files_are_one_sentence(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_masks(tmp_path / name)


def test_truncated_mask_is_one_sentence(tmp_path: Path) -> None:
    path = two_boxes(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="truncated or damaged"):
        load_masks(path)


def test_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        load_masks(tmp_path)
    with pytest.raises(InputError, match="at least one mask file"):
        load_masks([])
