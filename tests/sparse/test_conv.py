"""Sparse convolution equals dense convolution, and its fast path equals its plain one, gradients included."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scenewright.sparse.conv import sparse_conv
from scenewright.sparse.kernel_map import KernelMap, submanifold_map
from scenewright.sparse.tensor import VoxelSet
from tests.sparse.strategies import dense, voxel_sets
from tests.support.sparse_oracles import sparse_conv_plain, strided_map

SIDE = 7


def kernel(taps: int, generator: torch.Generator) -> Tensor:
    return torch.randn(taps, 3, 4, generator=generator, dtype=torch.float64)


def as_dense_kernel(weight: Tensor, size: int) -> Tensor:
    return weight.reshape(size, size, size, 3, 4).permute(4, 3, 0, 1, 2)


@settings(deadline=None)
@given(voxel_sets(side=SIDE), st.sampled_from([1, 2]), st.sampled_from([1, 3, 5]), st.integers(0, 99))
def test_submanifold_equals_dense_at_active_voxels(voxels: VoxelSet, dilation: int, size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    feats = torch.randn(len(voxels), 3, generator=generator, dtype=torch.float64)
    weight, bias = kernel(size**3, generator), torch.randn(4, generator=generator, dtype=torch.float64)
    out = sparse_conv(feats, weight, bias, submanifold_map(voxels, size, dilation))
    grid = dense(feats, voxels.coords, voxels.batch_size, SIDE)
    expected = F.conv3d(grid, as_dense_kernel(weight, size), bias, padding=dilation * (size // 2), dilation=dilation)
    torch.testing.assert_close(out, expected.movedim(1, -1)[tuple(voxels.coords.long().unbind(1))])


@settings(deadline=None)
@given(voxel_sets(side=SIDE), st.sampled_from([(2, 2, 0), (3, 2, 1), (3, 1, 1), (4, 3, 1)]), st.integers(0, 99))
def test_strided_equals_dense_wherever_a_tap_meets_a_voxel(
    voxels: VoxelSet, geometry: tuple[int, int, int], seed: int
) -> None:
    size, stride, padding = geometry
    generator = torch.Generator().manual_seed(seed)
    feats = torch.randn(len(voxels), 3, generator=generator, dtype=torch.float64)
    weight = kernel(size**3, generator)
    coarse, kernel_map = strided_map(voxels, size, stride, padding)
    out = sparse_conv(feats, weight, None, kernel_map)
    # Padding on the far side so that the dense grid has every output the sparse one may have.
    grid = F.pad(dense(feats, voxels.coords, voxels.batch_size, SIDE), (0, size) * 3)
    expected = F.conv3d(grid, as_dense_kernel(weight, size), stride=stride, padding=padding)
    torch.testing.assert_close(out, expected.movedim(1, -1)[tuple(coarse.coords.long().unbind(1))])
    reached = F.conv3d((grid[:, :1] != 0).double(), torch.ones(1, 1, size, size, size).double(), None, stride, padding)
    assert int((reached > 0).sum()) == len(coarse)


@settings(deadline=None)
@given(voxel_sets(), st.integers(0, 99))
def test_fast_path_agrees_with_plain_path_and_its_gradients(voxels: VoxelSet, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    kernel_map = submanifold_map(voxels)
    results = []
    for convolve in (sparse_conv, sparse_conv_plain):
        generator.manual_seed(seed)
        feats = torch.randn(len(voxels), 3, generator=generator, dtype=torch.float64, requires_grad=True)
        weight = kernel(27, generator).requires_grad_()
        bias = torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True)
        out = convolve(feats, weight, bias, kernel_map)
        out.square().sum().backward()
        results.append((out, feats.grad, weight.grad, bias.grad))
    for fast, plain in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain)


def test_gradients_of_a_strided_convolution_are_exact() -> None:
    voxels = VoxelSet(torch.tensor([[0, 0, 0, 0], [0, 1, 2, 3], [1, 2, 2, 2]], dtype=torch.int32))
    _, kernel_map = strided_map(voxels, 3, 2, 1)
    feats = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(27, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, w: sparse_conv(f, w, None, kernel_map), (feats, weight))


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than one block holds: block borders must neither lose nor repeat a pair."""
    monkeypatch.setattr("scenewright.sparse.conv._CPU_BLOCK_BYTES", 1)
    axis = torch.arange(12)
    coords = torch.cartesian_prod(torch.arange(1), axis, axis, axis).int()
    kernel_map = submanifold_map(VoxelSet(coords))
    feats, weight = torch.randn(len(coords), 3, dtype=torch.float64), torch.randn(27, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(
        sparse_conv(feats, weight, None, kernel_map), sparse_conv_plain(feats, weight, None, kernel_map)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_sums_have_the_bits_of_adding_one_tap_after_another(dtype: torch.dtype) -> None:
    axis = torch.arange(9)
    voxels = VoxelSet(torch.cartesian_prod(torch.arange(2), axis, axis, axis).int())
    kernel_map = submanifold_map(voxels)
    # Powers of two make every product exact, whatever way it is made, and every sum in half precision rounded.
    feats = torch.randint(-8, 8, (len(voxels), 1)).to(dtype) / 7
    weight = 2.0 ** torch.randint(-4, 4, (27, 1, 33)).to(dtype)
    weight[3, 0, 0], feats[0, 0] = torch.inf, torch.nan
    out = sparse_conv(feats, weight, None, kernel_map)
    identity = kernel_map.identity_tap
    assert identity is not None
    expected = feats @ weight[identity]
    for tap, (sources, targets) in enumerate(zip(kernel_map.sources, kernel_map.targets, strict=True)):
        if tap != identity:
            expected.index_add_(0, targets, feats[sources] @ weight[tap])
    torch.testing.assert_close(out, expected, rtol=0, atol=0, equal_nan=True)


def test_neighbours_never_cross_batch_items() -> None:
    coords = torch.tensor([[0, 3, 3, 3], [1, 3, 3, 4]], dtype=torch.int32)
    out = sparse_conv(torch.ones(2, 1), torch.ones(27, 1, 1), None, submanifold_map(VoxelSet(coords)))
    assert out.flatten().tolist() == [1.0, 1.0]


def test_no_voxels_give_no_rows() -> None:
    empty = VoxelSet(torch.zeros(0, 4, dtype=torch.int32), batch_size=2)
    assert sparse_conv(torch.zeros(0, 3), torch.zeros(27, 3, 4), None, submanifold_map(empty)).shape == (0, 4)


def test_even_submanifold_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="odd kernel"):
        submanifold_map(VoxelSet(torch.zeros(1, 4, dtype=torch.int32)), 2)


def test_a_kernel_of_another_size_than_the_map_is_refused() -> None:
    kernel_map: KernelMap = submanifold_map(VoxelSet(torch.zeros(1, 4, dtype=torch.int32)))
    with pytest.raises(ValueError, match="8 taps, the map 27"):
        sparse_conv(torch.zeros(1, 3), torch.zeros(8, 3, 4), None, kernel_map)
