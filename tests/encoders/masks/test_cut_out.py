"""Masks from boxes and clicks with what ships: things on a plain floor come out whole, and corrections count."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from scenewright.encoders.masks.cut_out import CutOutSegmenter
from scenewright.encoders.masks.finding import AUTOMATIC, CUT_OUT, find_masks
from scenewright.encoders.masks.prompts import MaskPrompts, prompt_bytes, read_prompts
from scenewright.encoders.u2net import U2NetSmall
from scenewright.errors import InputError

RED, BLUE = (60, 50, 150, 150), (190, 60, 260, 160)


@pytest.fixture(scope="module")
def segmenter() -> CutOutSegmenter:
    return CutOutSegmenter.shipped()


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """A red disc and a blue box on a grey floor with a little noise."""
    noise = np.random.default_rng(0).normal(0, 4, (240, 320, 3))
    image = Image.new("RGB", (320, 240), (150, 145, 140))
    draw = ImageDraw.Draw(image)
    draw.ellipse(RED, fill=(180, 30, 30))
    draw.rectangle(BLUE, fill=(30, 50, 170))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def truth(shape: str) -> np.ndarray:
    image = Image.new("L", (320, 240))
    draw = ImageDraw.Draw(image)
    (draw.ellipse if shape == "red" else draw.rectangle)(RED if shape == "red" else BLUE, fill=255)
    return np.asarray(image) > 0


def iou(found, true: np.ndarray) -> float:
    pixels = found.dense().numpy()
    return (pixels & true).sum() / (pixels | true).sum()


def test_boxes_give_named_masks_of_what_is_in_them(segmenter, picture):
    prompts = MaskPrompts(boxes=((52, 42, 158, 158), (182, 52, 268, 168)), names=("lamp",))
    masks = segmenter.from_prompts(picture, prompts)
    assert list(masks.names) == ["lamp", "object_2"]
    assert iou(masks.regions[0], truth("red")) > 0.9
    assert iou(masks.regions[1], truth("blue")) > 0.9


@pytest.fixture(scope="module")
def clicked(segmenter, picture):
    """The thing under a click on the red disc."""
    (mask,) = segmenter.from_prompts(picture, MaskPrompts(points=(((105, 100, True),),))).regions
    return mask


def test_a_click_finds_the_thing_under_it_alone(segmenter, picture, clicked):
    assert iou(clicked, truth("red")) > 0.85
    (mask,) = segmenter.from_prompts(picture, MaskPrompts(points=(((225, 110, True),),))).regions
    assert iou(mask, truth("blue")) > 0.85


def test_a_click_that_is_not_on_it_takes_pixels_away(segmenter, picture):
    on, off = (105, 100, True), (225, 110, False)
    (mask,) = segmenter.from_prompts(picture, MaskPrompts(points=((on, off),))).regions
    assert not mask.dense()[110, 225]
    assert mask.dense()[100, 105]


def test_the_same_prompts_give_the_same_mask(segmenter, picture, clicked):
    (again,) = segmenter.from_prompts(picture, MaskPrompts(points=(((105, 100, True),),))).regions
    assert torch.equal(again.dense(), clicked.dense())


def test_nothing_outside_of_a_box_is_the_object(segmenter, picture):
    (mask,) = segmenter.from_prompts(picture, MaskPrompts(boxes=((100, 60, 230, 160),))).regions
    left, upper, right, lower = mask.box
    assert (min(left, 100), min(upper, 60)) == (100, 60)
    assert (max(right, 231), max(lower, 161)) == (231, 161)


def test_a_file_of_boxes_needs_no_download(picture, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    path = tmp_path / "boxes.json"
    path.write_bytes(prompt_bytes(MaskPrompts(boxes=((52, 42, 158, 158),))))
    assert read_prompts(path).boxes == ((52, 42, 158, 158),)
    masks = find_masks(picture, path, segmenter=CUT_OUT, offline=True)
    assert iou(masks.regions[0], truth("red")) > 0.9
    with pytest.raises(InputError, match="needs boxes or points"):
        find_masks(picture, AUTOMATIC, segmenter=CUT_OUT, offline=True)


def test_the_network_gives_what_the_published_file_gives():
    """Probabilities of a fixed picture, computed with the published ONNX file and ONNX Runtime."""
    rows, columns = torch.meshgrid(torch.arange(320) / 320, torch.arange(320) / 320, indexing="ij")
    disc = ((rows - 0.4) ** 2 + (columns - 0.55) ** 2 < 0.04).float()
    pixels = torch.stack([rows * 0.5 + 0.4 * disc, columns * 0.5, 0.7 - 0.5 * disc])[None]
    with torch.no_grad():
        found = CutOutSegmenter.shipped().network(pixels)[0]
    assert found.shape == (320, 320)
    assert isinstance(CutOutSegmenter.shipped().network, U2NetSmall)
    expected = [0.1593, 0.5842, 0.279, 0.6819, 0.1459]
    places = torch.tensor([[64, 167], [80, 134], [123, 240], [171, 129], [192, 185]])
    assert found[places[:, 0], places[:, 1]].tolist() == pytest.approx(expected, abs=1e-3)
