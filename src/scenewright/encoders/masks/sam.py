"""Masks from boxes, points, or nothing but the picture, with SAM 2 or SAM 3 through transformers.

    segmenter = load_segmenter()                       # SAM 2.1 large, Apache-2.0, from the hub on first use
    masks = segmenter.from_prompts(image, prompts)     # one mask per box or marked object
    masks = segmenter.everything(image)                # a grid of points, then the usual filtering

Pictures are prepared here (stretched to the network's square), so transformers' processors and torchvision are not
needed. Source: Segment Anything (Kirillov et al. 2023) for the automatic grid, its scores and its thresholds.

Legend: K prompts, M mask proposals per prompt, h w the network's mask size.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from scenewright.encoders.masks.object_masks import Frame, NamedMask, checked_masks
from scenewright.encoders.masks.prompts import MaskPrompts
from scenewright.encoders.normalisation import IMAGENET_MEAN, IMAGENET_STD
from scenewright.encoders.preprocess.crop import image_to_tensor
from scenewright.encoders.records import RECORDS, SAM2_LARGE
from scenewright.types import Mask, ObjectMasks
from scenewright.weights.source import WeightsSource
from scenewright.weights.transformers_format import load_transformers

__all__ = ["Segmenter", "load_segmenter"]

logger = logging.getLogger(__name__)

_GRID_SIDE = 32
_POINTS_AT_ONCE = 64
_LEAST_SCORE = 0.8
_LEAST_STABILITY = 0.92
_LEAST_SHARE, _MOST_SHARE = 2e-3, 0.5
_CONTAINED = 0.8


class Segmenter:
    """A SAM network with the preparation of its inputs; use `load_segmenter`."""

    def __init__(self, model: Any) -> None:
        """Takes a transformers `Sam2Model` or `Sam3TrackerModel`."""
        self.model = model.eval().requires_grad_(False)
        self.input_size = int(model.config.prompt_encoder_config.image_size)
        is_sam3 = model.config.model_type.startswith("sam3")
        self._mean, self._std = ((0.5,) * 3, (0.5,) * 3) if is_sam3 else (IMAGENET_MEAN, IMAGENET_STD)

    @torch.no_grad()
    def from_prompts(self, image: Image.Image, prompts: MaskPrompts) -> ObjectMasks:
        """One mask per box, then one per marked object, at the picture's size.

        Raises:
            InputError: a prompt lies outside the picture, or no mask is usable.
        """
        prompts = prompts.checked(image.height, image.width)
        embeddings = self._embed(image)
        scale = torch.tensor([self.input_size / image.width, self.input_size / image.height])
        found: list[NamedMask] = []
        for box in prompts.boxes:
            corners = (torch.tensor(box).reshape(2, 2) * scale).reshape(1, 1, 4)
            masks, _ = self._predict(embeddings, is_several=False, input_boxes=corners)
            found.append(self._named(masks[0, 0], image, prompts.name(len(found))))
        for points in prompts.points:
            places = torch.tensor([point[:2] for point in points])[None, None] * scale
            labels = torch.tensor([[[int(is_on) for *_, is_on in points]]])
            # One point is ambiguous (part or whole?): the best of several proposals; more points are not.
            masks, scores = self._predict(
                embeddings, is_several=len(points) == 1, input_points=places, input_labels=labels
            )
            found.append(self._named(masks[0, scores[0].argmax()], image, prompts.name(len(found))))
        return checked_masks(found, Frame((image.height, image.width)), source="the segmented prompts")

    @torch.no_grad()
    def everything(self, image: Image.Image, *, grid_side: int = _GRID_SIDE) -> ObjectMasks:
        """Masks of what looks like objects: confident, stable, not too large, and not part of a larger one.

        Walls and floors that cover under half of the picture can be among them; look at the masks and choose.

        Raises:
            InputError: nothing is found.
        """
        embeddings = self._embed(image)
        axis = (torch.arange(grid_side) + 0.5) / grid_side * self.input_size
        grid = torch.cartesian_prod(axis, axis).flip(-1)
        proposals = [self._confident(embeddings, points) for points in grid.split(_POINTS_AT_ONCE)]
        masks, scores = (torch.cat(parts) for parts in zip(*proposals, strict=True))
        kept = _whole_objects(masks > 0, scores)
        logger.info("Kept %d of %d mask proposals", len(kept), len(masks))
        found = [self._named(masks[index], image, f"object_{number}") for number, index in enumerate(kept, 1)]
        return checked_masks(found, Frame((image.height, image.width)), source="the automatic segmentation")

    def _embed(self, image: Image.Image) -> list[Tensor]:
        parameter = next(self.model.parameters())
        pixels = image_to_tensor(image)[None].to(parameter.device)
        size = (self.input_size, self.input_size)
        pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        mean, std = (pixels.new_tensor(values)[:, None, None] for values in (self._mean, self._std))
        return self.model.get_image_embeddings(((pixels - mean) / std).to(parameter.dtype))

    def _predict(
        self, embeddings: list[Tensor], *, is_several: bool, **prompts: Tensor
    ) -> tuple[Float[Tensor, "K M h w"], Float[Tensor, "K M"]]:
        """Mask logits and expected overlap of each proposal."""
        placed = {name: prompt.to(embeddings[-1].device) for name, prompt in prompts.items()}
        result = self.model(image_embeddings=list(embeddings), multimask_output=is_several, **placed)
        return result.pred_masks[0].float().cpu(), result.iou_scores[0].float().cpu()

    def _confident(
        self, embeddings: list[Tensor], points: Float[Tensor, "K 2"]
    ) -> tuple[Float[Tensor, "kept h w"], Float[Tensor, " kept"]]:
        """The proposals at single points that pass the score, stability and size thresholds."""
        labels = torch.ones(1, len(points), 1, dtype=torch.long)
        logits, scores = self._predict(
            embeddings, is_several=True, input_points=points[None, :, None], input_labels=labels
        )
        masks, scores = logits.flatten(0, 1), scores.flatten()
        sure, possible = ((masks > offset).sum((1, 2)) for offset in (1, -1))
        share = (masks > 0).float().mean((1, 2))
        keep = (scores >= _LEAST_SCORE) & (sure >= _LEAST_STABILITY * possible.clamp(min=1))
        keep &= (share >= _LEAST_SHARE) & (share <= _MOST_SHARE)
        return masks[keep], scores[keep]

    def _named(self, logits: Float[Tensor, "h w"], image: Image.Image, name: str) -> NamedMask:
        size = (image.height, image.width)
        full = F.interpolate(logits[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        return NamedMask(name, Mask.of(full > 0))


def load_segmenter(
    source: str | Path = SAM2_LARGE.repository, *, device: torch.device | str = "cpu", offline: bool = False
) -> Segmenter:
    """SAM 2 (any size) or SAM 3 from a folder or hub repository in transformers' format.

    Raises:
        WeightsError: nothing can be read there, or it is another kind of network.
    """
    from transformers import Sam2Model, Sam3TrackerModel

    classes = {"sam2": Sam2Model, "sam3": Sam3TrackerModel}
    model = load_transformers(WeightsSource(source, offline), classes, "SAM 2 or SAM 3", records=RECORDS)
    return Segmenter(model.to(device))


def _whole_objects(masks: Bool[Tensor, "K h w"], scores: Float[Tensor, " K"]) -> list[int]:
    """Indices of masks that are not mostly inside a larger or better one, best score first."""
    areas = masks.sum((1, 2))
    kept: list[int] = []
    # Larger first, so that parts fall to their whole; between nearly equal masks the better score wins.
    order: Iterable[int] = sorted(range(len(masks)), key=lambda i: (-int(areas[i]), -float(scores[i])))
    for index in order:
        if all((masks[index] & masks[other]).sum() < _CONTAINED * areas[index] for other in kept):
            kept.append(index)
    return sorted(kept, key=lambda i: -float(scores[i]))
