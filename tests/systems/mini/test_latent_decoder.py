"""Surface and materials from voxels by mini's latent networks, here with untrained weights."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder, ShapeEncoder
from scenewright.backbones.trellis2.texture_vae import TextureDecoder
from scenewright.backbones.trellis2.unet_blocks import UpBlock
from scenewright.errors import WeightsError
from scenewright.systems.assembly.structures import PlacedStructures, object_generator
from scenewright.systems.mini.latent_decoder import LatentDecoder
from scenewright.systems.mini.networks import LatentNetworks
from scenewright.systems.mini.sizes import (
    SHAPE_DECODER,
    SHAPE_ENCODER,
    SHAPE_FLOW,
    TEXTURE_DECODER,
    TEXTURE_FLOW,
)
from scenewright.weights.record import LatentStatistics


@pytest.fixture(scope="module")
def decoder() -> LatentDecoder:
    torch.manual_seed(0)
    flat = LatentStatistics((0.0,) * 16, (1.0,) * 16)
    shape_flow, texture_flow = LatentFlow(SHAPE_FLOW), LatentFlow(TEXTURE_FLOW)
    networks = LatentNetworks(
        ShapeEncoder(SHAPE_ENCODER).eval(),
        ShapeDecoder(SHAPE_DECODER).eval(),
        shape_flow.eval(),
        TextureDecoder(TEXTURE_DECODER).eval(),
        texture_flow.eval(),
        {"shape": flat, "texture": flat},
        {},
    )
    with torch.no_grad():  # so that about half of all children live and some edges are crossed
        for parameter in networks.shape_decoder.parameters():
            parameter.normal_(std=0.2)
    return LatentDecoder(networks)


def ball(radius: float) -> torch.Tensor:
    axis = (torch.arange(32) + 0.5) / 32 - 0.5
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    return ((distance - radius).abs() < 0.03).nonzero().int()


def structures(*coords: torch.Tensor) -> PlacedStructures:
    picture = Image.fromarray(np.full((32, 32, 3), (200, 40, 40), dtype=np.uint8))
    tokens = torch.stack([torch.full((64, 192), 0.1 * (len(item) % 7)) for item in coords])
    return PlacedStructures(
        coords, 32, torch.eye(4).expand(len(coords), -1, -1), tokens[None], (picture,) * len(coords)
    )


def decoded(decoder: LatentDecoder, *coords: torch.Tensor, first: int = 0):
    return decoder.decode(structures(*coords), lambda i, stage: object_generator(3, f"object {first + i}", stage))


def test_objects_do_not_depend_on_each_other_and_empty_ones_are_left_out(decoder: LatentDecoder) -> None:
    nothing = torch.zeros(0, 3, dtype=torch.int32)
    large, none, small = decoded(decoder, ball(0.3), nothing, ball(0.2))
    assert none is None
    (alone,) = decoded(decoder, ball(0.2), first=2)
    assert large is not None
    assert small is not None
    assert alone is not None
    torch.testing.assert_close(small.surface.vertices, alone.surface.vertices)
    assert torch.equal(small.surface.faces, alone.surface.faces)
    points = small.surface.vertices[small.surface.faces[:300].long()].mean(1)
    torch.testing.assert_close(small.field.at(points), alone.field.at(points), atol=1e-4, rtol=0)
    assert small.field.channels == ("red", "green", "blue", "metallic", "roughness", "alpha")


def test_a_seed_gives_the_same_object_and_another_seed_another(decoder: LatentDecoder) -> None:
    (one,), (same,) = decoded(decoder, ball(0.25)), decoded(decoder, ball(0.25))
    (other,) = decoded(decoder, ball(0.25), first=1)
    assert one is not None
    assert same is not None
    assert other is not None
    assert torch.equal(one.surface.vertices, same.surface.vertices)
    assert one.surface.vertices.shape != other.surface.vertices.shape or not torch.allclose(
        one.surface.vertices, other.surface.vertices
    )


def test_what_the_networks_do_not_find_keeps_the_voxels_surface_and_the_pictures_colours(
    decoder: LatentDecoder,
) -> None:
    networks = copy.deepcopy(decoder.networks)
    with torch.no_grad():
        for block in networks.shape_decoder.modules():
            if isinstance(block, UpBlock) and block.to_subdiv is not None:
                block.to_subdiv.weight.zero_()
                block.to_subdiv.bias.fill_(-1)
    (item,) = decoded(LatentDecoder(networks), ball(0.4))
    assert item is not None
    radius = item.surface.vertices.norm(dim=1)
    assert float((radius - 0.42).abs().max()) < 0.04
    color = item.field.at(item.surface.vertices)[:, :3]
    torch.testing.assert_close(color, torch.tensor([200, 40, 40]).expand(len(color), -1) / 255, atol=0.01, rtol=0)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"shape_encoder\.safetensors"):
        LatentNetworks.load(tmp_path)
