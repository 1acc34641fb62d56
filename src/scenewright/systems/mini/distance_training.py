"""Training mini's distance network: panoramas of made rooms, turned at will, mirrored and lit anew.

Losses: absolute error of the logarithm of the distance, and of its differences between neighbours at four scales
(MegaDepth, arXiv 1804.00607 equation 4), so that edges are sharp and walls flat; cross-entropy of what is furniture.
Rays count by the solid angle of their pixel, and a little everywhere.

Legend: B panoramas, H, W = 2 H picture size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from scenewright.encoders.panorama_distance import HEIGHT, PanoramaDistance, PanoramaDistanceConfig
from scenewright.io.archives import read_npz_arrays
from scenewright.systems.mini.pictures import relit
from scenewright.systems.mini.training_sets import split_files
from scenewright.training.loading import TrainingSet
from scenewright.training.task import Task

__all__ = ["DistanceTask", "DistanceTaskConfig", "RoomPanoramas", "open_panoramas"]

_SCALES = (1, 2, 4, 8)
_POLE_WEIGHT = 0.2
_NOISE = 0.02
_NEAR_M = 0.7


@dataclass(frozen=True)
class DistanceTaskConfig:
    """The network, and how much differences between neighbours and the furniture count."""

    network: PanoramaDistanceConfig = field(default_factory=PanoramaDistanceConfig)
    edge_weight: float = 1.0
    furniture_weight: float = 0.3


class DistanceTask(Task[Mapping[str, Tensor]]):
    """Distances from pictures; batches as `RoomPanoramas` gives them."""

    def __init__(self, config: DistanceTaskConfig) -> None:
        self.config = config
        self.network = PanoramaDistance(config.network)

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        distance = batch["distance"].float()
        known = distance > 0
        found = self.network(batch["pictures"].float() / 255).float()
        error = torch.where(known, found[:, 0] - distance.clamp(min=1e-3).log(), 0.0)
        height = distance.shape[1]
        elevation = torch.pi * (0.5 - (torch.arange(height, device=distance.device) + 0.5) / height)
        weight = (elevation.cos() + _POLE_WEIGHT)[None, :, None] * known
        absolute = (weight * error.abs()).sum() / weight.sum()
        edges = torch.stack([_differences(error, weight, scale) for scale in _SCALES]).sum()
        is_furniture = batch["instance"] > 0
        entropy = F.binary_cross_entropy_with_logits(found[:, 1], is_furniture.float(), weight) / weight.mean()
        size = error.detach().abs()[known]
        said = found[:, 1].detach() > 0
        return {
            "loss": absolute + self.config.edge_weight * edges + self.config.furniture_weight * entropy,
            "absolute": absolute.detach(),
            "median": size.median(),
            "within_5_percent": (size < 0.05).float().mean(),
            "furniture_iou": (said & is_furniture).sum() / (said | is_furniture).sum().clamp(min=1),
        }

    def sheet(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Pictures, true distances and the network's, brightest nearby, and what it holds for furniture."""
        found = self.network(batch["pictures"].float() / 255)
        maps = [_NEAR_M / batch["distance"].clamp(min=_NEAR_M), _NEAR_M / found[:, 0].exp(), found[:, 1].sigmoid()]
        shades = [values.clamp(0, 1)[:, None].expand(-1, 3, -1, -1) for values in maps]
        rows = torch.cat([batch["pictures"].float() / 255, *shades], 3)
        return (rows.movedim(1, -1).flatten(0, 1) * 255).byte()


def _differences(error: Float[Tensor, "B H W"], weight: Float[Tensor, "B H W"], scale: int) -> Tensor:
    coarse, kept = error[:, ::scale, ::scale], weight[:, ::scale, ::scale]
    across, both = coarse - coarse.roll(1, 2), torch.minimum(kept, kept.roll(1, 2))
    down, pair = coarse[:, 1:] - coarse[:, :-1], torch.minimum(kept[:, 1:], kept[:, :-1])
    return ((across.abs() * both).sum() + (down.abs() * pair).sum()) / (both.sum() + pair.sum())


class RoomPanoramas(TrainingSet):
    """Panoramas of made rooms: `pictures` `[B, 3, H, W]`, `distance` `[B, H, W]` in metres (0 unknown), `instance`.

    Args:
        height: of the pictures, a divisor of those in the files.
        is_fixed: as they are in the files (for validation).
    """

    def __init__(self, files: Sequence[Path], height: int = HEIGHT, *, is_fixed: bool = False) -> None:
        arrays = [read_npz_arrays(path) for path in files]
        self._rgb = np.concatenate([part["rgb"] for part in arrays])
        self._distance_mm = np.concatenate([part["distance_mm"] for part in arrays])
        self._instance = np.concatenate([part["instance"] for part in arrays])
        self._step, self._is_fixed = self._rgb.shape[1] // height, is_fixed

    def __len__(self) -> int:
        return len(self._rgb)

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        step = self._step
        rgb = F.avg_pool2d(torch.from_numpy(self._rgb[index]).movedim(-1, 0).float() / 255, step)
        distance = torch.from_numpy(self._distance_mm[index, ::step, ::step].astype(np.float32)) / 1000
        instance = torch.from_numpy(self._instance[index, ::step, ::step])
        if not self._is_fixed:
            turn = int(torch.randint(rgb.shape[2], (), generator=generator))
            mirrored = bool(torch.rand((), generator=generator) < 0.5)
            rgb, distance, instance = (_turned(values, turn, mirrored) for values in (rgb, distance, instance))
            rgb = relit(torch.cat([rgb, torch.ones_like(rgb[:1])])[None], generator)[0, :3]
            noise = _NOISE * torch.rand((), generator=generator) * torch.randn(rgb.shape, generator=generator)
            rgb = (rgb + noise).clamp(0, 1)
        return {
            "pictures": (rgb * 255).round().byte(),
            "distance": distance.contiguous(),
            "instance": instance.contiguous(),
        }


def _turned(values: Tensor, turn: int, mirrored: bool) -> Tensor:
    values = values.roll(turn, -1)
    return values.flip(-1) if mirrored else values


def open_panoramas(
    folder: Path, height: int = HEIGHT, num_validation_files: int = 1
) -> tuple[RoomPanoramas, RoomPanoramas | None]:
    """The made rooms of a folder; the first files are kept for validation.

    Raises:
        InputError: there are none.
    """
    train, held_out = split_files(folder, "panoramas-*.npz", num_validation_files)
    validation = RoomPanoramas(held_out, height, is_fixed=True) if held_out else None
    return RoomPanoramas(train, height), validation
