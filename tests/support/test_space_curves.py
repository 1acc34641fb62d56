import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.space_curves import decode_curve, encode_curve

CURVES = st.sampled_from(["z_order", "hilbert"])
PERMUTATIONS = st.permutations([0, 1, 2]).map(tuple)
COORDS = st.lists(st.tuples(*[st.integers(0, 1023)] * 3), min_size=1, max_size=20).map(torch.tensor)


@given(COORDS, CURVES, PERMUTATIONS)
def test_decoding_undoes_encoding(coords, curve, permute):
    codes = encode_curve(coords, curve, permute)
    assert int(codes.min()) >= 0
    assert int(codes.max()) < 2**30
    assert torch.equal(decode_curve(codes, curve, permute).long(), coords)


def test_z_order_by_hand():
    coords = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 0, 0], [3, 3, 3]])
    assert encode_curve(coords).tolist() == [4, 2, 1, 32, 63]
    assert encode_curve(coords, permute=(2, 0, 1)).tolist() == [2, 1, 4, 16, 63]


def test_the_hilbert_curve_visits_face_neighbours():
    start = torch.randint(0, 2**30 - 4096, (1,), generator=torch.Generator().manual_seed(0))
    path = decode_curve(start + torch.arange(4096), "hilbert")
    assert bool(((path[1:] - path[:-1]).abs().sum(1) == 1).all())


def test_empty_input_and_values_out_of_range():
    assert encode_curve(torch.empty(0, 3, dtype=torch.int32), "hilbert").shape == (0,)
    assert decode_curve(torch.empty(0, dtype=torch.long)).shape == (0, 3)
    with pytest.raises(ValueError, match="0 to 1023, got 0 to 1024"):
        encode_curve(torch.tensor([[0, 0, 1024]]))
    with pytest.raises(ValueError, match="30 bits"):
        decode_curve(torch.tensor([2**30]))
    with pytest.raises(ValueError, match="permutation"):
        encode_curve(torch.tensor([[0, 0, 1]]), permute=(0, 0, 1))
