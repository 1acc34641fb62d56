"""Pictures and masks to SceneGen's condition: DINOv2 of cut-outs, masks and the whole picture, VGGT of the picture.

Source: Mengmouxu/SceneGen scenegen/pipelines/scenegen_image_to_scene.py.

Legend: N assets, K views, L tokens of one picture, C channels, s side of a prepared picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from scenewright.encoders.preprocess.crop import image_to_tensor
from scenewright.encoders.preprocess.trellis1 import prepare_object
from scenewright.encoders.vggt import VGGTAggregator
from scenewright.errors import InputError
from scenewright.progress import Advance, ignore
from scenewright.systems.scenegen.condition import SceneCondition, scene_condition
from scenewright.systems.scenegen.preprocess import asset_cut_out, prepare_frame, prepare_vggt_frame
from scenewright.types import Mask, View

__all__ = ["EncodedViews", "GeometryMode", "SceneEncoders", "asset_crops", "encode_views"]

GeometryMode = Literal["per_view", "joint"]
"""Whether VGGT sees each view alone, as the published code does, or all of them, as the paper describes."""

# Pictures encoded at once; bounds the memory of scenes with many assets.
_CHUNK = 8


@dataclass(frozen=True)
class SceneEncoders:
    """The frozen encoders and what is read with them; what is switched off is left out of the condition.

    `picture` takes RGB in [0, 1], `[B, 3, s, s]`, and gives the same number of tokens for every picture. Without
    `geometry` (VGGT) the scene's geometry is not read.
    """

    picture: nn.Module
    picture_size: int = 518
    geometry: VGGTAggregator | None = None
    reads_masks: bool = True
    reads_scene: bool = True

    def to(self, device: torch.device | str) -> "SceneEncoders":
        """Moves the encoders' parameters (in place) and returns this object."""
        self.picture.to(device)
        if self.geometry is not None:
            self.geometry.to(device)
        return self


@dataclass(frozen=True)
class EncodedViews:
    """Conditions of all views; for later stages, the cut-outs of the first view and the cut-outs' tokens of all."""

    conditions: tuple[SceneCondition, ...]
    asset_tokens: Float[Tensor, "K N L C"]
    pictures: tuple[Image.Image, ...]


@torch.no_grad()
def encode_views(
    views: Sequence[View],
    encoders: SceneEncoders,
    *,
    geometry_mode: GeometryMode = "per_view",
    advance: Advance = ignore,
) -> EncodedViews:
    """Conditions of views that show the same assets in the same order, on the encoders' device."""
    size, device = encoders.picture_size, next(encoders.picture.parameters()).device
    geometry = _geometry_tokens(views, encoders, geometry_mode)
    conditions, tokens, pictures = [], [], []
    for number, view in enumerate(views):
        assert view.objects is not None
        crops = asset_crops(view, size)
        pictures.append(crops)
        pixels = [image_to_tensor(crop) for crop in crops]
        count = len(pixels)
        if encoders.reads_masks:
            pixels += [prepare_frame(_mask_picture(mask), size=size) for mask in view.objects.regions]
        if encoders.reads_scene:
            pixels.append(prepare_frame(view.image, size=size))
        encoded = []
        for start in range(0, len(pixels), _CHUNK):
            encoded.append(encoders.picture(torch.stack(pixels[start : start + _CHUNK]).to(device)))
            advance(number * len(pixels) + min(len(pixels), start + _CHUNK), len(views) * len(pixels))
        rows = torch.cat(encoded)
        conditions.append(
            scene_condition(
                rows[:count],
                rows[count : 2 * count] if encoders.reads_masks else None,
                rows[-1:] if encoders.reads_scene else None,
                None if geometry is None else geometry[number : number + 1].to(rows.device),
            )
        )
        tokens.append(rows[:count])
    return EncodedViews(tuple(conditions), torch.stack(tokens), tuple(pictures[0]))


def asset_crops(view: View, size: int) -> list[Image.Image]:
    """Each asset on black in a square crop of `size` pixels.

    Raises:
        InputError: a mask has no pixel, or a single one.
    """
    assert view.objects is not None
    crops = []
    for name, mask in zip(view.objects.names, view.objects.regions, strict=True):
        try:
            crops.append(prepare_object(asset_cut_out(view.image, mask.dense()), size=size))
        except InputError as error:
            raise InputError(f"Object '{name}' cannot be cut out. {error}") from error
    return crops


def _geometry_tokens(
    views: Sequence[View], encoders: SceneEncoders, mode: GeometryMode
) -> Float[Tensor, "K Lv twice_C"] | None:
    """VGGT's last tokens of every view."""
    network = encoders.geometry
    if network is None:
        return None
    config, device = network.config, network.camera_token.device
    frames = torch.stack(
        [prepare_vggt_frame(view.image, size=config.image_size, patch_size=config.patch_size) for view in views]
    ).to(device)
    if mode == "joint":
        return network(frames[None])[0][0]
    return torch.cat([network(frame[None, None])[0][0] for frame in frames])


def _mask_picture(mask: Mask) -> Image.Image:
    """White on black, as the mask files are."""
    return Image.fromarray(mask.dense().numpy().astype("uint8") * 255)
