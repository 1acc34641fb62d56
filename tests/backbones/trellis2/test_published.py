"""Published configurations: parameter counts, key names and shapes as the publisher lists them, without any weights."""

from dataclasses import replace

import pytest
import torch

from scenewright.backbones.trellis2 import config
from scenewright.backbones.trellis2.published import build_network, sparse_unet_config
from scenewright.backbones.trellis2.weights import RECORDS
from scenewright.errors import InputError
from scenewright.samplers.config import SamplerConfig


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    record = RECORDS[f"trellis2/{name}"]
    with torch.device("meta"):
        network = build_network(record.architecture, record.arguments)
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


NUM_TENSORS = {
    "structure_flow": 640,
    "shape_flow_512": 640,
    "texture_flow_1024": 640,
    "shape_encoder": 284,
    "texture_encoder": 284,
    "shape_decoder": 292,
    "texture_decoder": 284,
}


@pytest.mark.parametrize("name", NUM_TENSORS)
def test_networks_have_the_published_tensors_and_size(name):
    found = shapes(name)
    assert len(found) == NUM_TENSORS[name]
    record = RECORDS[f"trellis2/{name}"]
    num_parameters = sum(torch.Size(shape).numel() for shape in found.values())
    assert num_parameters == record.num_parameters
    if record.size_bytes is not None:
        # Two bytes per value and a header of about a hundred bytes per tensor.
        assert 50 < (record.size_bytes - 2 * num_parameters) / len(found) < 200


def test_a_flow_has_the_published_keys():
    found = shapes("texture_flow_512")
    block = {
        "modulation": (9216,),
        "norm2.weight": (1536,),
        "norm2.bias": (1536,),
        "self_attn.to_qkv.weight": (4608, 1536),
        "self_attn.to_qkv.bias": (4608,),
        "self_attn.q_rms_norm.gamma": (12, 128),
        "self_attn.k_rms_norm.gamma": (12, 128),
        "self_attn.to_out.weight": (1536, 1536),
        "self_attn.to_out.bias": (1536,),
        "cross_attn.to_q.weight": (1536, 1536),
        "cross_attn.to_q.bias": (1536,),
        "cross_attn.to_kv.weight": (3072, 1024),
        "cross_attn.to_kv.bias": (3072,),
        "cross_attn.q_rms_norm.gamma": (12, 128),
        "cross_attn.k_rms_norm.gamma": (12, 128),
        "cross_attn.to_out.weight": (1536, 1536),
        "cross_attn.to_out.bias": (1536,),
        "mlp.mlp.0.weight": (8192, 1536),
        "mlp.mlp.0.bias": (8192,),
        "mlp.mlp.2.weight": (1536, 8192),
        "mlp.mlp.2.bias": (1536,),
    }
    expected = {f"blocks.{index}.{key}": shape for index in range(30) for key, shape in block.items()}
    expected |= {
        "t_embedder.mlp.0.weight": (1536, 256),
        "t_embedder.mlp.0.bias": (1536,),
        "t_embedder.mlp.2.weight": (1536, 1536),
        "t_embedder.mlp.2.bias": (1536,),
        "adaLN_modulation.1.weight": (9216, 1536),
        "adaLN_modulation.1.bias": (9216,),
        "input_layer.weight": (1536, 64),
        "input_layer.bias": (1536,),
        "out_layer.weight": (32, 1536),
        "out_layer.bias": (32,),
    }
    assert found == expected


def test_autoencoders_have_the_published_keys():
    decoder, encoder = shapes("shape_decoder"), shapes("shape_encoder")
    assert decoder["blocks.0.4.conv1.weight"] == (4096, 3, 3, 3, 1024)
    assert decoder["blocks.0.4.conv2.weight"] == (512, 3, 3, 3, 512)
    assert decoder["blocks.0.4.to_subdiv.weight"] == (8, 1024)
    assert decoder["blocks.1.16.conv1.weight"] == (2048, 3, 3, 3, 512)
    assert decoder["blocks.2.8.conv1.weight"] == (1024, 3, 3, 3, 256)
    assert decoder["blocks.3.4.conv1.weight"] == (512, 3, 3, 3, 128)
    assert decoder["blocks.3.0.mlp.0.weight"] == (512, 128)
    assert decoder["from_latent.weight"] == (1024, 32)
    assert decoder["output_layer.weight"] == (7, 64)
    assert shapes("texture_decoder")["output_layer.weight"] == (6, 64)
    assert encoder["blocks.0.0.conv1.weight"] == (16, 3, 3, 3, 64)
    assert encoder["blocks.0.0.conv2.weight"] == (128, 3, 3, 3, 128)
    assert encoder["blocks.3.16.conv1.weight"] == (128, 3, 3, 3, 512)
    assert encoder["to_latent.weight"] == (64, 1024)
    assert not any("norm2" in key for key in (*encoder, *decoder))


def test_published_arguments_mean_the_published_constants():
    decoder = RECORDS["trellis2/shape_decoder"].arguments
    assert sparse_unet_config(decoder, 7) == config.SHAPE_DECODER
    assert sparse_unet_config(RECORDS["trellis2/texture_decoder"].arguments) == config.TEXTURE_DECODER
    assert sparse_unet_config(RECORDS["trellis2/texture_encoder"].arguments) == config.TEXTURE_ENCODER
    with torch.device("meta"):
        flows = {
            name: build_network("SLatFlowModel", RECORDS[f"trellis2/{name}"].arguments).config
            for name in ("shape_flow_512", "shape_flow_1024", "texture_flow_512", "texture_flow_1024")
        }
    assert flows["shape_flow_512"] == config.SHAPE_FLOW_512
    assert flows["shape_flow_1024"] == replace(config.SHAPE_FLOW_512, resolution=64)
    assert flows["texture_flow_512"] == flows["texture_flow_1024"] == config.TEXTURE_FLOW_512


def test_published_sampler_settings():
    assert SamplerConfig(12, 6.5, (0.6, 1.0), 5.0, guidance_rescale=0.7) == config.STRUCTURE_SAMPLER
    assert SamplerConfig(12, 6.5, (0.6, 1.0), 3.0, guidance_rescale=0.5) == config.SHAPE_SAMPLER
    assert SamplerConfig(12, 0.0, (0.6, 0.9), 3.0) == config.TEXTURE_SAMPLER


def test_unknown_classes_arguments_and_blocks_are_named():
    with pytest.raises(InputError, match=r"no TRELLIS\.2 network"):
        build_network("Banana", {})
    flow = dict(RECORDS["trellis2/structure_flow"].arguments)
    with pytest.raises(InputError, match="did you mean 'num_heads'"):
        build_network("SparseStructureFlowModel", flow | {"nun_heads": 3})
    decoder = dict(RECORDS["trellis2/texture_decoder"].arguments)
    with pytest.raises(InputError, match="'Other'"):
        build_network("SparseUnetVaeDecoder", decoder | {"block_type": ["Other"]})
    with pytest.raises(InputError, match="'Other' is no known resampling block"):
        build_network("SparseUnetVaeDecoder", decoder | {"up_block_type": ["Other"]})
