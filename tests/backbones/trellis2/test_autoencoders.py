"""Sparse autoencoders: pyramids, row blocks, predicted and given subdivisions, heads, precision, empty results."""

from dataclasses import replace

import pytest
import torch

from scenewright.backbones.trellis2 import unet_blocks
from scenewright.backbones.trellis2.config import SparseUNetConfig
from scenewright.backbones.trellis2.decoding import decode_materials, decode_shape, object_surface
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder, ShapeEncoder, shape_features
from scenewright.backbones.trellis2.sparse_unet import Decoded
from scenewright.backbones.trellis2.texture_vae import TextureDecoder, texture_features
from scenewright.errors import EmptyStructureError
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.nn.precision import cast_torso
from scenewright.sparse.tensor import SparseTensor, VoxelSet

ENCODER = SparseUNetConfig(
    model_channels=(8, 16, 16),
    latent_channels=4,
    num_blocks=(0, 1, 1),
    io_channels=6,
    resample=("channel", "channel"),
    mlp_ratios=(2.0,) * 3,
)
DECODER = replace(ENCODER, model_channels=(16, 16, 8), num_blocks=(1, 1, 0), io_channels=7)
TEXTURE = replace(DECODER, io_channels=6, predicts_subdivision=False)


def randomized(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def shell(batch_size: int = 2, radius: float = 5.0) -> VoxelSet:
    """Voxels round spheres in a grid of 16, rows of an item in random order."""
    cells = torch.cartesian_prod(*[torch.arange(16)] * 3)
    distance = (cells + 0.5 - 8).norm(dim=1)
    rows = cells[(distance - radius).abs() < 1]
    generator = torch.Generator().manual_seed(3)
    items = [
        torch.nn.functional.pad(rows[torch.randperm(len(rows), generator=generator)], (1, 0), value=item)
        for item in range(batch_size)
    ]
    return VoxelSet(torch.cat(items).int())


def grid_features(voxels: VoxelSet) -> SparseTensor:
    generator = torch.Generator().manual_seed(4)
    dual = torch.rand(len(voxels), 3, generator=generator)
    return shape_features(voxels, dual, torch.rand(len(voxels), 3, generator=generator) < 0.3)


def latent(voxels: VoxelSet) -> SparseTensor:
    return SparseTensor(torch.randn(len(voxels), 4, generator=torch.Generator().manual_seed(5)), voxels)


def test_an_encoded_pyramid_leads_the_decoder_back_to_the_input_rows():
    voxels = shell()
    posterior = randomized(ShapeEncoder(ENCODER))(grid_features(voxels))
    assert posterior.mean.coords[:, 1:].max() < 4
    assert posterior.mean.feats.shape == posterior.log_variance.shape == (len(posterior.mean.voxels), 4)
    decoded = randomized(ShapeDecoder(DECODER))(posterior.mean, posterior.pyramid)
    assert decoded.voxels.voxels is voxels
    assert [len(logits) for logits in decoded.subdivision_logits] == [
        len(division.coarse) for division in posterior.pyramid
    ]


def test_the_posterior_is_sampled_round_its_mean():
    posterior = randomized(ShapeEncoder(ENCODER))(grid_features(shell()))
    drawn = posterior.sample(torch.Generator().manual_seed(0))
    noise = (drawn.feats - posterior.mean.feats) / (0.5 * posterior.log_variance).exp()
    assert abs(float(noise.detach().std()) - 1) < 0.2


def test_the_order_of_input_rows_does_not_change_the_latent():
    voxels = shell()
    x = grid_features(voxels)
    count = len(voxels) // 2
    order = torch.cat([torch.randperm(count), count + torch.randperm(count)])
    encoder = randomized(ShapeEncoder(ENCODER))
    shuffled = encoder(SparseTensor(x.feats[order], x.coords[order]))
    expected = encoder(x)
    assert torch.equal(shuffled.mean.coords, expected.mean.coords)
    torch.testing.assert_close(shuffled.mean.feats, expected.mean.feats, rtol=1e-4, atol=1e-5)


def test_samples_of_a_batch_do_not_see_each_other():
    decoder = randomized(ShapeDecoder(DECODER))
    z = latent(shell(radius=3.0))
    together = decoder(z)
    coords, feats = z.item(1)
    alone = decoder(SparseTensor(feats, torch.nn.functional.pad(coords, (1, 0))))
    xyz, values = together.voxels.item(1)
    assert torch.equal(alone.voxels.coords[:, 1:], xyz)
    torch.testing.assert_close(alone.voxels.feats, values, rtol=1e-4, atol=1e-5)


def test_rows_computed_in_blocks_are_the_rows_computed_at_once(monkeypatch):
    encoder, decoder = randomized(ShapeEncoder(ENCODER)), randomized(ShapeDecoder(DECODER))
    texture = randomized(TextureDecoder(TEXTURE))
    with torch.no_grad():
        posterior = encoder(grid_features(shell()))
        free, led = decoder(posterior.mean), decoder(posterior.mean, posterior.pyramid)
        painted = texture(posterior.mean, posterior.pyramid)
        monkeypatch.setattr(unet_blocks, "_BLOCK_BYTES", 20_000)
        again = encoder(grid_features(shell()))
        torch.testing.assert_close(again.mean.feats, posterior.mean.feats, rtol=1e-4, atol=1e-5)
        for whole, blocks in (
            (free, decoder(posterior.mean)),
            (led, decoder(posterior.mean, posterior.pyramid)),
            (painted, texture(posterior.mean, posterior.pyramid)),
        ):
            assert torch.equal(whole.voxels.coords, blocks.voxels.coords)
            torch.testing.assert_close(blocks.voxels.feats, whole.voxels.feats, rtol=1e-4, atol=1e-5)
    with_gradients = decoder(posterior.mean, posterior.pyramid).voxels.feats
    torch.testing.assert_close(with_gradients, led.voxels.feats, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter_through_an_unsorted_pyramid():
    encoder, decoder = randomized(ShapeEncoder(ENCODER)), randomized(ShapeDecoder(DECODER))
    posterior = encoder(grid_features(shell()))
    decoded = decoder(posterior.sample(), posterior.pyramid)
    loss = decoded.voxels.feats.square().mean() + sum(logits.mean() for logits in decoded.subdivision_logits)
    loss.backward()
    missing = [
        name for model in (encoder, decoder) for name, parameter in model.named_parameters() if parameter.grad is None
    ]
    assert not missing


def test_a_texture_decoder_follows_the_shape_decoder_row_by_row():
    z = latent(shell(radius=3.0))
    grids, pyramid = decode_shape(randomized(ShapeDecoder(DECODER)), z, 64)
    voxels = decode_materials(randomized(TextureDecoder(TEXTURE), 1), z, pyramid, 64)
    for grid, item in zip(grids, voxels, strict=True):
        assert torch.equal(grid.coords, item.coords)
        assert {name: values.shape[1] for name, values in item.attributes.items()} == {
            "base_color": 3,
            "metallic": 1,
            "roughness": 1,
            "alpha": 1,
        }


def test_a_texture_decoder_alone_says_what_it_needs():
    with pytest.raises(ValueError, match="needs that of a shape decoder"):
        randomized(TextureDecoder(TEXTURE))(latent(shell()))


def test_upsampled_coordinates_are_those_of_decoding():
    decoder, z = randomized(ShapeDecoder(DECODER)), latent(shell(radius=3.0))
    decoded = decoder(z)
    assert torch.equal(decoder.upsampled_coords(z, 0), z.coords)
    assert torch.equal(decoder.upsampled_coords(z, 1), decoded.pyramid[0].fine.coords)
    assert torch.equal(decoder.upsampled_coords(z, 2), decoded.voxels.coords)


def test_vertices_stay_within_the_margin_and_weights_are_positive():
    decoder = randomized(ShapeDecoder(replace(DECODER, voxel_margin=0.25)))
    decoder.output_layer.weight.data *= 100
    with torch.no_grad():
        fields = decoder.fields(decoder(latent(shell(radius=3.0))))
    assert float(fields.dual_vertices.min()) >= -0.25
    assert float(fields.dual_vertices.max()) <= 1.25
    assert bool((fields.split_weight >= 0).all())


def test_truth_about_edges_replaces_the_prediction_in_training():
    decoder, voxels = randomized(ShapeDecoder(DECODER)), shell()
    posterior = randomized(ShapeEncoder(ENCODER))(grid_features(voxels))
    fields = decoder.fields(decoder(posterior.mean, posterior.pyramid))
    crossed = torch.rand(len(voxels), 3) < 0.5
    grids = fields.dual_grids(16, crossed)
    assert torch.equal(torch.cat([grid.intersected for grid in grids]), crossed)
    dual_grid_to_mesh(grids[0], fan=True).vertices.square().sum().backward()
    assert decoder.output_layer.weight.grad[:3].any()
    assert decoder.output_layer.weight.grad[6].any()  # split weights place the fan's centres
    assert not decoder.output_layer.weight.grad[3:6].any()  # flags are not trained by the surface


def test_material_channels_are_mapped_between_zero_to_one_and_the_network():
    voxels = shell(1)
    materials = torch.rand(len(voxels), 6)
    features = texture_features(voxels, materials)
    assert float(features.feats.min()) < 0
    decoded = Decoded(features, (), ())
    torch.testing.assert_close(TextureDecoder(TEXTURE).materials(decoded), materials)


def test_a_decoder_that_keeps_nothing_or_crosses_nothing_is_a_clear_error():
    decoder, z = randomized(ShapeDecoder(DECODER)), latent(shell(radius=3.0))
    decoder.output_layer.bias.data[3:6] = -1e6
    grids, _ = decode_shape(decoder, z, 64)
    with pytest.raises(EmptyStructureError, match="no surface"):
        object_surface(grids[0])
    decoder.blocks[1][-1].to_subdiv.bias.data.fill_(-1e6)
    with pytest.raises(EmptyStructureError, match="kept none of the children"):
        decode_shape(decoder, z, 64)


def test_training_starts_with_resampling_blocks_that_only_pass_on():
    encoder, decoder = ShapeEncoder(ENCODER), ShapeDecoder(DECODER)
    for model in (encoder, decoder):
        model.initialize_weights()
        for name, parameter in model.named_parameters():
            if "conv2" in name:
                assert not parameter.any(), name
            if name.endswith("mlp.2.weight"):
                assert parameter.any(), name


def test_half_precision_is_for_layers_inside_blocks_only():
    decoder, z = randomized(ShapeDecoder(DECODER)), latent(shell(radius=3.0))
    pyramid = decoder(z).pyramid
    expected = decoder(z, pyramid).voxels.feats
    cast_torso(decoder.torso, torch.bfloat16)
    halves = {name for name, parameter in decoder.named_parameters() if parameter.dtype == torch.bfloat16}
    assert all(name.startswith("blocks.") and "norm" not in name for name in halves)
    assert any("to_subdiv" in name for name in halves)
    out = decoder(z, pyramid).voxels.feats
    assert out.dtype == torch.float32
    with torch.no_grad():
        assert float((out - expected).norm() / expected.norm()) < 0.1


def test_nearest_resampling_builds_and_runs():
    config = {"resample": ("nearest", "nearest")}
    posterior = randomized(ShapeEncoder(replace(ENCODER, **config)))(grid_features(shell()))
    decoded = randomized(ShapeDecoder(replace(DECODER, **config)))(posterior.mean, posterior.pyramid)
    assert len(decoded.voxels.feats) == len(shell())
