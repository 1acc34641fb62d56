"""Training the network of proportions: objects whose ground is off as fitted ones are, and how long their sides are.

Loss: the negative log likelihood of Laplace distributions, so that the network says how sure it is. What an object
stands on is known in use from places that were fitted, which are wrong for some; the ground of training is, too.

Legend: B objects, P picture side, T tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.camera.cube_projection import eye_of
from scenewright.io.archives import read_npz_arrays
from scenewright.systems.mini.proportions import Outlines, ProportionsConfig, ProportionsNetwork, outlines_of, sides_of
from scenewright.systems.mini.sizes import RESOLUTION
from scenewright.systems.mini.training_sets import StoredRows, split_stems
from scenewright.training.loading import TrainingSet
from scenewright.training.task import Task

__all__ = ["ProportionsTask", "ProportionsTaskConfig", "SizedObjects", "open_proportions", "target_of"]

# What was seen badly says nothing of the others.
_FARTHEST = 3.0


@dataclass(frozen=True)
class ProportionsTaskConfig:
    """Usual errors of the ground that objects stand on, in metres, and noise of the tokens in their own deviations.

    Attributes:
        ground: of most grounds, at most.
        floor_share: how many objects are said to stand on the floor, whatever they stand on.
        lost_share, lost: how many grounds are far off, and by how much.
    """

    network: ProportionsConfig = field(default_factory=ProportionsConfig)
    ground: float = 0.01
    floor_share: float = 0.1
    lost_share: float = 0.12
    lost: float = 0.08
    token_noise: float = 0.25


class ProportionsTask(Task[Mapping[str, Tensor]]):
    """Sides from tokens and outlines; batches as `SizedObjects` gives them."""

    def __init__(self, config: ProportionsTaskConfig) -> None:
        self.config = config
        self.network = ProportionsNetwork(config.network)

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        ground, tokens = batch["ground"].float(), batch["tokens"].float()
        if self.network.training:
            ground = self._off(ground)
            tokens = tokens + self.config.token_noise * tokens.std() * torch.randn_like(tokens)
        outlines = outlines_in(batch, ground)
        target = target_of(batch, outlines, ground)
        said, log_spread = self.network(tokens, outlines.clues)
        off = (said.float() - target.clamp(-_FARTHEST, _FARTHEST)).abs()
        log_spread = log_spread.float()
        names = ("width", "depth", "height", "distance")
        return {
            "loss": (off * (-log_spread).exp() + log_spread).sum(1).mean(),
            **dict(zip(names, off.detach().mean(0), strict=True)),
        }

    def _off(self, ground: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        config, chance = self.config, torch.rand_like(ground)
        near = ground + config.ground * torch.rand_like(ground) * torch.randn_like(ground)
        far = ground + config.lost * torch.randn_like(ground)
        is_lost = chance < config.floor_share + config.lost_share
        return torch.where(chance < config.floor_share, 0.0, torch.where(is_lost, far, near))


def outlines_in(batch: Mapping[str, Tensor], ground: Float[Tensor, " B"]) -> Outlines:
    """The outlines of a batch's objects on a ground."""
    masks, occluders = (batch[name].float() / 255 for name in ("masks", "occluders"))
    return outlines_of(masks, occluders, batch["crop_from_world"].float(), ground)


def target_of(batch: Mapping[str, Tensor], outlines: Outlines, ground: Float[Tensor, " B"]) -> Float[Tensor, "B 4"]:
    """Logarithms of the true sides and distance, relative to the outlines'."""
    eye = eye_of(batch["crop_from_world"])
    above = (eye[:, 2] - ground).clamp(min=1e-3)
    away = (batch["centres"][:, 1] - eye[:, 1]).clamp(min=1e-3)
    lengths = torch.cat([batch["sizes"], away[:, None]], 1)
    return ((lengths / above[:, None]).log() - outlines.log_sides).float()


class SizedObjects(TrainingSet):
    """Objects: `masks` and `occluders` `[B, P, P]` in bytes, `tokens`, `crop_from_world`, `sizes`, `centres`, `ground`.

    `sizes` are width, depth and height in metres, `ground` the height of what an object stands on.
    """

    def __init__(self, folder: Path, stems: Sequence[str]) -> None:
        self._tokens = StoredRows(folder / "own_tokens", stems)
        read: dict[str, list[np.ndarray]] = {}
        for stem in stems:
            arrays = read_npz_arrays(folder / "examples" / f"{stem}.npz")
            grids = torch.from_numpy(np.unpackbits(arrays["own_occupancy"], axis=1)).reshape(-1, *(RESOLUTION,) * 3)
            cells = [grid.nonzero() for grid in grids]
            sides = torch.from_numpy(arrays["sides"]).double()
            lowest = torch.stack([shell[:, 2].amin() for shell in cells])
            values = {
                "masks": arrays["own_pictures"][..., 3],
                "occluders": arrays["own_occluders"],
                "crop_from_world": arrays["crop_from_world"].astype(np.float64),
                "sizes": torch.stack([sides_of(shell, RESOLUTION) for shell in cells]).numpy() * sides[:, None].numpy(),
                "centres": arrays["centres"].astype(np.float64),
                "ground": arrays["centres"][:, 2] + (sides * (lowest / RESOLUTION - 0.5)).numpy(),
            }
            for name, value in values.items():
                read.setdefault(name, []).append(value)
        self._arrays = {name: np.concatenate(parts) for name, parts in read.items()}

    def __len__(self) -> int:
        return len(self._arrays["ground"])

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.batch([index], [generator]).items()}

    def batch(self, indices: Sequence[int], generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        rows = {name: torch.from_numpy(values[list(indices)]) for name, values in self._arrays.items()}
        return {**rows, "tokens": torch.from_numpy(self._tokens.take(indices))}


def open_proportions(folder: Path, num_validation_files: int = 1) -> tuple[SizedObjects, SizedObjects | None]:
    """The encoded objects of a folder; the first files are kept for validation.

    Raises:
        InputError: nothing is encoded there.
    """
    stems = sorted(path.stem for path in (folder / "own_tokens").glob("scenes-*.npy"))
    train, validation = split_stems(stems, folder, num_validation_files)
    return SizedObjects(folder, train), SizedObjects(folder, validation) if validation else None
