"""Matching by name, number and place."""

import torch

from scenewright.evaluation.matching import match_by_name, match_by_place


def cloud(x: float) -> torch.Tensor:
    return torch.tensor([[x, 0.0, 0], [x + 1, 1, 1]])


def test_names_first_then_numbers_else_nothing() -> None:
    found = match_by_name(["b", "a"], ["a", "b"])
    assert found is not None
    assert (found.by, found.pairs) == ("name", ((1, 0), (0, 1)))
    found = match_by_name(["instance_2", "instance_1"], ["obj_01", "obj_02", "obj_03"])
    assert found is not None
    assert (found.by, found.pairs, found.missing) == ("number", ((1, 0), (0, 1)), (2,))
    assert match_by_name(["a", "a"], ["a", "b"]) is None
    assert match_by_name(["geometry_0", "geometry_1"], ["obj_1", "obj_2"]) is None
    assert match_by_name(["sofa"], ["table"]) is None


def test_place_takes_the_cheapest_assignment_and_leaves_the_rest() -> None:
    found = match_by_place([cloud(5.1), cloud(0.1), cloud(20)], [cloud(0), cloud(5)])
    assert found.pairs == ((0, 1), (1, 0))
    assert (found.extra, found.missing) == ((2,), ())
    found = match_by_place([torch.zeros(0, 3)], [cloud(0)])
    assert (found.pairs, found.extra, found.missing) == ((), (0,), (0,))
