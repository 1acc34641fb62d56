"""Packed attention equals softmax written out per sequence, whatever the lengths."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import scenewright.sparse.attention as attention_module
from scenewright.sparse.attention import Sequences, attention, window_sequences
from scenewright.sparse.tensor import VoxelSet
from tests.sparse.strategies import voxel_sets


def written_out(q: Tensor, k: Tensor, v: Tensor, lengths_q: tuple[int, ...], lengths_k: tuple[int, ...]) -> Tensor:
    parts = zip(q.split(lengths_q), k.split(lengths_k), v.split(lengths_k), strict=True)
    return torch.cat(
        [
            torch.einsum("hqk,khd->qhd", (torch.einsum("qhd,khd->hqk", a, b) / q.shape[-1] ** 0.5).softmax(-1), c)
            for a, b, c in parts
        ]
    )


def rows(count: int, seed: int) -> Tensor:
    return torch.randn(count, 2, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=12))
def test_cross_attention_with_any_lengths(pairs: list[tuple[int, int]]) -> None:
    lengths_q, lengths_k = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    q, k, v = rows(sum(lengths_q), 0), rows(sum(lengths_k), 1), rows(sum(lengths_k), 2)
    out = attention(q, k, v, Sequences(lengths_q), Sequences(lengths_k))
    torch.testing.assert_close(out, written_out(q, k, v, lengths_q, lengths_k))


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=10), st.integers(0, 9))
def test_self_attention_with_any_lengths_and_order(lengths: list[int], seed: int) -> None:
    total = sum(lengths)
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    q, k, v = rows(total, 0), rows(total, 1), rows(total, 2)
    out = attention(q, k, v, Sequences(tuple(lengths), order))
    expected = written_out(q[order], k[order], v[order], tuple(lengths), tuple(lengths))
    torch.testing.assert_close(out[order], expected)


@pytest.mark.parametrize("length", [511, 512, 700])
def test_long_sequences(length: int) -> None:
    q, k, v = rows(2 * length, 0), rows(2 * 30, 1), rows(2 * 30, 2)
    out = attention(q, k, v, Sequences.uniform(2, length), Sequences.uniform(2, 30))
    torch.testing.assert_close(out, written_out(q, k, v, (length,) * 2, (30,) * 2))


def test_gradients_pass_through_padding() -> None:
    sequences = Sequences((5, 4, 5, 1))
    inputs = [rows(15, seed).requires_grad_() for seed in range(3)]
    assert torch.autograd.gradcheck(lambda q, k, v: attention(q, k, v, sequences), inputs)


def test_queries_without_a_key_are_refused() -> None:
    with pytest.raises(ValueError, match="Sequence 1 has queries but no key"):
        attention(rows(3, 0), rows(2, 1), rows(2, 2), Sequences((2, 1)), Sequences((2, 0)))


def test_as_many_key_sequences_as_query_sequences() -> None:
    with pytest.raises(ValueError, match="2 query sequences"):
        attention(rows(2, 0), rows(2, 1), rows(2, 2), Sequences((1, 1)), Sequences((2,)))


@given(voxel_sets(), st.integers(1, 5), st.integers(0, 4))
def test_windows_hold_exactly_the_voxels_of_one_cell(voxels: VoxelSet, size: int, shift: int) -> None:
    windows = window_sequences(voxels, size, shift)
    cells = [
        (b, (x + shift) // size, (y + shift) // size, (z + shift) // size)
        for b, x, y, z in voxels.coords[windows.order].tolist()
    ]
    groups, start = [], 0
    for length in windows.lengths:
        groups.append(cells[start : start + length])
        start += length
    assert start == len(voxels)
    assert all(len(set(group)) == 1 for group in groups)
    firsts = [group[0] for group in groups]
    assert firsts == sorted(set(firsts))


def test_uniform_sequences_are_a_plain_reshape() -> None:
    assert Sequences.uniform(3, 5).uniform_length == 5
    assert Sequences((5, 5), torch.arange(10)).uniform_length is None
    assert Sequences((5, 4)).uniform_length is None


@pytest.mark.parametrize("keys", [None, Sequences((300, 290))])
@torch.no_grad()
def test_attention_by_products_is_attention(monkeypatch, keys):
    """Where torch's attention in bfloat16 is slow; lengths that differ are masked."""
    queries = Sequences((280, 257))
    q, k, v = (torch.randn(590 if keys and number else 537, 2, 16).bfloat16() for number in range(3))
    monkeypatch.setattr(attention_module, "_products_are_faster", lambda q, k: True)
    found = attention(q, k, v, queries, keys)
    monkeypatch.setattr(attention_module, "_products_are_faster", lambda q, k: False)
    expected = attention(q.float(), k.float(), v.float(), queries, keys)
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


@torch.no_grad()
def test_products_have_the_same_bits_on_two_threads(monkeypatch, two_threads):
    monkeypatch.setattr(attention_module, "_products_are_faster", lambda q, k: True)
    q = torch.randn(300, 3, 16).bfloat16()
    threaded = [attention(q, q, q, Sequences((300,))) for _ in range(3)]
    torch.set_num_threads(1)
    alone = attention(q, q, q, Sequences((300,)))
    assert all(torch.equal(alone, out) for out in threaded)


def test_products_stand_in_only_for_long_sequences_in_bfloat16_without_matrix_registers(monkeypatch):
    def chosen(flags, dtype=torch.bfloat16, rows=256, grad=False):
        monkeypatch.setattr(attention_module, "processor_flags", lambda: frozenset(flags))
        with torch.set_grad_enabled(grad):
            q = torch.empty(1, 1, rows, 8, dtype=dtype)
            return attention_module._products_are_faster(q, q)

    assert chosen({"avx512_bf16"})
    assert not chosen({"avx512_bf16", "amx_bf16"})
    assert not chosen(set())
    assert not chosen({"avx512_bf16"}, torch.float32)
    assert not chosen({"avx512_bf16"}, rows=255)
    assert not chosen({"avx512_bf16"}, grad=True)
