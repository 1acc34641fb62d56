"""The pitch of a level camera by the upright lines of its picture."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from scenewright.geometry.camera.upright_lines import pitch_of_upright_lines

WIDTH, HEIGHT, FOCAL = 480, 360, 420.0
LENS = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])


def drawn(lines: np.ndarray, pitch_deg: float, scale: int = 1) -> Image.Image:
    """Lines [L, 2, 3] in metres (right, ahead, up from the eye), seen by a camera that looks down by `pitch_deg`."""
    cos, sin = math.cos(math.radians(pitch_deg)), math.sin(math.radians(pitch_deg))
    right, ahead, up = lines[..., 0], lines[..., 1], lines[..., 2]
    down, depth = -up * cos - ahead * sin, ahead * cos - up * sin
    pixels = np.stack([right / depth * FOCAL + WIDTH / 2, down / depth * FOCAL + HEIGHT / 2], -1) * scale
    picture = Image.new("L", (WIDTH * scale, HEIGHT * scale), 200)
    draw = ImageDraw.Draw(picture)
    for ends in pixels:
        draw.line([tuple(ends[0]), tuple(ends[1])], fill=40, width=3 * scale)
    return picture


def upright(rng: np.random.Generator, count: int) -> np.ndarray:
    foot = np.stack([rng.uniform(-1.2, 1.2, count), rng.uniform(2.5, 4, count), rng.uniform(-1.6, -1.2, count)], -1)
    return np.stack([foot, foot + np.array([0, 0, 1.0])], 1)


@pytest.mark.parametrize("pitch_deg", [-4.0, 12.0, 33.0])
def test_posts_say_how_far_the_camera_looks_down(pitch_deg: float) -> None:
    found = pitch_of_upright_lines(drawn(upright(np.random.default_rng(0), 12), pitch_deg), LENS)
    assert found is not None
    assert math.degrees(found) == pytest.approx(pitch_deg, abs=0.75)


def test_lines_that_lean_all_ways_say_nothing() -> None:
    rng = np.random.default_rng(1)
    lines = upright(rng, 30)
    lines[:, 1, :2] += rng.uniform(-0.6, 0.6, (30, 2))
    assert pitch_of_upright_lines(drawn(lines, 20.0), LENS) is None


def test_neither_does_one_post_in_the_middle_nor_a_blank_picture() -> None:
    post = np.array([[[0.0, 3, -1.4], [0, 3, -0.4]]])
    assert pitch_of_upright_lines(drawn(post, 20.0), LENS) is None
    assert pitch_of_upright_lines(Image.new("RGB", (64, 48)), LENS) is None


def test_a_picture_with_more_pixels_says_the_same() -> None:
    lines = upright(np.random.default_rng(2), 12)
    larger = LENS * np.array([[4.0], [4.0], [1.0]])
    found = pitch_of_upright_lines(drawn(lines, 18.0, scale=4), larger)
    assert found is not None
    assert math.degrees(found) == pytest.approx(18.0, abs=0.75)
