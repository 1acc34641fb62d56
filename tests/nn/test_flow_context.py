"""What a block is conditioned on: the added term, who reads whom, and contexts made when a block asks for them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.backbones.trellis1.config import SLatFlowConfig, StructureFlowConfig
from scenewright.backbones.trellis1.slat_flow import SLatFlow
from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.backbones.trellis2.structure_flow import StructureFlow as StructureFlow2
from scenewright.nn.attention import ContextKeyValues
from scenewright.nn.blocks import BlockContext, ModulatedCrossBlock
from scenewright.nn.flow_context import FlowContext, OnDemand, apply_blocks, project_context
from scenewright.sparse.attention import Sequences
from scenewright.sparse.tensor import SparseTensor, VoxelSet

ROWS, WIDTH, TOKENS = 6, 16, Sequences((4, 2))
SIZES = {"in_channels": 4, "out_channels": 4, "model_channels": WIDTH, "cond_channels": 8, "num_blocks": 2}
V1 = {**SIZES, "num_heads": 2, "mlp_ratio": 2.0}
V2 = FlowConfig(resolution=2, num_heads=2, mlp_ratio=2.0, pe_mode="ape", **SIZES)


def randomized(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / max(parameter.shape[-1], 4) ** 0.5
    return network.requires_grad_(False).eval()


def blocks(count: int = 1) -> nn.ModuleList:
    return randomized(nn.ModuleList(ModulatedCrossBlock(WIDTH, 8, 2, qk_rms_norm_cross=True) for _ in range(count)))


def sparse_latent() -> SparseTensor:
    coords = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 1, 1]], dtype=torch.int32)
    return SparseTensor(torch.randn(3, 4), VoxelSet(coords, 2))


FLOWS: list[tuple[Callable[[], nn.Module], Callable[[], Tensor | SparseTensor]]] = [
    (lambda: StructureFlow(StructureFlowConfig(resolution=2, **V1)), lambda: torch.randn(2, 4, 2, 2, 2)),
    (lambda: StructureFlow2(V2), lambda: torch.randn(2, 4, 2, 2, 2)),
    (lambda: SLatFlow(SLatFlowConfig(resolution=2, io_channels=(), **V1)), sparse_latent),
    (lambda: LatentFlow(V2), sparse_latent),
]


@pytest.mark.parametrize(("make", "latent"), FLOWS)
def test_a_term_added_before_the_first_block_is_one_added_to_the_embedding(make, latent) -> None:
    flow, x = randomized(make()), latent()
    t, term = torch.tensor([400.0, 700.0]), torch.randn(1, WIDTH)
    context = flow.project_context(torch.randn(2, 5, 8))
    first, *rest = context.blocks
    velocity = flow(x, t, FlowContext([replace(first, added=term), *rest]))
    plain = flow(x, t, context)
    flow.input_layer.bias += term[0]
    expected = flow(x, t, context)
    values = [y.feats if isinstance(y, SparseTensor) else y for y in (velocity, expected, plain)]
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(values[0], values[2], atol=1e-3)


def test_one_added_row_stands_for_all() -> None:
    (block,) = blocks()
    x, mod, term = torch.randn(ROWS, WIDTH), torch.randn(2, WIDTH), torch.randn(1, WIDTH)
    one, each = (block(x, mod, BlockContext(added=added), TOKENS) for added in (term, term.expand(ROWS, -1)))
    assert torch.equal(one, each)
    assert torch.equal(one, block(x + term, mod, BlockContext(), TOKENS))


@dataclass(frozen=True)
class ViewContext:
    """Rows read the tokens of one view each, out of views that were projected together."""

    views: ContextKeyValues
    view_of_row: Tensor

    def attend(self, q: Float[Tensor, "T H D"], tokens: Sequences) -> Float[Tensor, "T H D"]:
        out, start = torch.empty_like(q), 0
        for view, length in enumerate(self.views.sequences.lengths):
            rows, keys = self.view_of_row == view, slice(start, start + length)
            alone = ContextKeyValues(self.views.keys[keys], self.views.values[keys], Sequences((length,)))
            out[rows] = alone.attend(q[rows], Sequences((int(rows.sum()),)))
            start += length
        return out


def test_rows_read_the_views_that_their_context_selects() -> None:
    (block,) = blocks()
    x, views = torch.randn(ROWS, WIDTH), [torch.randn(3, 8), torch.randn(5, 8)]
    projected = block.cross_attn.project(torch.cat(views), Sequences((3, 5)))
    view_of_row = torch.tensor([0, 1, 1, 0, 1, 0])
    selected = block.cross_attn(x, TOKENS, ViewContext(projected, view_of_row))
    for row, view in enumerate(view_of_row.tolist()):
        alone = block.cross_attn.project(views[view], Sequences((len(views[view]),)))
        torch.testing.assert_close(selected[row], block.cross_attn(x[row : row + 1], Sequences((1,)), alone)[0])


@dataclass(frozen=True)
class EveryoneReadsEveryone:
    """Rows of all sequences are one."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, tokens: Sequences) -> Tensor:
        return ContextKeyValues(k, v, Sequences((len(k),))).attend(q, Sequences((len(q),)))


def test_the_self_attention_reads_what_its_context_says() -> None:
    (block,) = blocks()
    x, mod = torch.randn(ROWS, WIDTH), torch.randn(1, WIDTH)
    joined = block(x, mod.expand(2, -1), BlockContext(own=EveryoneReadsEveryone()), TOKENS)
    torch.testing.assert_close(joined, block(x, mod, BlockContext(), Sequences((ROWS,))))


def test_every_block_gets_its_own_context_and_none_is_the_zero_condition() -> None:
    layers, x, mod = blocks(3), torch.randn(ROWS, WIDTH), torch.randn(2, WIDTH)
    context, expected = project_context(layers, torch.randn(2, 5, 8)), x
    for layer, own in zip(layers, context.blocks, strict=True):
        expected = layer(expected, mod, own, TOKENS)
    assert torch.equal(apply_blocks(layers, x, mod, context, TOKENS), expected)
    zeros = project_context(layers, torch.zeros(2, 5, 8))
    torch.testing.assert_close(apply_blocks(layers, x, mod, None, TOKENS), apply_blocks(layers, x, mod, zeros, TOKENS))


def test_contexts_on_demand_are_made_at_their_turn_and_not_kept() -> None:
    layers, x, mod, log = blocks(2), torch.randn(ROWS, WIDTH), torch.randn(2, WIDTH), []
    context = project_context(layers, torch.randn(2, 5, 8))

    def make(index: int) -> BlockContext:
        log.append(index)
        return context.blocks[index]

    on_demand = FlowContext(OnDemand([partial(make, index) for index in range(2)]))
    log.clear()  # the suite's type checker looks at an item of every sequence it is given
    for _ in range(2):
        assert torch.equal(
            apply_blocks(layers, x, mod, on_demand, TOKENS), apply_blocks(layers, x, mod, context, TOKENS)
        )
    assert log == [0, 1, 0, 1]
