"""Weights kept in eight bits: filled by the loader, close to what they were, and a quarter of their size."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.nn.precision import CompactLinear, cast_torso, compact_linears, torso_dtype
from scenewright.weights.load import load_weights

SIZES = StructureFlowConfig(resolution=4, model_channels=64, cond_channels=32, num_blocks=2, num_heads=2)


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    network = StructureFlow(SIZES).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.1)
    path = tmp_path_factory.mktemp("weights") / "flow.safetensors"
    save_file(network.state_dict(), path)
    return network, path


def loaded(path, dtype):
    def build():
        network = StructureFlow(SIZES)
        cast_torso(network.torso, dtype)
        return network

    return load_weights(build, path)


@torch.no_grad()
def test_a_flow_in_eight_bits_computes_nearly_the_same(flow):
    network, path = flow
    x, t, cond = torch.randn(2, 8, 4, 4, 4), torch.tensor([500.0, 500.0]), torch.randn(2, 5, 32)
    expected = network(x, t, cond)
    compact = loaded(path, torch.int8)
    assert torso_dtype(compact.torso) == torch.bfloat16
    assert (compact(x, t, cond) - expected).norm() < 0.03 * expected.norm()
    blocks = [sum(p.nbytes for p in item.blocks.parameters()) for item in (compact, network)]
    assert blocks[0] < 0.3 * blocks[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_weight_is_off_by_half_a_step_of_its_row(dtype):
    plain = nn.Linear(40, 30).to(dtype)
    weight = plain.weight.detach().clone()
    weight[3] = 0
    compact = CompactLinear.like(plain)
    compact.weight.data.copy_(weight)
    compact.after_fill("weight")
    step = weight.float().abs().amax(1, keepdim=True) / 127
    rounding = 2**-7 * weight.float().abs() if dtype == torch.bfloat16 else 0.0
    assert compact.weight.dtype == dtype
    assert ((compact.weight.float() - weight.float()).abs() <= 0.52 * step + rounding).all()
    assert not compact.weight[3].any()


def test_only_plain_linear_layers_are_replaced():
    network = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Sequential(nn.Conv3d(2, 2, 1), nn.Linear(2, 2)))
    compact_linears(network)
    assert [type(module) for module in (network[0], *network[1])] == [CompactLinear, nn.Conv3d, CompactLinear]
    assert network[0].bias is None
