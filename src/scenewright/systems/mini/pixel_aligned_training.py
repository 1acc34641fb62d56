"""Training the pixel-aligned network: objects at places that are off as predicted ones are, and what is solid of them.

Losses: cross-entropy and dice (V-Net, arXiv 1606.04797 equation 3) of occupancy.

Legend: B objects, P picture side, T tokens, R cells a side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scenewright.io.archives import read_npz_arrays
from scenewright.systems.mini.pictures import relit
from scenewright.systems.mini.pixel_aligned import ObjectView, PixelAlignedConfig, PixelAlignedOccupancy
from scenewright.systems.mini.sizes import RESOLUTION
from scenewright.systems.mini.training_sets import StoredRows, split_stems
from scenewright.systems.single_object.structure_training import silhouettes
from scenewright.training.loading import TrainingSet
from scenewright.training.task import Task

__all__ = ["PixelAlignedTask", "PixelAlignedTaskConfig", "PlacedObjects", "moved", "open_pixel_aligned"]

_CROSS_ENTROPY_WEIGHT = 4.0
_PACKED = ("own_pictures", "own_occluders", "own_solid", "crop_from_world", "centres", "sides")


@dataclass(frozen=True)
class PixelAlignedTaskConfig:
    """Standard deviations of the places' errors: centre (in sides), logarithm of the side, pitch in radians."""

    network: PixelAlignedConfig = field(default_factory=PixelAlignedConfig)
    centre: float = 0.04
    log_side: float = 0.06
    pitch: float = 0.02


class PixelAlignedTask(Task[Mapping[str, Tensor]]):
    """Occupancy from pictures; batches as `PlacedObjects` gives them."""

    def __init__(self, config: PixelAlignedTaskConfig) -> None:
        self.config = config
        self.network = PixelAlignedOccupancy(config.network)

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        target = batch["solid"].float()
        view = moved(view_of(batch), self.config.centre, self.config.log_side, self.config.pitch)
        logits = self.network(view).float()
        cross_entropy = F.binary_cross_entropy_with_logits(logits, target)
        solid = logits.sigmoid()
        both = (solid * target).sum((1, 2, 3))
        dice = (1 - (2 * both + 1) / (solid.sum((1, 2, 3)) + target.sum((1, 2, 3)) + 1)).mean()
        found, true = logits.detach() > 0, target > 0.5
        iou = (found & true).sum() / (found | true).sum().clamp(min=1)
        return {
            "loss": _CROSS_ENTROPY_WEIGHT * cross_entropy + dice,
            "cross_entropy": cross_entropy.detach(),
            "dice": dice.detach(),
            "iou": iou,
        }

    def sheet(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Truth and what the network says at the true places, each seen along the three axes."""
        return silhouettes([batch["solid"] > 0, self.network(view_of(batch)) > 0])


def view_of(batch: Mapping[str, Tensor]) -> ObjectView:
    """A batch's objects at their true places."""
    return ObjectView(
        batch["pictures"].float() / 255,
        batch["tokens"].float(),
        batch["crop_from_world"].float(),
        batch["centres"].float(),
        batch["sides"].float(),
    )


def moved(view: ObjectView, centre: float, log_side: float, pitch: float) -> ObjectView:
    """The objects where a generator might put them, drawn from torch's global generator.

    An error of the camera's pitch turns the world about the object; it is small, so that it is a shear of the cube's
    projection: a cell in front of the centre (y) moves up (z), one above it moves back.
    """
    count, device = len(view.sides), view.sides.device
    centres = view.centres + centre * view.sides[:, None] * torch.randn(count, 3, device=device)
    sides = view.sides * (log_side * torch.randn(count, device=device)).exp()
    angle = pitch * torch.randn(count, device=device)
    turn = torch.eye(3, device=device).repeat(count, 1, 1)
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
    # Points p of the cube appear at turn (p - centre) + centre.
    linear, shift = view.crop_from_world[:, :, :3], view.crop_from_world[:, :, 3]
    about = linear @ (centres - (turn @ centres[..., None])[..., 0])[..., None]
    crop_from_world = torch.cat([linear @ turn, shift[..., None] + about], -1)
    return replace(view, centres=centres, sides=sides, crop_from_world=crop_from_world)


class PlacedObjects(TrainingSet):
    """Objects in their scenes: `pictures` `[B, 5, P, P]` in bytes, `tokens`, `crop_from_world`, cube, `solid`.

    Exposure and white balance of the pictures vary from draw to draw.
    """

    def __init__(self, folder: Path, stems: Sequence[str]) -> None:
        self._tokens = StoredRows(folder / "own_tokens", stems)
        read: dict[str, list[np.ndarray]] = {name: [] for name in _PACKED}
        for stem in stems:
            arrays = read_npz_arrays(folder / "examples" / f"{stem}.npz")
            for name in _PACKED:
                read[name].append(arrays[name])
        self._arrays = {name: np.concatenate(parts) for name, parts in read.items()}

    def __len__(self) -> int:
        return len(self._arrays["sides"])

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.batch([index], [generator]).items()}

    def batch(self, indices: Sequence[int], generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        rows = {name: torch.from_numpy(self._arrays[name][list(indices)]) for name in _PACKED if name != "own_solid"}
        solid = np.unpackbits(self._arrays["own_solid"][list(indices)], axis=1).reshape(-1, *(RESOLUTION,) * 3)
        pictures = relit(rows["own_pictures"].permute(0, 3, 1, 2).float() / 255, generators[0])
        return {
            "pictures": torch.cat([(pictures * 255).round().byte(), rows["own_occluders"][:, None]], 1),
            "tokens": torch.from_numpy(self._tokens.take(indices)),
            "crop_from_world": rows["crop_from_world"].float(),
            "centres": rows["centres"],
            "sides": rows["sides"],
            "solid": torch.from_numpy(solid),
        }


def open_pixel_aligned(folder: Path, num_validation_files: int = 1) -> tuple[PlacedObjects, PlacedObjects | None]:
    """The encoded objects of a folder; the first files are kept for validation.

    Raises:
        InputError: nothing is encoded there.
    """
    stems = sorted({path.stem for path in (folder / "own_tokens").glob("scenes-*.npy")})
    train, validation = split_stems(stems, folder, num_validation_files)
    return PlacedObjects(folder, train), PlacedObjects(folder, validation) if validation else None
