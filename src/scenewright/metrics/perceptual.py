"""LPIPS, FID, CLIP and DINO similarity of pictures through the maintained packages, set as in SceneGen's evaluation.

LPIPS: AlexNet on [-1, 1] (package `lpips`). FID: Inception pool 2048 on 8-bit pictures (`torchmetrics`). CLIP: cosine
of ViT-L/14 (OpenAI) picture embeddings. DINO: cosine of the class token of DINOv2 ViT-L/14 with registers, picture
resized to 518 (bicubic) and cut to a square. Pictures with alpha are composited on white before they come here.

Nothing is imported or downloaded until a metric object is made: `pip install 'scenewright[perceptual]'`, and the
weights (about 0.2 GB to 1.7 GB each) are fetched from their publishers then.

Images are `[C, H, W]`, values in [0, 1].
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenewright.errors import MissingExtraError

__all__ = ["FidAccumulator", "feature_similarity", "load_clip_features", "load_dino_features", "load_lpips"]

Picture = Float[Tensor, "3 H W"]
CLIP_REPOSITORY = "openai/clip-vit-large-patch14"
DINO_REPOSITORY = "facebook/dinov2-with-registers-large"


def load_lpips(device: str | torch.device = "cpu") -> Callable[[Tensor, Tensor], float]:
    """A function of two pictures of one size giving their LPIPS distance (AlexNet); 0 for equal pictures.

    Raises:
        MissingExtraError: the package `lpips` is not installed.
    """
    network = _extra("lpips", "LPIPS").LPIPS(net="alex", verbose=False).to(device).eval()

    @torch.no_grad()
    def distance(prediction: Tensor, truth: Tensor) -> float:
        first, second = (2 * image[None].to(device, torch.float32) - 1 for image in (prediction, truth))
        return float(network(first, second))

    return distance


def load_clip_features(device: str | torch.device = "cpu") -> Callable[[Tensor], Tensor]:
    """A function giving a picture's CLIP embedding, float32 `[768]`; the picture passes through 8 bits."""
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    model = CLIPVisionModelWithProjection.from_pretrained(CLIP_REPOSITORY).to(device).eval()
    processor = CLIPImageProcessor.from_pretrained(CLIP_REPOSITORY)

    @torch.no_grad()
    def features(image: Tensor) -> Tensor:
        pixels = processor(images=_to_pil(image), return_tensors="pt")["pixel_values"].to(device)
        return model(pixel_values=pixels).image_embeds[0].float().cpu()

    return features


def load_dino_features(device: str | torch.device = "cpu") -> Callable[[Tensor], Tensor]:
    """A function giving a picture's DINOv2 class token, float32 `[1024]`; the picture passes through 8 bits."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(DINO_REPOSITORY).to(device).eval()
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]

    @torch.no_grad()
    def features(image: Tensor) -> Tensor:
        pixels = (_square_518(_to_pil(image)) - mean) / std
        return model(pixel_values=pixels[None].to(device)).last_hidden_state[0, 0].float().cpu()

    return features


def feature_similarity(first: Float[Tensor, " D"], second: Float[Tensor, " D"]) -> float:
    """Cosine of the angle between two feature vectors, in [-1, 1]: CLIP-S and DINO-S of the papers."""
    return float(torch.nn.functional.cosine_similarity(first.double(), second.double(), dim=0))


class FidAccumulator:
    """Frechet Inception distance between two growing sets of pictures (Heusel et al. 2017), by torchmetrics.

    Raises:
        MissingExtraError: `torchmetrics` or its Inception network is not installed.
    """

    def __init__(self, device: str | torch.device = "cpu") -> None:
        image = _extra("torchmetrics.image.fid", "FID")
        try:
            self._fid: Any = image.FrechetInceptionDistance(feature=2048).to(device)
        except ModuleNotFoundError as error:
            raise MissingExtraError("FID", "perceptual") from error
        self._device = device

    def add(self, image: Picture, *, is_truth: bool) -> None:
        self._fid.update((image[None].clamp(0, 1) * 255).round().to(self._device, torch.uint8), real=is_truth)

    def value(self) -> float:
        """The distance, at least 0; needs two pictures or more on each side."""
        return float(self._fid.compute())


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
