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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError, MissingExtraError, WeightsError
from scenewright.files import reading
from scenewright.io.images import image_of
from scenewright.weights.hub import refuse_download
from scenewright.weights.source import WeightsSource
from scenewright.weights.transformers_format import load_transformers, transformers_folder

__all__ = [
    "FidAccumulator",
    "feature_similarity",
    "load_clip_features",
    "load_dino_features",
    "load_lpips",
]

Picture = Float[Tensor, "3 H W"]
CLIP_REPOSITORY = "openai/clip-vit-large-patch14"
_CLIP_PICTURES = "preprocessor_config.json"
DINO_REPOSITORY = "facebook/dinov2-with-registers-large"


def load_lpips(device: str | torch.device = "cpu") -> Callable[[Tensor, Tensor], float]:
    """A function of two pictures of one size giving their LPIPS distance (Zhang et al. 2018, eq. 1, AlexNet).

    Raises:
        MissingExtraError: the package `lpips` is not installed.
    """
    package = _extra("lpips", "LPIPS")
    refuse_download(_torch_file("alexnet-owt-7be5be79.pth"), "The AlexNet of LPIPS")
    network = package.LPIPS(net="alex", verbose=False).to(device).eval()

    @torch.no_grad()
    def distance(prediction: Tensor, truth: Tensor) -> float:
        return float(network(*(2 * image[None].to(device, torch.float32) - 1 for image in (prediction, truth))))

    return distance


def load_clip_features(
    device: str | torch.device = "cpu", *, repository: str | Path = CLIP_REPOSITORY
) -> Callable[[Tensor], Tensor]:
    """A function giving a picture's CLIP embedding, float32 `[768]` (Radford et al. 2021, ViT-L/14 of OpenAI).

    The picture passes through 8 bits; its middle square is what the network sees. `repository` may be a folder.
    """
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    source = WeightsSource(repository)
    model = load_transformers(source, {"clip": CLIPVisionModelWithProjection}, "a CLIP network").to(device)
    folder = transformers_folder(source, further=[_CLIP_PICTURES])
    with reading(folder / _CLIP_PICTURES, "a description of CLIP's pictures", "download it again", error=WeightsError):
        processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)

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

    model = load_transformers(WeightsSource(repository), {"dinov2": AutoModel}, "a DINOv2 network").to(device)
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
    """Frechet Inception distance of two growing sets of pictures (Heusel et al. 2017), by `torchmetrics`.

    Pictures are rounded to 8 bits first. Only sums of features are kept, so memory does not grow with the pictures.

    Args:
        network: uint8 `[N, 3, H, W]` to features `[N, D]`, with D as `num_features`; None takes the Inception network.

    Raises:
        MissingExtraError: `torchmetrics` or its Inception network is not installed.
    """

    def __init__(self, device: str | torch.device = "cpu", *, network: torch.nn.Module | None = None) -> None:
        fid = _extra("torchmetrics.image.fid", "FID")
        if network is None:
            refuse_download(_torch_file("weights-inception-2015-12-05-6726825d.pth"), "The Inception network of FID")
        try:
            self._metric = fid.FrechetInceptionDistance(feature=2048 if network is None else network).to(device)
        except ModuleNotFoundError as error:
            raise MissingExtraError("FID", "perceptual") from error
        self._counts, self._device = {True: 0, False: 0}, device

    def add(self, image: Picture, *, is_truth: bool) -> None:
        pixels = (image[None].clamp(0, 1) * 255).round().to(self._device, torch.uint8)
        self._metric.update(pixels, real=is_truth)
        self._counts[is_truth] += 1

    def value(self) -> float:
        """The distance, at least 0.

        Raises:
            InputError: a side has less than two pictures, so it has no covariance.
        """
        if min(self._counts.values()) < 2:
            raise InputError("FID needs two pictures or more on each side; evaluate more scenes.")
        return max(float(self._metric.compute()), 0.0)


def _torch_file(name: str) -> Path:
    """Where torch keeps what it downloads for other packages."""
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def _extra(module: str, feature: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(feature, "perceptual") from error


def _to_pil(image: Tensor) -> Image.Image:
    return image_of(image.permute(1, 2, 0))


def _square_518(image: Image.Image) -> Tensor:
    scale = 518 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - 518) // 2, (image.height - 518) // 2
    pixels = image.crop((left, top, left + 518, top + 518)).tobytes()
    return torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(518, 518, 3).permute(2, 0, 1) / 255
