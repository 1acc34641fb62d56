"""Encoder weights load from each layout they are published in, and say what does not fit."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from scenewright.encoders.dinov2 import Dinov2, Dinov2Config
from scenewright.encoders.dinov2_names import to_transformers
from scenewright.encoders.dinov3 import Dinov3, Dinov3Config
from scenewright.encoders.records import RECORDS
from scenewright.encoders.vggt import VGGTAggregator, VGGTConfig
from scenewright.encoders.weights import (
    encoder_from_pretrained,
    load_dinov2,
    load_dinov3,
    load_named_dinov3,
    load_vggt,
)
from scenewright.errors import WeightsError
from scenewright.weights.load import load_state
from scenewright.weights.source import WeightsSource

DINOV2 = Dinov2Config(image_size=28, width=8, depth=1, num_heads=2)
DINOV3 = Dinov3Config(width=16, mlp_width=32, depth=1, num_heads=2)
VGGT = VGGTConfig(image_size=28, width=16, depth=1, num_heads=2, patch_embed_depth=1, patch_embed_num_heads=2)
# What transformers calls the attention projections in the files on the hub.
HUB_ATTENTION = (
    "attention.attention.query",
    "attention.attention.key",
    "attention.attention.value",
    "attention.output.dense",
)


def saved(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


@pytest.fixture
def dinov2() -> Dinov2:
    return Dinov2(DINOV2).eval()


@torch.no_grad()
def test_dinov2_from_each_layout_gives_the_same_tokens(dinov2: Dinov2, tmp_path: Path) -> None:
    state = dinov2.state_dict()
    torch.save(state, tmp_path / "torch_hub.pth")
    saved(tmp_path / "hub.safetensors", to_transformers(state, HUB_ATTENTION))
    saved(tmp_path / "wrapped.safetensors", {f"base_img_conditioner.{name}": t for name, t in state.items()})
    images = torch.rand(1, 3, 28, 28)
    expected = dinov2(images)
    for name, prefix in (
        ("torch_hub.pth", ""),
        ("hub.safetensors", ""),
        ("wrapped.safetensors", "base_img_conditioner."),
    ):
        loaded = load_dinov2(tmp_path / name, config=DINOV2, prefix=prefix)
        torch.testing.assert_close(loaded(images), expected, atol=0, rtol=0)
        assert not loaded.training
        assert not any(parameter.requires_grad for parameter in loaded.parameters())


@torch.no_grad()
def test_dinov3_loads_with_its_rotary_frequencies(tmp_path: Path) -> None:
    network, images = Dinov3(DINOV3).eval(), torch.rand(1, 3, 32, 48)
    loaded = load_dinov3(saved(tmp_path / "model.safetensors", network.state_dict()), config=DINOV3)
    torch.testing.assert_close(loaded(images), network(images), atol=0, rtol=0)


@torch.no_grad()
def test_vggt_loads_from_a_checkpoint_with_heads(tmp_path: Path) -> None:
    network, images = VGGTAggregator(VGGT).eval(), torch.rand(1, 1, 3, 28, 28)
    state = {f"aggregator.{name}": tensor for name, tensor in network.state_dict().items()}
    path = saved(tmp_path / "model.safetensors", state | {"camera_head.token_norm.weight": torch.zeros(4)})
    loaded = load_vggt(path, config=VGGT)
    torch.testing.assert_close(loaded(images)[0], network(images)[0], atol=0, rtol=0)


def test_misfits_are_named(dinov2: Dinov2) -> None:
    state = dinov2.state_dict()
    del state["blocks.0.ls1.gamma"]
    state["surplus"] = torch.zeros(1)
    with pytest.raises(WeightsError, match=r"1 missing .*ls1.gamma.* 1 unexpected .*surplus"):
        load_state(dinov2, state)
    state = dinov2.state_dict() | {"cls_token": torch.zeros(1, 1, 9)}
    with pytest.raises(WeightsError, match=r"cls_token is \(1, 1, 9\) instead of \(1, 1, 8\)"):
        load_state(dinov2, state)


@pytest.mark.parametrize("part", HUB_ATTENTION)
def test_a_projection_that_the_hubs_file_lacks_is_named(dinov2: Dinov2, tmp_path: Path, part: str) -> None:
    tensors = to_transformers(dinov2.state_dict(), HUB_ATTENTION)
    del tensors[f"encoder.layer.0.{part}.weight"]
    with pytest.raises(WeightsError, match=r"blocks\.0\.attn\.(qkv|proj)\.weight"):
        load_dinov2(saved(tmp_path / "hub.safetensors", tensors), config=DINOV2)


def test_wrong_prefix_is_named(dinov2: Dinov2, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors", dinov2.state_dict())
    with pytest.raises(WeightsError, match=r"starts with 'base_img_conditioner\.'"):
        load_dinov2(path, config=DINOV2, prefix="base_img_conditioner.")


@torch.no_grad()
def test_an_encoder_stored_beside_a_pipeline_is_taken(tmp_path: Path) -> None:
    network, images = Dinov3(DINOV3).eval(), torch.rand(1, 3, 32, 48)
    path = saved(tmp_path / "own.safetensors", network.state_dict())
    (tmp_path / "own.json").write_text(json.dumps({"name": "Dinov3", "args": asdict(DINOV3)}))
    loaded, taken = load_named_dinov3("own", WeightsSource(tmp_path))
    assert taken == path
    assert torch.equal(loaded(images), network(images))
    with pytest.raises(WeightsError, match="'other', which is neither in it nor published"):
        load_named_dinov3("other", WeightsSource(tmp_path))


def test_truncated_file_is_one_sentence(dinov2: Dinov2, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors", dinov2.state_dict())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="truncated or damaged"):
        encoder_from_pretrained("dinov2", path)


def test_records_tell_the_licences() -> None:
    licences = {record.name: record.licence for record in RECORDS}
    assert licences == {
        "depth-anything-v2-metric-indoor-small": "Apache-2.0",
        "depth-anything-v2-small": "Apache-2.0",
        "dinov2-vitl14-reg": "Apache-2.0",
        "dinov3-vitl16": "DINOv3 License",
        "sam2.1-hiera-large": "Apache-2.0",
        "sam3": "SAM License",
        "vggt-1b": "CC-BY-NC-4.0",
    }
    assert [record.name for record in RECORDS if record.is_non_commercial] == ["vggt-1b"]
