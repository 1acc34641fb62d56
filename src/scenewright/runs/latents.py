"""Latents of prepared models by encoders that files hold: `scenewright prepare latents`, and a job of batches."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from scenewright.backbones.structure_vae import StructureEncoder
from scenewright.backbones.trellis2.shape_vae import ShapeEncoder
from scenewright.backbones.trellis2.texture_vae import TextureEncoder
from scenewright.encoders.weights import encoder_from_pretrained
from scenewright.errors import InputError
from scenewright.progress import Advance, ignore
from scenewright.recipes.results import encoder_of
from scenewright.systems.single_object.latent_preparation import (
    PictureEncoder,
    encode_structures,
    encode_tokens,
    read_statistics,
)

__all__ = ["LatentPreparation", "prepare_latents"]

# Side of the pictures in pixels and the margin around their object, as each encoder's flows were trained.
_PICTURES: dict[str, tuple[int, float]] = {"dinov2": (518, 1.2), "dinov3": (512, 1.0)}


@dataclass(frozen=True)
class LatentPreparation:
    """The choice of encoders for the samples of a flow.

    Attributes:
        source: folder of `prepare assets` with pictures.
        structure, shape, texture: encoders: a run's folder, or a published .safetensors with its .json; either
            `structure`, or `shape` with or without `texture`.
        statistics: statistics.json to normalise with; None measures them.
        image_encoder: dinov2 (TRELLIS) or dinov3 (TRELLIS.2).
        encoder_weights: its weight file or folder; None is what was published.

    Raises:
        InputError: another combination of encoders.
    """

    source: str
    structure: str | None = None
    shape: str | None = None
    texture: str | None = None
    statistics: str | None = None
    image_encoder: Literal["dinov2", "dinov3"] = "dinov2"
    encoder_weights: str | None = None

    def __post_init__(self) -> None:
        """
        Raises:
            InputError: another combination of encoders.
        """
        if (self.structure is None) == (self.shape is None) or (self.texture is not None and self.shape is None):
            raise InputError("Give either --structure, or --shape (with --texture for texture flows).")
        if self.image_encoder not in _PICTURES:
            raise InputError(f"Expected --image-encoder {' or '.join(_PICTURES)}, got '{self.image_encoder}'.")


def prepare_latents(
    preparation: LatentPreparation,
    out: str | Path,
    *,
    device: torch.device | str = "cpu",
    progress: Advance = ignore,
) -> int:
    """Latents and condition tokens, one sample per picture, in `out`; returns the number of samples.

    Args:
        progress: receives (models done, models in all) of each part.

    Raises:
        InputError: the assets cannot be read, or were prepared without pictures.
        WeightsError: an encoder cannot be read.
    """
    network = encoder_from_pretrained(preparation.image_encoder, preparation.encoder_weights, device=device)
    pictures = PictureEncoder(network, *_PICTURES[preparation.image_encoder])
    if preparation.structure is not None:
        encoder = encoder_of(preparation.structure, StructureEncoder).to(device)
        return encode_structures(preparation.source, out, encoder, pictures, progress=progress)
    assert preparation.shape is not None
    texture, statistics = preparation.texture, preparation.statistics
    return encode_tokens(
        preparation.source,
        out,
        encoder_of(preparation.shape, ShapeEncoder).to(device),
        pictures,
        texture_encoder=None if texture is None else encoder_of(texture, TextureEncoder).to(device),
        statistics=None if statistics is None else read_statistics(statistics),
        progress=progress,
    )
