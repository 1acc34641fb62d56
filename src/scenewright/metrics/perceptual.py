"""LPIPS, FID, CLIP and DINO similarity of pictures through the maintained packages, set as in SceneGen's evaluation.

LPIPS (Zhang et al. 2018): AlexNet on [-1, 1] with the weights of the package `lpips`. FID (Heusel et al. 2017):
Inception pool 2048 of `torchmetrics` on 8-bit pictures. CLIP: cosine of ViT-L/14 (OpenAI) picture embeddings. DINO:
cosine of the class token of DINOv2 ViT-L/14 with registers, picture resized to 518 (bicubic) and cut to a square.
Pictures with alpha are composited on white before they come here.

Nothing is imported or downloaded until a metric object is made: `pip install 'scenewright[perceptual]'`, and the
weights (about 0.2 GB to 1.7 GB each) are fetched from their publishers then.

Images are `[C, H, W]`, values in [0, 1].
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError, MissingExtraError

__all__ = [
    "FidAccumulator",
    "feature_similarity",
    "frechet_distance",
    "load_clip_features",
    "load_dino_features",
    "load_lpips",
    "lpips_distance",
]

Picture = Float[Tensor, "3 H W"]
CLIP_REPOSITORY = "openai/clip-vit-large-patch14"
DINO_REPOSITORY = "facebook/dinov2-with-registers-large"
_UNIT_EPSILON = 1e-10


def load_lpips(device: str | torch.device = "cpu", *, network: Any = None) -> Callable[[Tensor, Tensor], float]:
    """A function of two pictures of one size giving their LPIPS distance: `lpips_distance` of AlexNet's features.

    Args:
        network: another network of the package `lpips` than its AlexNet, on `device`; nothing is fetched then.

    Raises:
        MissingExtraError: the package `lpips` is not installed.
    """
    if network is None:
        network = _extra("lpips", "LPIPS").LPIPS(net="alex", verbose=False).to(device).eval()
    weights = [layer.model[-1].weight.flatten() for layer in network.lins]

    @torch.no_grad()
    def features(image: Tensor) -> list[Tensor]:
        layers = network.net(network.scaling_layer(2 * image[None].to(device, torch.float32) - 1))
        return [layer[0] for layer in layers]

    @torch.no_grad()
    def distance(prediction: Tensor, truth: Tensor) -> float:
        return lpips_distance(features(prediction), features(truth), weights)

    return distance


def lpips_distance(
    first: Sequence[Float[Tensor, "_ _ _"]],
    second: Sequence[Float[Tensor, "_ _ _"]],
    weights: Sequence[Float[Tensor, " _"]],
) -> float:
    """sum_l mean_hw sum_c w_lc (f_lc - g_lc)^2, with f and g of unit length at every pixel (Zhang et al. 2018, eq. 1).

    The published w multiplies the difference before the square; here, as in the authors' package, it is w squared.

    Args:
        first: features [C, H, W] of every layer of one picture; `second` those of the other.
        weights: of every layer, per channel.
    """
    total = 0.0
    for f, g, w in zip(first, second, weights, strict=True):
        f, g = (x / (x.square().sum(0, keepdim=True).sqrt() + _UNIT_EPSILON) for x in (f, g))
        total += float(((f - g).square() * w[:, None, None]).sum(0).mean())
    return total


def load_clip_features(
    device: str | torch.device = "cpu", *, repository: str | Path = CLIP_REPOSITORY
) -> Callable[[Tensor], Tensor]:
    """A function giving a picture's CLIP embedding, float32 `[768]` (Radford et al. 2021, ViT-L/14 of OpenAI).

    The picture passes through 8 bits; its middle square is what the network sees. `repository` may be a folder.
    """
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    model = CLIPVisionModelWithProjection.from_pretrained(repository).to(device).eval()
    processor = CLIPImageProcessor.from_pretrained(repository)

    @torch.no_grad()
    def features(image: Tensor) -> Tensor:
        pixels = processor(images=_to_pil(image), return_tensors="pt")["pixel_values"].to(device)
        return model(pixel_values=pixels).image_embeds[0].float().cpu()

    return features


def load_dino_features(
    device: str | torch.device = "cpu", *, repository: str | Path = DINO_REPOSITORY
) -> Callable[[Tensor], Tensor]:
    """A function giving a picture's class token, float32 `[1024]` (DINOv2 with registers, Oquab, Darcet et al. 2024).

    The picture passes through 8 bits; its middle square is what the network sees. `repository` may be a folder.
    """
    from transformers import AutoModel

    model = AutoModel.from_pretrained(repository).to(device).eval()
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]

    @torch.no_grad()
    def features(image: Tensor) -> Tensor:
        pixels = (_square_518(_to_pil(image)) - mean) / std
        return model(pixel_values=pixels[None].to(device)).last_hidden_state[0, 0].float().cpu()

    return features


def feature_similarity(first: Float[Tensor, " D"], second: Float[Tensor, " D"]) -> float:
    """a . b / (|a| |b|), in [-1, 1]: CLIP and DINO similarity as SceneGen's evaluation computes them from features."""
    return float(torch.nn.functional.cosine_similarity(first.double(), second.double(), dim=0))


