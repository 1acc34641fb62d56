"""Facts of each published weight file: where it lives, its hash, its network, its statistics, its licence.

Tables of records stand beside the networks they feed (`backbones/*/weights.py`, `encoders/records.py`,
`systems/*/weights.py`); `scenewright list` prints them all. Facts come from the publishers' repositories and model
cards; None means that no trustworthy source was found, never a guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from scenewright.weights.keymap import IDENTITY, KeyMap

__all__ = ["ImageStatistics", "LatentStatistics", "WeightsRecord", "imagenet_statistics"]


@dataclass(frozen=True)
class ImageStatistics:
    """The form in which an encoder reads pictures: RGB in [0, 1] minus `mean` over `std`, `size_px` on a side."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size_px: int


@dataclass(frozen=True)
class LatentStatistics:
    """Normalisation of a latent, per channel: normalised = (latent - mean) / std."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError(f"Expected as many means as deviations, got {len(self.mean)} and {len(self.std)}.")


@dataclass(frozen=True)
class WeightsRecord:
    """One published weight file.

    `repository` is a hub repository (or the publisher's own server, see `url`), `file` a path inside it.
    `architecture` and `arguments` are the published class name and constructor arguments.
    """

    name: str
    repository: str
    file: str
    architecture: str
    licence: str
    paper: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    revision: str = "main"
    sha256: str | None = None
    size_bytes: int | None = None
    num_parameters: int | None = None
    stored_dtype: str = ""
    image: ImageStatistics | None = None
    latent: LatentStatistics | None = None
    keymap: KeyMap = IDENTITY
    ignore: tuple[str, ...] = ()
    url: str = ""
    is_gated: bool = False
    is_non_commercial: bool = False

    @property
    def config_file(self) -> str:
        """The JSON published beside the weights: `{"name": class, "args": arguments}`."""
        return str(PurePosixPath(self.file).with_suffix(".json"))


def imagenet_statistics(size_px: int) -> ImageStatistics:
    """The statistics of ImageNet, which every image encoder here was trained with."""
    return ImageStatistics(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size_px=size_px)
