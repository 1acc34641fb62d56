"""Windows of voxelised models: many small samples in a step instead of a few whole models.

Legend: N voxels of a model, K of them in the window.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from scenewright.data.tensor_shards import PACKED_NAMES, TensorShardSet
from scenewright.errors import InputError

__all__ = ["VoxelCrops"]

# A multiple of what any autoencoder halves, so that a window's voxels have the same parents as in the whole model.
_STEP = 16


class VoxelCrops:
    """A cubic window of every sample, moved to the origin.

    Args:
        source: samples with `coords` `[N, 3]` and other tensors with a row per voxel.
        side: of the window, in voxels, a multiple of 16. The window always holds a voxel drawn at random.

    Raises:
        InputError: `side` is no positive multiple of 16.
    """

    def __init__(self, source: TensorShardSet, side: int) -> None:
        if side <= 0 or side % _STEP:
            raise InputError(f"Expected [data] crop to be a positive multiple of {_STEP} voxels, got {side}.")
        self._source, self._side = source, side

    def __len__(self) -> int:
        return len(self._source)

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        """The voxels of the window: `coords` `[K, 3]` from its corner, and the other tensors' rows."""
        tensors = self._source.sample(index, generator)
        coords = tensors["coords"]
        if not len(coords):
            return tensors
        centre = coords[torch.randint(len(coords), (), generator=generator)]
        before = torch.randint(self._side // _STEP, (3,), generator=generator)
        corner = (centre // _STEP - before).clamp(min=0) * _STEP
        inside = ((coords >= corner) & (coords < corner + self._side)).all(1)
        rows = {name: tensor[inside] if name in PACKED_NAMES else tensor for name, tensor in tensors.items()}
        return rows | {"coords": rows["coords"] - corner.to(coords.dtype)}

    def collate(self, samples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """One batch, as of whole models."""
        return self._source.collate(samples)

    def batch(self, indices: Sequence[int], generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        return self.collate([self.sample(i, g) for i, g in zip(indices, generators, strict=True)])
