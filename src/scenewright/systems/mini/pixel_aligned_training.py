"""Training the pixel-aligned network: objects at places that are off as predicted ones are, and what is solid of them.

Losses: cross-entropy and dice (V-Net, arXiv 1606.04797 equation 3) of occupancy. The prior of some objects is hidden:
the flow that made it saw the models of the training set, so that it is better there than elsewhere.

Legend: B objects, P picture side, T tokens, R cells a side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.camera.cube_projection import eye_of
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
# Legs are few cells, and without them a table has another size.
_THIN_WEIGHT = 3.0
_UNKNOWN = 0.5
# Degrees of freedom of the error along the line of sight: most distances are nearly right, some are far off.
_TAIL = 4
_PACKED = ("own_pictures", "own_occluders", "own_solid", "crop_from_world", "centres", "sides")


@dataclass(frozen=True)
class PixelAlignedTaskConfig:
    """Usual errors of places, and the share of objects whose prior is hidden.

    Attributes:
        along: of the distance from the eye, as a share of it; the size goes with it.
        across: of the centre, in sides.
        log_side: of the logarithm of the side, beside what goes with the distance.
        pitch: of the camera, in radians.
    """

    network: PixelAlignedConfig = field(default_factory=PixelAlignedConfig)
    along: float = 0.03
    across: float = 0.035
    log_side: float = 0.11
    pitch: float = 0.015
    hidden_share: float = 0.3


class PixelAlignedTask(Task[Mapping[str, Tensor]]):
    """Occupancy from pictures; batches as `PlacedObjects` gives them."""

    def __init__(self, config: PixelAlignedTaskConfig) -> None:
        self.config = config
        self.network = PixelAlignedOccupancy(config.network)

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        target = batch["solid"].float()
        view = view_of(batch, self.config)
        shown = torch.rand(len(target), 1, 1, 1, device=target.device) >= self.config.hidden_share
        view = replace(view, prior=torch.where(shown, view.prior, _UNKNOWN))
        logits = self.network(view).float()
        weight = 1 + _THIN_WEIGHT * thin_parts(target)
        cross_entropy = F.binary_cross_entropy_with_logits(logits, target, weight)
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


def thin_parts(solid: Float[Tensor, "B R R R"]) -> Float[Tensor, "B R R R"]:
    """Solid cells that no solid cube of 3 x 3 x 3 cells covers, as ones."""
    kept = F.max_pool3d(1 - F.max_pool3d(1 - solid[:, None], 3, 1, 1), 3, 1, 1)[:, 0]
    return solid * (1 - kept)


def view_of(batch: Mapping[str, Tensor], errors: PixelAlignedTaskConfig | None = None) -> ObjectView:
    """A batch's objects at their true places, or where a generator might put them (`moved`)."""
    crop_from_world, centres, sides = (batch[name].float() for name in ("crop_from_world", "centres", "sides"))
    if errors is not None:
        crop_from_world, centres, sides = moved(crop_from_world, centres, sides, errors)
    return ObjectView(
        batch["pictures"].float() / 255,
        batch["tokens"].float(),
        torch.cat(
            [
                crop_from_world[:, :, :3] * sides[:, None, None],
                crop_from_world[:, :, :3] @ centres[..., None] + crop_from_world[:, :, 3:],
            ],
            -1,
        ),
        batch["prior"].float() / 255,
    )


def moved(
    crop_from_world: Float[Tensor, "B 3 4"],
    centres: Float[Tensor, "B 3"],
    sides: Float[Tensor, " B"],
    errors: PixelAlignedTaskConfig,
) -> tuple[Float[Tensor, "B 3 4"], Float[Tensor, "B 3"], Float[Tensor, " B"]]:
    """Cameras and cubes with the usual errors, drawn from torch's global generator.

    An error of the camera's pitch turns the world about the object; it is small, so that it is a shear of the cube's
    projection: a cell in front of the centre (y) moves up (z), one above it moves back.
    """
    count, device = len(sides), sides.device
    linear, shift = crop_from_world[:, :, :3], crop_from_world[:, :, 3]
    eye = eye_of(crop_from_world).to(shift.dtype)
    tail = torch.randn(count, _TAIL, device=device).square().mean(1).sqrt()
    farther = (errors.along * torch.randn(count, device=device) / tail).clamp(-0.5, 1).exp()
    centres = eye + farther[:, None] * (centres - eye)
    centres = centres + errors.across * sides[:, None] * torch.randn(count, 3, device=device)
    sides = sides * farther * (errors.log_side * torch.randn(count, device=device)).exp()
    angle = errors.pitch * torch.randn(count, device=device)
    turn = torch.eye(3, device=device).repeat(count, 1, 1)
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
    # Points p of the cube appear at turn (p - centre) + centre.
    about = linear @ (centres - (turn @ centres[..., None])[..., 0])[..., None]
    return torch.cat([linear @ turn, shift[..., None] + about], -1), centres, sides


class PlacedObjects(TrainingSet):
    """Objects in their scenes: `pictures` `[B, 5, P, P]` in bytes, `tokens`, `crop_from_world`, cube, `prior`, `solid`.

    Exposure and white balance of the pictures vary from draw to draw.
    """

    def __init__(self, folder: Path, stems: Sequence[str]) -> None:
        self._tokens, self._prior = (StoredRows(folder / name, stems) for name in ("own_tokens", "own_prior"))
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
            "prior": torch.from_numpy(self._prior.take(indices)),
            "solid": torch.from_numpy(solid),
        }


def open_pixel_aligned(folder: Path, num_validation_files: int = 1) -> tuple[PlacedObjects, PlacedObjects | None]:
    """The encoded objects of a folder; the first files are kept for validation.

    Raises:
        InputError: nothing is encoded there.
    """
    stems = sorted({path.stem for path in (folder / "own_prior").glob("scenes-*.npy")})
    train, validation = split_stems(stems, folder, num_validation_files)
    return PlacedObjects(folder, train), PlacedObjects(folder, validation) if validation else None
