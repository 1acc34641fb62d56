"""Where things can stand, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from scenewright.data.parametric.solids import Shell, box, cushion, cylinder
from scenewright.data.support_surface import find_support, footprint_radius, largest_scale


def joined(*shells: Shell) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *(len(shell.vertices) for shell in shells[:-1])])
    vertices = np.concatenate([shell.vertices for shell in shells])
    return vertices, np.concatenate([shell.faces + start for shell, start in zip(shells, starts, strict=True)])


def test_a_table_top() -> None:
    legs = [box((0.05, 0.05, 0.7), (x, y, 0)) for x in (-0.7, 0.7) for y in (-0.4, 0.4)]
    support = find_support(*joined(box((1.6, 1.0, 0.05), (0.3, 0, 0.7)), *legs))
    assert support is not None
    assert support.anchor_xy == pytest.approx((0.3, 0.0))
    assert support.height == pytest.approx(0.75)
    assert support.distance_to_edge == pytest.approx(0.5)
    assert support.is_usable()
    assert largest_scale(support, footprint_radius(0.6, 0.8)) == pytest.approx(1.0)


def square(x: float, y: float, side: float) -> np.ndarray:
    return np.array([x, y]) + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * side / 2


def test_a_top_holds_what_lies_on_it_up_to_the_edge() -> None:
    support = find_support(*box((1.6, 1.0, 0.7), (0.3, 0, 0)))
    assert support is not None
    assert support.holds(square(0.3, 0.0, 0.9))
    assert support.holds(square(-0.3, 0.3, 0.3))
    assert not support.holds(square(-0.4, 0.3, 0.3))
    assert not support.holds(square(0.3, 0.0, 3.0))


def test_a_top_holds_nothing_across_its_hole() -> None:
    sides = [box((2.0, 0.5, 1.0), (0, y, 0)) for y in (-0.75, 0.75)] + [
        box((0.5, 1.0, 1.0), (x, 0, 0)) for x in (-0.75, 0.75)
    ]
    ring = np.concatenate([find_support(*side).outline for side in sides])  # type: ignore[union-attr]
    top = replace(find_support(*sides[0]), outline=ring)  # type: ignore[type-var]
    assert top.holds(square(-0.75, 0.7, 0.4))
    assert not top.holds(square(0.0, 0.0, 0.4))
    # Only the middle lies over the hole.
    assert not top.holds(square(0.0, 0.0, 1.5))


def test_the_largest_of_two_tops_wins() -> None:
    support = find_support(*joined(box((1, 1, 1), (0, 0, 0)), box((0.5, 0.5, 1), (3, 0, 0))))
    assert support is not None
    assert support.area == pytest.approx(1.0)
    assert support.anchor_xy == pytest.approx((0.0, 0.0))


def test_a_round_pillow_is_no_place_to_stand() -> None:
    support = find_support(*cushion((1, 1, 0.4), squareness=2.0))
    assert support is None or not support.is_usable()


def test_a_disc_and_a_mesh_without_faces() -> None:
    support = find_support(*cylinder(0.5, 0.02))
    assert support is not None
    assert support.distance_to_edge == pytest.approx(0.5 * np.cos(np.pi / 20), rel=1e-6)
    assert find_support(np.zeros((3, 3)), np.zeros((0, 3), dtype=np.int64)) is None
