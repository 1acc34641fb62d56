"""Outlines of objects, rectangles of masks, and sides where a mask is cut off."""

import math

import numpy as np
import pytest
import torch

from scenewright.systems.assembly.outline import (
    ends_above,
    is_cut,
    is_framed,
    level_axes,
    open_sides,
    outline_points,
)
from scenewright.types import Mask, Mesh, SceneObject


def test_the_outline_reaches_as_far_as_the_object() -> None:
    vertices = torch.nn.functional.normalize(torch.randn(5000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    item = SceneObject("ball", (Mesh(vertices, torch.zeros(1, 3, dtype=torch.int32)),), world_from_object=torch.eye(4))
    points = outline_points(item, 80)
    assert len(points) <= 86
    np.testing.assert_allclose(points.max(0), vertices.amax(0).numpy(), atol=1e-6)
    np.testing.assert_allclose(points.min(0), vertices.amin(0).numpy(), atol=1e-6)


def test_level_axes_look_down_by_the_pitch() -> None:
    right, down, forward = level_axes(math.pi / 2, 0.3)
    np.testing.assert_allclose(right, [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(forward, [0, math.cos(0.3), -math.sin(0.3)], atol=1e-12)
    np.testing.assert_allclose(np.cross(right, down), forward, atol=1e-12)


@pytest.mark.parametrize("side", range(4))
def test_a_side_is_open_at_another_mask_and_at_the_border(side: int) -> None:
    mask, other = torch.zeros(40, 40, dtype=torch.bool), torch.zeros(40, 40, dtype=torch.bool)
    mask[15:25, 15:25] = True
    rows = {0: slice(15, 25), 1: slice(5, 14), 2: slice(15, 25), 3: slice(26, 35)}[side]
    columns = {0: slice(5, 14), 1: slice(15, 25), 2: slice(26, 35), 3: slice(15, 25)}[side]
    other[rows, columns] = True
    assert open_sides(mask, other) == tuple(index == side for index in range(4))
    assert open_sides(mask, torch.zeros_like(mask)) == (False,) * 4
    assert open_sides(torch.ones_like(mask), torch.zeros_like(mask)) == (True,) * 4


def test_a_mask_that_ends_at_the_one_below_it_stands_on_it_or_behind() -> None:
    vase, table = torch.zeros(40, 40, dtype=torch.bool), torch.zeros(40, 40, dtype=torch.bool)
    vase[10:20, 15:25] = True
    table[20:30, 5:35] = True
    assert ends_above(vase, table)
    assert not ends_above(table, vase)


@pytest.mark.parametrize(("first_row", "framed"), [(20, True), (31, False)])
def test_what_stands_on_a_table_is_framed_by_it_and_what_stands_behind_is_not(first_row: int, framed: bool) -> None:
    table, vase = torch.zeros(60, 80, dtype=torch.bool), torch.zeros(60, 80, dtype=torch.bool)
    vase[10:32, 30:40] = True
    table[first_row:50, 10:70] = True
    assert is_framed(vase, table & ~vase) == framed
    # Under a sloping edge it is behind: on one side the table begins below its foot.
    table[:45, 40:] = False
    assert not is_framed(vase, table & ~vase)


def test_at_the_pictures_border_nothing_is_framed() -> None:
    table, vase = torch.zeros(60, 80, dtype=torch.bool), torch.zeros(60, 80, dtype=torch.bool)
    vase[10:32, :10] = True
    table[20:50, :70] = True
    assert not is_framed(vase, table & ~vase)


def test_a_mask_of_the_pictures_first_row_has_a_foot() -> None:
    strip, table = torch.zeros(60, 80, dtype=torch.bool), torch.zeros(60, 80, dtype=torch.bool)
    strip[0, 30:40] = True
    table[1:, 10:70] = True
    assert not is_framed(strip, table)


@pytest.mark.parametrize(
    ("rows", "columns", "expected"), [((4, 9), (4, 12), False), ((4, 16), (4, 12), True), ((4, 9), (0, 12), True)]
)
def test_what_reaches_the_border_is_cut(rows: tuple[int, int], columns: tuple[int, int], expected: bool) -> None:
    pixels = torch.zeros(16, 20, dtype=torch.bool)
    pixels[slice(*rows), slice(*columns)] = True
    assert is_cut(Mask.of(pixels)) == expected
