"""Perceptual measures without published weights: the formulas by hand, and tiny networks in the place of large ones."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from scenewright.errors import InputError, MissingExtraError
from scenewright.metrics.perceptual import (
    FidAccumulator,
    feature_similarity,
    frechet_distance,
    load_clip_features,
    load_dino_features,
    load_lpips,
    lpips_distance,
)


def features(*channels: list[float]) -> Tensor:
    """[C, 1, W] from one list per channel."""
    return torch.tensor(channels)[:, None]


def flat(value: float) -> Tensor:
    return torch.full((3, 4, 4), value / 255)


class ColourLpips(nn.Module):
    """LPIPS whose only features are the colours themselves."""

    def __init__(self) -> None:
        super().__init__()
        weigher = nn.Conv2d(3, 1, 1, bias=False)
        weigher.weight.data = torch.tensor([1.0, 1.0, 0.5]).reshape(1, 3, 1, 1)
        layer = nn.Module()
        layer.model = nn.Sequential(nn.Dropout(), weigher)
        self.lins = nn.ModuleList([layer])
        self.scaling_layer = nn.Identity()

    def net(self, pictures: Tensor) -> list[Tensor]:
        return [pictures]


def test_cosine_by_hand_and_without_length() -> None:
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])
    assert feature_similarity(a, b) == pytest.approx(0.5**0.5)
    assert feature_similarity(a, a) == pytest.approx(1)
    assert feature_similarity(a, -a) == pytest.approx(-1)
    assert feature_similarity(a, torch.tensor([0.0, 5.0])) == 0
    assert feature_similarity(7 * a, b) == pytest.approx(feature_similarity(a, b))
    assert feature_similarity(b, a) == pytest.approx(feature_similarity(a, b))


def test_lpips_by_hand() -> None:
    # Layer one, two pixels: (1, 0) against (0, 2) are at right angles, (3, 4) against (6, 8) point one way.
    first, second = features([1.0, 3.0], [0.0, 4.0]), features([0.0, 6.0], [2.0, 8.0])
    one = (0.5 * 1 + 0.25 * 1) / 2
    # Layer two, one pixel, one channel: 1 against -1 once their lengths are gone.
    layers = [first, features([3.0])], [second, features([-9.0])]
    weights = [torch.tensor([0.5, 0.25]), torch.tensor([0.1])]
    assert lpips_distance(*layers, weights) == pytest.approx(one + 0.1 * 4)


@given(st.integers(0, 1000))
def test_lpips_forgets_order_length_and_place(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    a, b, lengths = (torch.randn(size, 4, 5, generator=rng) for size in (3, 3, 1))
    weights = [torch.rand(3, generator=rng)]
    wanted = lpips_distance([a], [b], weights)
    assert wanted > 0
    assert lpips_distance([a], [a], weights) == 0
    assert lpips_distance([b], [a], weights) == pytest.approx(wanted)
    assert lpips_distance([a * lengths.exp()], [b], weights) == pytest.approx(wanted, rel=1e-4)
    assert lpips_distance([a.flip(1, 2)], [b.flip(1, 2)], weights) == pytest.approx(wanted, rel=1e-4)


def test_lpips_of_pictures_by_hand() -> None:
    red, white = torch.tensor([1.0, 0, 0]), torch.ones(3)
    red, white = (colour[:, None, None].expand(3, 4, 6) for colour in (red, white))
    distance = load_lpips(network=ColourLpips())
    # On [-1, 1] red is (1, -1, -1) and white (1, 1, 1), both of length sqrt(3): (2 / sqrt 3)^2 in green and in blue.
    assert distance(red, white) == pytest.approx((1 + 0.5) * 4 / 3)
    assert distance(white, red) == pytest.approx(distance(red, white))
    assert distance(red, red) == 0


@pytest.mark.skipif(importlib.util.find_spec("lpips") is None, reason="needs the extra")
def test_lpips_is_that_of_its_authors_package() -> None:
    import lpips

    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    first, second = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = float(network(2 * first[None] - 1, 2 * second[None] - 1))
    assert load_lpips(network=network)(first, second) == pytest.approx(wanted, rel=1e-5)


def test_frechet_distance_by_hand() -> None:
    one = torch.ones(1), torch.ones(1, 1)
    # |1 - 4|^2 and (sigma 1 - sigma 2)^2.
    assert frechet_distance(*one, torch.tensor([4.0]), torch.tensor([[4.0]])) == pytest.approx(9 + 1)
    assert frechet_distance(*one, *one) == 0
    zero, first, second = torch.zeros(2), torch.diag(torch.tensor([1.0, 4])), torch.diag(torch.tensor([9.0, 1]))
    assert frechet_distance(zero, first, torch.tensor([1.0, 2]), second) == pytest.approx(5 + 4 + 1)
    # Covariances that do not commute: in two dimensions tr (C1 C2)^(1/2) = (tr C1 C2 + 2 (det C1 C2)^(1/2))^(1/2).
    leaning, upright = torch.tensor([[2.0, 1], [1, 2]]), torch.diag(torch.tensor([1.0, 4]))
    wanted = 4 + 5 - 2 * math.sqrt(10 + 2 * math.sqrt(12))
    assert frechet_distance(zero, leaning, zero, upright) == pytest.approx(wanted)


@given(st.integers(0, 1000))
def test_frechet_distance_forgets_order_turns_and_shifts(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    factors, means, shift = (torch.randn(*size, generator=rng).double() for size in ((2, 5, 5), (2, 5), (5,)))
    covariances = factors @ factors.mT
    turn = torch.linalg.qr(torch.randn(5, 5, generator=rng).double())[0]
    wanted = frechet_distance(means[0], covariances[0], means[1], covariances[1])
    assert frechet_distance(means[1], covariances[1], means[0], covariances[0]) == pytest.approx(wanted)
    moved, turned = means @ turn.T + shift, turn @ covariances @ turn.T
    assert frechet_distance(moved[0], turned[0], moved[1], turned[1]) == pytest.approx(wanted)


def fid_of(truths: list[float], predictions: list[float]) -> float:
    """FID of flat grey pictures whose only feature is the grey value in 8 bits."""
    fid = FidAccumulator(network=lambda pixels: pixels[:, 0, 0, :1].float())
    for values, is_truth in ((truths, True), (predictions, False)):
        for value in values:
            fid.add(flat(value), is_truth=is_truth)
    return fid.value()


def test_fid_of_pictures_by_hand() -> None:
    # Means 1 and 12, variances 2 and 8 (with n - 1): 11^2 + 2 + 8 - 2 * 4.
    assert fid_of([0, 2], [10, 14]) == pytest.approx(123)
    assert fid_of([2, 0], [14, 10]) == pytest.approx(123)
    assert fid_of([10, 14], [0, 2]) == pytest.approx(123)
    assert fid_of([3, 8, 9], [9, 3, 8]) == pytest.approx(0, abs=1e-9)
    with pytest.raises(InputError, match="two pictures"):
        fid_of([1, 2], [1])


@pytest.mark.skipif(importlib.util.find_spec("torchmetrics") is None, reason="needs the extra")
def test_fid_is_that_of_torchmetrics() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Corners(nn.Module):
        num_features = 12

        def forward(self, pixels: Tensor) -> Tensor:
            return pixels[:, :, ::7, ::7].flatten(1).float() / 255

    ours = FidAccumulator(network=Corners())
    theirs = FrechetInceptionDistance(feature=Corners(), input_img_size=(3, 8, 8))
    pictures = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for index, picture in enumerate(pictures):
        is_truth = index < 15
        shown = picture if is_truth else picture.square()
        ours.add(shown, is_truth=is_truth)
        theirs.update((shown[None] * 255).round().to(torch.uint8), real=is_truth)
    assert ours.value() == pytest.approx(float(theirs.compute()), rel=1e-4)


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
