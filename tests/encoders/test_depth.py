"""A tiny Depth Anything with random weights: relative and metric, from a folder, and what is refused."""

from pathlib import Path

import pytest
import torch

from scenewright.encoders.depth import load_depth_network
from scenewright.encoders.records import DEPTH_ANYTHING_METRIC, DEPTH_ANYTHING_RELATIVE
from scenewright.errors import WeightsError
from scenewright.weights.record import WeightsRecord


def write_tiny_depth(folder: Path, kind: str = "metric") -> Path:
    """A network in transformers' format, of random weights."""
    # Takes seconds, which processes that run other tests need not spend.
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[4, 4, 4, 4],
        fusion_hidden_size=4,
        head_hidden_size=4,
        depth_estimation_type=kind,
        max_depth=20 if kind == "metric" else 1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["relative", "metric"])
def test_inverse_depth_of_square_pictures(tmp_path: Path, kind: str) -> None:
    network = load_depth_network(write_tiny_depth(tmp_path, kind), offline=True)
    assert network.is_metric == (kind == "metric")
    assert network.side_px == 28
    pictures = torch.randint(0, 256, (2, 40, 40, 3), dtype=torch.uint8)
    inverse = network.inverse_depth(pictures)
    assert inverse.shape == (2, 40, 40)
    if kind == "metric":  # nothing is further than the 20 m that it was trained to
        assert float(inverse.min()) >= 1 / 20.001
    assert torch.allclose(network.inverse_depth(pictures[:1]), inverse[:1], atol=1e-5)


def test_other_networks_and_missing_ones_are_refused(tmp_path: Path) -> None:
    from transformers import DepthAnythingForDepthEstimation, ViTConfig

    with pytest.raises(WeightsError, match=r"none' does not exist"):
        load_depth_network(tmp_path / "none", offline=True)
    with pytest.raises(WeightsError, match="downloading is off"):
        load_depth_network("depth-anything/not-on-this-machine", offline=True)
    ViTConfig().save_pretrained(tmp_path / "vit")
    with pytest.raises(WeightsError, match="network of kind 'vit'"):
        load_depth_network(tmp_path / "vit", offline=True)
    folder = write_tiny_depth(tmp_path / "depth")
    model = DepthAnythingForDepthEstimation.from_pretrained(folder)
    state = model.state_dict()
    del state["head.conv3.weight"]
    model.save_pretrained(folder, state_dict=state)
    with pytest.raises(WeightsError, match=r"lacks 1 tensors .*head\.conv3\.weight"):
        load_depth_network(folder, offline=True)


@pytest.mark.parametrize("record", [DEPTH_ANYTHING_METRIC, DEPTH_ANYTHING_RELATIVE], ids=lambda record: record.name)
def test_the_stated_size_is_that_of_the_published_small_network(record: WeightsRecord) -> None:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    # ViT-S of DINOv2 and the neck of Depth Anything V2's small network (arXiv 2406.09414, section 5).
    stages = ["stage3", "stage6", "stage9", "stage12"]
    backbone = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14, out_features=stages)
    widths = {"reassemble_hidden_size": 384, "neck_hidden_sizes": [48, 96, 192, 384], "fusion_hidden_size": 64}
    with torch.device("meta"):
        network = DepthAnythingForDepthEstimation(
            DepthAnythingConfig(backbone_config=backbone, patch_size=14, **widths)
        )
    assert sum(values.numel() for values in network.parameters()) == record.num_parameters