class FidAccumulator:
    """Frechet Inception distance of two growing sets of pictures (Heusel et al. 2017): `frechet_distance` of features.

    Pictures are rounded to 8 bits first. Only sums of features are kept, so memory does not grow with the pictures.

    Args:
        network: uint8 `[N, 3, H, W]` to features `[N, D]`; None takes the Inception network of `torchmetrics`.

    Raises:
        MissingExtraError: `torchmetrics` or its Inception network is not installed.
    """

    def __init__(
        self, device: str | torch.device = "cpu", *, network: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self._network, self._device = network or _inception(device), device
        self._sums = {True: _FeatureSums(), False: _FeatureSums()}

    @torch.no_grad()
    def add(self, image: Picture, *, is_truth: bool) -> None:
        pixels = (image[None].clamp(0, 1) * 255).round().to(self._device, torch.uint8)
        self._sums[is_truth].add(self._network(pixels)[0])

    def value(self) -> float:
        """The distance, at least 0.

        Raises:
            InputError: a side has less than two pictures, so it has no covariance.
        """
        if min(side.count for side in self._sums.values()) < 2:
            raise InputError("FID needs two pictures or more on each side; evaluate more scenes.")
        return frechet_distance(*self._sums[True].moments(), *self._sums[False].moments())


class _FeatureSums:
    def __init__(self) -> None:
        self.count = 0
        self._first: Tensor | None = None
        self._second: Tensor | None = None

    def add(self, features: Tensor) -> None:
        row = features.double().cpu()
        if self._first is None or self._second is None:
            self._first, self._second = torch.zeros_like(row), torch.zeros(len(row), len(row), dtype=torch.float64)
        self.count += 1
        self._first += row
        self._second.addr_(row, row)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean [D] and unbiased covariance [D, D]."""
        assert self._first is not None
        assert self._second is not None
        mean = self._first / self.count
        return mean, (self._second - self.count * mean.outer(mean)) / (self.count - 1)


def frechet_distance(
    mean: Float[Tensor, " D"],
    covariance: Float[Tensor, "D D"],
    other_mean: Float[Tensor, " D"],
    other_covariance: Float[Tensor, "D D"],
) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)): two Gaussians' squared distance (Frechet 1957; Heusel et al. 2017).

    The trace of the root is that of (C1^(1/2) C2 C1^(1/2))^(1/2), which is symmetric and so stays real.
    """
    values, vectors = torch.linalg.eigh(covariance.double())
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ other_covariance.double() @ root).clamp_min(0).sqrt().sum()
    spread = covariance.double().trace() + other_covariance.double().trace() - 2 * shared
    return max(float((mean.double() - other_mean.double()).square().sum() + spread), 0.0)


def _inception(device: str | torch.device) -> Callable[[Tensor], Tensor]:
    image = _extra("torchmetrics.image.fid", "FID")
    try:
        return image.FrechetInceptionDistance(feature=2048).to(device).inception
    except ModuleNotFoundError as error:
        raise MissingExtraError("FID", "perceptual") from error


def _extra(module: str, feature: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(feature, "perceptual") from error


def _to_pil(image: Tensor) -> Image.Image:
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def _square_518(image: Image.Image) -> Tensor:
    scale = 518 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - 518) // 2, (image.height - 518) // 2
    pixels = image.crop((left, top, left + 518, top + 518)).tobytes()
    return torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(518, 518, 3).permute(2, 0, 1) / 255
