"""The TRELLIS networks as a whole: published sizes, invariances, shortcuts, precision."""

import pytest
import torch
from torch import nn

from scenewright.backbones.trellis1.config import (
    GaussianConfig,
    SLatFlowConfig,
    SLatTrunkConfig,
    StructureFlowConfig,
)
from scenewright.backbones.trellis1.published import build_network, published_keymap
from scenewright.backbones.trellis1.slat_decoders import SLatGaussianDecoder, SLatMeshDecoder
from scenewright.backbones.trellis1.slat_flow import SLatFlow, SLatResBlock
from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.backbones.trellis1.weights import RECORDS
from scenewright.errors import InputError
from scenewright.nn.precision import cast_torso
from scenewright.sparse.resample import downsample, upsample
from scenewright.sparse.tensor import SparseTensor

TINY_STRUCTURE = StructureFlowConfig(resolution=4, model_channels=32, cond_channels=16, num_blocks=2, num_heads=2)
TINY_SLAT = SLatFlowConfig(
    resolution=16, model_channels=32, cond_channels=16, num_blocks=2, num_heads=2, io_channels=(16,)
)


def randomized(network: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter drawn anew, so that nothing passes because a gate is closed."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def voxels(lengths: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    items = []
    for batch, length in enumerate(lengths):
        cells = torch.randperm(8**3, generator=generator)[:length]
        items.append(torch.stack([torch.full_like(cells, batch), cells // 64, cells // 8 % 8, cells % 8], 1))
    return torch.cat(items).int()


@pytest.mark.parametrize("name", [name for name, record in RECORDS.items() if record.num_parameters])
def test_every_published_network_has_its_published_number_of_parameters(name: str) -> None:
    record = RECORDS[name]
    with torch.device("meta"):
        network = build_network(record.architecture, record.arguments)
    assert sum(parameter.numel() for parameter in network.parameters()) == record.num_parameters


def test_structured_latent_flow_has_the_published_keys() -> None:
    """A sample of the sheet's section 9: names and shapes as stored in the file."""
    record = next(r for r in RECORDS.values() if r.file.endswith("slat_flow_img_dit_L_64l8p2_fp16.safetensors"))
    with torch.device("meta"):
        network = build_network(record.architecture, record.arguments)
    state = network.state_dict()
    names = published_keymap(record.architecture).reversed().rename_all(state)
    shapes = {published: tuple(state[ours].shape) for published, ours in names.items()}
    assert len(shapes) == 526
    assert shapes["input_blocks.1.conv1.conv.weight"] == (1024, 3, 3, 3, 128)
    assert shapes["input_blocks.1.skip_connection.weight"] == (1024, 128)
    assert shapes["out_blocks.0.conv1.conv.weight"] == (128, 3, 3, 3, 2048)
    assert shapes["blocks.23.self_attn.q_rms_norm.gamma"] == (16, 64)
    assert shapes["blocks.0.adaLN_modulation.1.weight"] == (6144, 1024)


def test_an_untrained_flow_predicts_zero_velocity() -> None:
    flow = StructureFlow(TINY_STRUCTURE)
    flow.initialize_weights()
    v = flow(torch.randn(2, 8, 4, 4, 4), torch.tensor([500.0, 100.0]), torch.randn(2, 3, 16))
    assert v.abs().max() == 0


@torch.no_grad()
def test_the_zero_condition_needs_no_attention() -> None:
    flow = randomized(StructureFlow(TINY_STRUCTURE))
    x, t = torch.randn(2, 8, 4, 4, 4), torch.tensor([900.0, 900.0])
    torch.testing.assert_close(flow(x, t, None), flow(x, t, torch.zeros(2, 5, 16)), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_projected_condition_gives_the_same_velocity() -> None:
    flow = randomized(StructureFlow(TINY_STRUCTURE))
    x, t, cond = torch.randn(2, 8, 4, 4, 4), torch.tensor([10.0, 900.0]), torch.randn(2, 5, 16)
    torch.testing.assert_close(flow(x, t, cond), flow(x, t, flow.project_context(cond)))


@torch.no_grad()
def test_batch_items_do_not_influence_each_other() -> None:
    flow = randomized(SLatFlow(TINY_SLAT))
    coords, cond, t = voxels((20, 33)), torch.randn(2, 4, 16), torch.tensor([300.0, 700.0])
    feats = torch.randn(53, 8)
    together = flow(SparseTensor(feats, coords), t, cond).feats
    alone = flow(SparseTensor(feats[:20], coords[:20]), t[:1], cond[:1]).feats
    torch.testing.assert_close(together[:20], alone, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_block_on_finer_voxels_is_the_block_of_rows_copied_to_them() -> None:
    block = randomized(SLatResBlock(16, 32, 24))
    fine = SparseTensor(torch.randn(53, 16), voxels((20, 33)))
    coarse, time = downsample(fine), torch.randn(2, 32)
    expected = block(upsample(coarse, fine.voxels), time).feats
    torch.testing.assert_close(block(coarse, time, fine.voxels).feats, expected)


@torch.no_grad()
def test_the_order_of_voxels_does_not_matter() -> None:
    flow = randomized(SLatFlow(TINY_SLAT))
    coords, feats, t, cond = voxels((40,)), torch.randn(40, 8), torch.tensor([400.0]), torch.randn(1, 4, 16)
    order = torch.randperm(40)
    shuffled = flow(SparseTensor(feats[order], coords[order]), t, cond).feats
    torch.testing.assert_close(shuffled, flow(SparseTensor(feats, coords), t, cond).feats[order], atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close_to_full_precision(dtype: torch.dtype) -> None:
    flow = randomized(StructureFlow(TINY_STRUCTURE))
    x, t, cond = torch.randn(1, 8, 4, 4, 4), torch.tensor([500.0]), torch.randn(1, 5, 16)
    full = flow(x, t, cond)
    cast_torso(flow.torso, dtype)
    half = flow(x, t, cond)
    assert half.dtype == torch.float32
    assert (half - full).norm() < 0.03 * full.norm()


@torch.no_grad()
def test_the_mesh_decoder_refines_every_voxel_to_sixty_four() -> None:
    config = SLatTrunkConfig(resolution=8, model_channels=64, num_blocks=1, num_heads=2)
    decoder = randomized(SLatMeshDecoder(config, num_groups=2))
    decoded = decoder(SparseTensor(torch.randn(5, 8), voxels((5,))))
    assert decoded.feats.shape == (320, 101)
    assert torch.equal(decoded.coords[:, 1:].reshape(5, 64, 3)[:, 0] // 4, voxels((5,))[:, 1:])


@pytest.mark.parametrize("is_used", [True, False])
def test_the_gaussian_decoder_holds_the_perturbation_whether_it_is_used_or_not(is_used: bool) -> None:
    """Published checkpoints have it in either case."""
    decoder = SLatGaussianDecoder(
        SLatTrunkConfig(model_channels=8, num_blocks=0, num_heads=1),
        GaussianConfig(num_gaussians=2, perturb_offset=is_used),
    )
    assert decoder.state_dict()["offset_perturbation"].shape == (2, 3)
    raw = SparseTensor(torch.zeros(1, 28), torch.zeros(1, 4, dtype=torch.int32))
    spread = decoder.split(raw, 0).positions - 0.5 / decoder.trunk_config.resolution
    assert (spread.abs().max() > 1e-3) == is_used


def test_unknown_published_classes_and_arguments_are_named() -> None:
    with pytest.raises(InputError, match="'SLatFlowModell' is no TRELLIS network"):
        build_network("SLatFlowModell", {})
    with pytest.raises(InputError, match="model_channels"):
        build_network("SparseStructureFlowModel", {"model_channel": 3, "model_channels": 64})
    with pytest.raises(InputError, match="pe_mode 'rope'"):
        build_network("SparseStructureFlowModel", {"pe_mode": "rope", "model_channels": 64})
    with pytest.raises(InputError, match="norm_type is layer or group, got 'batch'"):
        build_network("SparseStructureDecoder", {"out_channels": 1, "channels": [8], "norm_type": "batch"})
