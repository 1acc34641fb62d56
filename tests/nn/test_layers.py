"""Network layers against their equations."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from scenewright.nn.attention import CrossAttention, SelfAttention
from scenewright.nn.blocks import BlockContext, ModulatedCrossBlock
from scenewright.nn.conv3d import pixel_shuffle_3d
from scenewright.nn.embed import absolute_position_embedding, grid_coords, timestep_frequencies
from scenewright.nn.mlp import FeedForward
from scenewright.nn.modulation import gated_add, modulate
from scenewright.nn.norm import LayerNorm32, MultiHeadRMSNorm, SparseGroupNorm32
from scenewright.nn.precision import cast_torso, torso_dtype
from scenewright.nn.rope import rotary_phases, rotate
from scenewright.nn.sparse_conv import SparseConv3d
from scenewright.sparse.attention import Sequences
from scenewright.sparse.tensor import SparseTensor, VoxelSet


def test_timestep_frequencies_put_cosines_first() -> None:
    embedding = timestep_frequencies(torch.tensor([0.0, 2.0]), 5)
    assert embedding[0].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
    expected = [math.cos(2), math.cos(0.02), math.sin(2), math.sin(0.02), 0.0]
    assert embedding[1].tolist() == pytest.approx(expected, abs=1e-6)


def test_position_embedding_puts_sines_first_per_axis_and_pads() -> None:
    embedding = absolute_position_embedding(torch.tensor([[3, 0, 1]]), 8)
    # 8 channels over 3 axes leave one frequency per axis and two zeros.
    expected = [math.sin(3), math.cos(3), 0.0, 1.0, math.sin(1), math.cos(1), 0.0, 0.0]
    assert embedding[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_grid_coords_count_x_slowest() -> None:
    assert grid_coords(2)[:3].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_rms_norm_gives_every_head_the_length_of_its_width() -> None:
    x = torch.randn(5, 2, 8)
    lengths = MultiHeadRMSNorm(2, 8)(x).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.full((5, 2), 8**0.5))


def test_rms_norm_keeps_zero_rows_finite() -> None:
    assert MultiHeadRMSNorm(1, 4)(torch.zeros(1, 1, 4)).abs().max() == 0


def test_feed_forward_of_many_rows_is_that_of_each() -> None:
    layer, x = FeedForward(4, mlp_ratio=1024.0), torch.randn(2, 1100, 4)
    with torch.no_grad():
        many = layer(x)
    torch.testing.assert_close(many, layer(x).detach())
    torch.testing.assert_close(many[1, -1:], layer(x[1, -1:]).detach())


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_sparse_group_norm_is_group_norm_of_each_sequence(lengths: list[int]) -> None:
    norm = SparseGroupNorm32(2, 6)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(sum(lengths), 6)
    expected = torch.cat(
        [F.group_norm(part.T[None], 2, norm.weight, norm.bias, norm.eps)[0].T for part in x.split(lengths)]
    )
    torch.testing.assert_close(norm(x, Sequences(tuple(lengths))), expected, atol=1e-5, rtol=1e-5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_modulation_uses_the_vectors_of_each_rows_sequence(lengths: list[int]) -> None:
    count, total = len(lengths), sum(lengths)
    x, branch = torch.randn(total, 3), torch.randn(total, 3)
    shift, scale, gate = torch.randn(3, count, 3)
    tokens = Sequences(tuple(lengths))
    per_row = torch.repeat_interleave(torch.arange(count), torch.tensor(lengths))
    torch.testing.assert_close(modulate(x, shift, scale, tokens), x * (1 + scale[per_row]) + shift[per_row])
    torch.testing.assert_close(gated_add(x, gate, branch, tokens), x + gate[per_row] * branch)


def test_attention_to_an_all_zero_context_is_the_constant_shortcut() -> None:
    """The published negative condition: every value is the bias, so the result does not depend on the query."""
    layer = CrossAttention(8, 6, 2, qk_rms_norm=True)
    tokens = Sequences((3, 2))
    context = layer.project(torch.zeros(7, 6), Sequences((4, 3)))
    x = torch.randn(5, 8)
    torch.testing.assert_close(layer(x, tokens, None), layer(x, tokens, context))


def test_packed_sequences_do_not_see_each_other() -> None:
    layer = SelfAttention(8, 2, qk_rms_norm=True)
    x = torch.randn(7, 8)
    together = layer(x, Sequences((4, 3)))
    torch.testing.assert_close(together[:4], layer(x[:4], Sequences((4,))))
    torch.testing.assert_close(together[4:], layer(x[4:], Sequences((3,))))


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="10 channels do not divide into 3 heads"):
        SelfAttention(10, 3)


@given(st.integers(1, 40), st.tuples(*[st.integers(-20, 20)] * 3))
def test_rotary_products_depend_on_the_difference_of_positions(seed: int, shift: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, 4, 1, 32, generator=generator)
    positions = torch.randint(20, 40, (4, 3), generator=generator)
    moved = positions + torch.tensor(shift)

    def products(coords: torch.Tensor) -> torch.Tensor:
        phases = rotary_phases(coords, 32)
        return torch.einsum("ahd,bhd->ab", rotate(q, phases), rotate(k, phases))

    torch.testing.assert_close(products(positions), products(moved), atol=2e-4, rtol=1e-4)


def test_leftover_rotary_pairs_are_not_rotated() -> None:
    phases = rotary_phases(torch.tensor([[5, 6, 7]]), 8)
    x = torch.randn(1, 1, 8)
    assert torch.equal(rotate(x, phases)[..., 6:], x[..., 6:])


def test_pixel_shuffle_sends_channels_to_offsets() -> None:
    x = torch.arange(16.0).reshape(1, 16, 1, 1, 1)
    shuffled = pixel_shuffle_3d(x, 2)
    assert shuffled.shape == (1, 2, 2, 2, 2)
    assert shuffled[0, 1, 1, 0, 1].item() == 8 + 4 + 1


def test_a_new_block_leaves_the_attention_and_feed_forward_gates_closed() -> None:
    block = ModulatedCrossBlock(8, 6, 2)
    x, tokens = torch.randn(3, 8), Sequences((3,))
    context = block.cross_attn.project(torch.randn(2, 6), Sequences((2,)))
    expected = x + block.cross_attn(block.norm2(x), tokens, context)
    torch.testing.assert_close(block(x, torch.randn(1, 8), BlockContext(context), tokens), expected)


def test_shared_modulation_with_offset_adds_the_learned_vector() -> None:
    block = ModulatedCrossBlock(8, 6, 2, modulation="shared_offset")
    mod = torch.randn(2, 48)
    vectors = block.modulation_vectors(mod, torch.float32)
    torch.testing.assert_close(torch.cat(vectors, 1), mod + block.modulation)


def test_only_linear_and_convolution_weights_become_half_precision() -> None:
    block = ModulatedCrossBlock(8, 6, 2, qk_rms_norm=True)
    cast_torso([block], torch.bfloat16)
    dtypes = {name: parameter.dtype for name, parameter in block.named_parameters()}
    full = {name for name, dtype in dtypes.items() if dtype == torch.float32}
    assert full == {
        "norm2.weight",
        "norm2.bias",
        "self_attn.q_rms_norm.gamma",
        "self_attn.k_rms_norm.gamma",
    }
    assert torso_dtype([block]) == torch.bfloat16
    out = block(torch.randn(3, 8).bfloat16(), torch.randn(1, 8).bfloat16(), BlockContext(), Sequences((3,)))
    assert out.dtype == torch.bfloat16


@pytest.mark.parametrize("affine", [True, False])
def test_half_precision_layer_norm_rounds_once(affine: bool) -> None:
    norm = LayerNorm32(16, elementwise_affine=affine)
    x = (100 + torch.randn(4, 16)).bfloat16()
    expected = F.layer_norm(x.float(), (16,), norm.weight, norm.bias).bfloat16()
    assert torch.equal(norm(x), expected)


def test_a_sparse_convolution_without_a_bias_has_no_such_parameter() -> None:
    layer = SparseConv3d(2, 3, bias=False)
    assert set(layer.state_dict()) == {"weight"}
    x = SparseTensor(torch.ones(1, 2), torch.zeros(1, 4, dtype=torch.int32))
    torch.testing.assert_close(layer(x).feats[0], layer.weight[:, 1, 1, 1].sum(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_taps_that_are_laid_out_when_they_are_filled_give_the_same_bits(dtype: torch.dtype) -> None:
    layer, filled = SparseConv3d(6, 5).to(dtype), SparseConv3d(6, 5).to(dtype)
    filled.load_state_dict(layer.state_dict())
    filled.after_fill("weight")
    assert filled.taps.is_contiguous()
    assert not layer.taps.is_contiguous()
    cells = torch.cartesian_prod(torch.tensor([0]), *[torch.arange(3)] * 3).int()
    x = SparseTensor(torch.randn(27, 6, dtype=dtype), VoxelSet(cells))
    assert torch.equal(filled(x).feats, layer(x).feats)
    assert torch.equal(filled.weight, layer.weight)
