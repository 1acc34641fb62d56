"""Perceptual measures without published weights: the formulas by hand, and tiny networks in the place of large ones."""

import importlib.util
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scenewright.errors import InputError, MissingExtraError
from scenewright.metrics.perceptual import (
    FidAccumulator,
    feature_similarity,
    load_clip_features,
    load_dino_features,
    load_lpips,
)


def flat(value: float) -> Tensor:
    return torch.full((3, 4, 4), value / 255)


def test_cosine_by_hand_and_without_length() -> None:
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])
    assert feature_similarity(a, b) == pytest.approx(0.5**0.5)
    assert feature_similarity(a, a) == pytest.approx(1)
    assert feature_similarity(a, -a) == pytest.approx(-1)
    assert feature_similarity(a, torch.tensor([0.0, 5.0])) == 0
    assert feature_similarity(7 * a, b) == pytest.approx(feature_similarity(a, b))
    assert feature_similarity(b, a) == pytest.approx(feature_similarity(a, b))


@pytest.mark.skipif(importlib.util.find_spec("lpips") is None, reason="needs the extra")
def test_lpips_is_a_distance_of_pictures_in_0_1(monkeypatch: pytest.MonkeyPatch) -> None:
    import lpips

    monkeypatch.setattr(lpips, "LPIPS", partial(lpips.LPIPS, pnet_rand=True))  # fetches no AlexNet
    first, second = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    distance = load_lpips()
    assert distance(first, first) == pytest.approx(0, abs=1e-6)
    assert distance(first, second) == pytest.approx(distance(second, first), rel=1e-4)
    assert distance(first, second) > distance(first, 0.9 * first + 0.1 * second) > 0


class Greys(nn.Module):
    """Two features of flat grey pictures: the grey value in 8 bits, and nothing."""

    num_features = 2

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.nn.functional.pad(pixels[:, 0, 0, :1].float(), (0, 1))


def fid_of(truths: list[float], predictions: list[float]) -> float:
    fid = FidAccumulator(network=Greys())
    for values, is_truth in ((truths, True), (predictions, False)):
        for value in values:
            fid.add(flat(value), is_truth=is_truth)
    return fid.value()


@pytest.mark.skipif(importlib.util.find_spec("torchmetrics") is None, reason="needs the extra")
def test_fid_of_pictures_by_hand() -> None:
    # Means 1 and 12, variances 2 and 8 (with n - 1): 11^2 + 2 + 8 - 2 * 4.
    assert fid_of([0, 2], [10, 14]) == pytest.approx(123)
    assert fid_of([2, 0], [14, 10]) == pytest.approx(123)
    assert fid_of([10, 14], [0, 2]) == pytest.approx(123)
    assert fid_of([3, 8, 9], [9, 3, 8]) == pytest.approx(0, abs=1e-9)
    with pytest.raises(InputError, match="two pictures"):
        fid_of([1, 2], [1])


@pytest.fixture
def dino_folder(tmp_path: Path) -> Path:
    """A tiny DINOv2 with random weights."""
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    torch.manual_seed(0)
    config = Dinov2WithRegistersConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, mlp_ratio=1, image_size=28, patch_size=14
    )
    Dinov2WithRegistersModel(config).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    """A tiny CLIP with random weights."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        image_size=28,
        patch_size=14,
        projection_dim=4,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path)
    side = {"height": 28, "width": 28}
    CLIPImageProcessor(size={"shortest_edge": 28}, crop_size=side).save_pretrained(tmp_path)
    return tmp_path


def set_weights(folder: Path, **values: Tensor) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    for ending, value in values.items():
        (name,) = [name for name in weights if name.replace(".", "_").endswith(ending)]
        weights[name] = value.expand_as(weights[name]).contiguous()
    save_file(weights, path, metadata={"format": "pt"})


def wide_picture() -> Tensor:
    return torch.rand(3, 28, 84, generator=torch.Generator().manual_seed(1))


def check_sees_the_middle(measure: object, picture: Tensor) -> None:
    """Equal pictures are alike, the cut-off margins do not matter, the middle does."""
    assert callable(measure)
    seen = measure(picture)
    assert torch.equal(measure(picture), seen)
    assert feature_similarity(seen, measure(picture)) == pytest.approx(1)
    margins, middle = picture.clone(), picture.clone()
    margins[:, :, :20], margins[:, :, 64:] = 0.3, 0.9
    middle[:, :, 36:48] = 0.0
    assert torch.equal(measure(margins), seen)
    assert feature_similarity(seen, measure(middle)) < 1 - 1e-6


def test_dino_features_are_the_class_token_of_the_middle_square(dino_folder: Path) -> None:
    check_sees_the_middle(load_dino_features(repository=dino_folder), wide_picture())
    # With a last norm that keeps nothing, the features are its bias: a known vector.
    known = torch.tensor([3.0, 4.0, 0, 0, 0, 0, 0, 0])
    set_weights(dino_folder, layernorm_weight=torch.zeros(1), layernorm_bias=known)
    token = load_dino_features(repository=dino_folder)(wide_picture())
    assert token.tolist() == known.tolist()
    assert feature_similarity(token, torch.tensor([5.0, 0, 0, 0, 0, 0, 0, 0])) == pytest.approx(0.6)


def test_clip_features_are_the_projected_embedding_of_the_middle_square(clip_folder: Path) -> None:
    check_sees_the_middle(load_clip_features(repository=clip_folder), wide_picture())
    known, projection = torch.tensor([1.0, 2, 0, 0, 0, 0, 0, 0]), torch.zeros(4, 8)
    projection[0, 0], projection[1, 1] = 3.0, 2.0
    set_weights(
        clip_folder,
        post_layernorm_weight=torch.zeros(1),
        post_layernorm_bias=known,
        visual_projection_weight=projection,
    )
    embedding = load_clip_features(repository=clip_folder)(wide_picture())
    assert embedding.tolist() == [3, 4, 0, 0]
    assert feature_similarity(embedding, torch.tensor([0.0, 1, 0, 0])) == pytest.approx(0.8)


@pytest.mark.skipif(importlib.util.find_spec("lpips") is not None, reason="the extra is installed")
def test_missing_lpips_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match=r"scenewright\[perceptual\]"):
        load_lpips()


@pytest.mark.skipif(importlib.util.find_spec("torchmetrics") is not None, reason="the extra is installed")
def test_missing_fid_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match=r"scenewright\[perceptual\]"):
        FidAccumulator()
