"""The suite's own checker of shapes."""

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from tests.type_checker import checked, jaxtyped


@jaxtyped(typechecker=checked)
def doubled(values: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    return values * 2 if values[0] >= 0 else values[:1]


def test_wrong_shapes_of_arguments_and_results_are_seen_at_first_and_not_after_many_calls() -> None:
    with pytest.raises(TypeCheckError):
        doubled(torch.zeros(2, 2))
    with pytest.raises(TypeCheckError):
        doubled(torch.full((2,), -1.0))
    for _ in range(40):
        doubled(torch.zeros(2))
    doubled(torch.full((2,), -1.0))


def test_every_test_begins_anew() -> None:
    with pytest.raises(TypeCheckError):
        doubled(torch.zeros(2, 2))
