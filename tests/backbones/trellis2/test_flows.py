"""Flow transformers: start of training, independence of samples and row order, condition handling, precision."""

from dataclasses import replace

import pytest
import torch

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.nn.precision import cast_torso
from scenewright.sparse.tensor import SparseTensor, VoxelSet

SMALL = FlowConfig(
    resolution=3,
    in_channels=4,
    model_channels=32,
    cond_channels=16,
    out_channels=4,
    num_blocks=2,
    num_heads=2,
    mlp_ratio=2.0,
    pe_mode="rope",
    share_mod=True,
    initialization="scaled",
    qk_rms_norm=True,
    qk_rms_norm_cross=True,
)
VARIANTS = [SMALL, replace(SMALL, pe_mode="ape", share_mod=False, qk_rms_norm=False, initialization="vanilla")]


def randomized(model: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def latent(lengths: tuple[int, ...] = (9, 5), channels: int = 4) -> SparseTensor:
    generator = torch.Generator().manual_seed(1)
    rows = []
    for item, length in enumerate(lengths):
        cells = torch.cartesian_prod(*[torch.arange(8)] * 3)
        chosen = cells[torch.randperm(len(cells), generator=generator)[:length]]
        rows.append(torch.nn.functional.pad(chosen, (1, 0), value=item))
    voxels = VoxelSet(torch.cat(rows).int(), len(lengths))
    return SparseTensor(torch.randn(len(voxels), channels, generator=generator), voxels)


COND = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(2))
TIME = torch.tensor([900.0, 250.0])


@pytest.mark.parametrize("config", VARIANTS)
def test_training_starts_from_a_velocity_of_zero(config):
    dense, sparse = StructureFlow(config), LatentFlow(config)
    for model in (dense, sparse):
        model.initialize_weights()
    assert not dense(torch.randn(2, 4, 3, 3, 3), TIME, COND).any()
    assert not sparse(latent(), TIME, COND).feats.any()


def test_scaled_initialisation_has_the_published_deviations():
    config = replace(SMALL, model_channels=256, num_blocks=4)
    model = LatentFlow(config)
    model.initialize_weights()
    width, block = 256, model.blocks[0]
    assert float(block.self_attn.to_qkv.weight.std()) == pytest.approx((2 / (5 * width)) ** 0.5, rel=0.05)
    for end in (block.self_attn.to_out, block.cross_attn.to_out, block.mlp.mlp[2]):
        assert float(end.weight.std()) == pytest.approx((5 * 4 * width) ** -0.5, rel=0.05)
    assert float(model.input_layer.weight.std()) == pytest.approx(4**-0.5, rel=0.1)
    assert float(model.t_embedder.mlp[0].weight.std()) == pytest.approx(0.02, rel=0.05)
    assert block.modulation.any()
    assert not model.adaLN_modulation[1].weight.any()


@pytest.mark.parametrize("config", VARIANTS)
def test_samples_of_a_batch_do_not_see_each_other(config):
    model, x = randomized(LatentFlow(config)), latent()
    together = model(x, TIME, COND).feats
    coords, feats = x.item(1)
    alone = SparseTensor(feats, torch.nn.functional.pad(coords, (1, 0)))
    torch.testing.assert_close(model(alone, TIME[1:], COND[1:]).feats, together[9:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", VARIANTS)
def test_the_order_of_voxels_does_not_matter(config):
    model, x = randomized(LatentFlow(config)), latent()
    order = torch.cat([torch.randperm(9), 9 + torch.randperm(5)])
    shuffled = SparseTensor(x.feats[order], x.coords[order])
    torch.testing.assert_close(
        model(shuffled, TIME, COND).feats, model(x, TIME, COND).feats[order], rtol=1e-4, atol=1e-5
    )


def test_a_full_grid_gives_what_the_dense_flow_gives():
    dense = randomized(StructureFlow(SMALL))
    sparse = LatentFlow(SMALL)
    sparse.load_state_dict(dense.state_dict())
    x = torch.randn(2, 4, 3, 3, 3)
    cells = torch.cartesian_prod(torch.arange(2), *[torch.arange(3)] * 3).int()
    rows = SparseTensor(x.permute(0, 2, 3, 4, 1).reshape(-1, 4), cells)
    expected = dense(x, TIME, COND).permute(0, 2, 3, 4, 1).reshape(-1, 4)
    torch.testing.assert_close(sparse(rows, TIME, COND).feats, expected, rtol=1e-4, atol=1e-5)


def test_no_condition_means_the_all_zero_condition():
    model, x = randomized(LatentFlow(SMALL)), latent()
    with_zeros = model(x, TIME, torch.zeros_like(COND)).feats
    torch.testing.assert_close(model(x, TIME, None).feats, with_zeros, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(x, TIME, COND).feats, with_zeros, atol=1e-3)


def test_a_projected_condition_and_conditions_of_different_lengths_are_understood():
    model, x = randomized(LatentFlow(SMALL)), latent()
    expected = model(x, TIME, COND).feats
    assert torch.equal(model(x, TIME, model.project_context(COND)).feats, expected)
    torch.testing.assert_close(model(x, TIME, list(COND)).feats, expected, rtol=1e-5, atol=1e-6)
    short = model(x, TIME, [COND[0], COND[1, :2]]).feats
    torch.testing.assert_close(short[:9], expected[:9], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(short[9:], expected[9:], atol=1e-3)


def test_a_texture_flow_reads_the_shape_behind_its_own_channels():
    model, x = randomized(LatentFlow(replace(SMALL, in_channels=8))), latent()
    shape = torch.randn_like(x.feats)
    joined = x.replace(torch.cat([x.feats, shape], 1))
    assert torch.equal(model(x, TIME, COND, shape).feats, model(joined, TIME, COND).feats)


def test_positions_are_raw_indices():
    """Rotary attention depends on differences of positions only: a shifted object has the same velocity."""
    model, x = randomized(LatentFlow(SMALL)), latent()
    shifted = SparseTensor(x.feats, x.coords + torch.tensor([0, 3, 1, 2], dtype=torch.int32))
    torch.testing.assert_close(model(shifted, TIME, COND).feats, model(x, TIME, COND).feats, rtol=1e-3, atol=1e-4)
    spread = SparseTensor(x.feats, x.coords * torch.tensor([1, 2, 2, 2], dtype=torch.int32))
    assert not torch.allclose(model(spread, TIME, COND).feats, model(x, TIME, COND).feats, atol=1e-3)


def test_half_precision_is_for_linear_layers_inside_blocks_only():
    model, x = randomized(LatentFlow(SMALL)), latent()
    expected = model(x, TIME, COND).feats
    cast_torso(model.torso, torch.bfloat16)
    halves = {name for name, parameter in model.named_parameters() if parameter.dtype == torch.bfloat16}
    assert halves
    assert all(name.startswith("blocks.") and ("to_" in name or "mlp" in name) for name in halves)
    kept = ("modulation", "norm2", "gamma", "t_embedder", "adaLN_modulation", "input_layer", "out_layer")
    assert not any(part in name for name in halves for part in kept)
    out = model(x, TIME, COND).feats
    assert out.dtype == torch.float32
    assert float((out - expected).norm() / expected.norm()) < 0.05


def test_gradients_reach_every_parameter():
    model = randomized(LatentFlow(SMALL)).train()
    model(latent(), TIME, COND).feats.square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
