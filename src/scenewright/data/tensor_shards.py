"""Training samples as tensors in shards: latents, conditions, voxels; what networks see, made once.

Each sample is one `tensors.safetensors` in a shard of `scenewright.data.shards`, without a batch axis. In a sample
with `coords` `[N, 3]`, that and every other tensor named in `PACKED_NAMES` has one row per voxel; batches concatenate
those (coords become (batch, x, y, z)) and stack everything else.

Legend: N voxels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from scenewright.data.shards import Sample, ShardReader, write_shard
from scenewright.errors import InputError

__all__ = ["PACKED_NAMES", "TensorShardSet", "write_tensor_shard"]

_MEMBER = "tensors.safetensors"
PACKED_NAMES = frozenset({"coords", "dual_vertices", "intersected", "materials", "latent", "shape_latent"})
"""Names with one row per voxel wherever a sample has `coords`."""


def write_tensor_shard(folder: str | Path, number: int, samples: Sequence[tuple[str, Mapping[str, Tensor]]]) -> Path:
    """Writes a shard of (key, tensors by name) samples; returns the tar's path.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    content = [
        Sample(key, {_MEMBER: save({name: t.detach().cpu().contiguous() for name, t in sorted(tensors.items())})})
        for key, tensors in samples
    ]
    return write_shard(folder, number, content)


class TensorShardSet:
    """The samples of a folder of shards, as a training set.

    Args:
        names: tensors to read (default: all).
        limit: only the first so many samples (0: all).

    Raises:
        InputError: there is no shard, one is cut off, or `names` are missing.
    """

    def __init__(self, folder: str | Path, *, names: Sequence[str] = (), limit: int = 0) -> None:
        self._reader = ShardReader(folder)
        self._names = tuple(names)
        self._keys = self._reader.keys[:limit] if limit else self._reader.keys

    def __len__(self) -> int:
        return len(self._keys)

    def tensors(self, index: int) -> dict[str, Tensor]:
        """All tensors of a sample."""
        key = self._keys[index]
        try:
            content = load(self._reader[key].files[_MEMBER])
        except (SafetensorError, KeyError, OSError) as error:
            raise InputError(
                f"Sample '{key}' in '{self._reader.folder}' is damaged or cut off; make its shard again."
            ) from error
        missing = [name for name in self._names if name not in content]
        if missing:
            raise InputError(
                f"Sample '{key}' in '{self._reader.folder}' has no '{missing[0]}' "
                f"(it has {', '.join(sorted(content))}); these are samples for another task."
            )
        return {name: content[name] for name in self._names} if self._names else content

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        return self.tensors(index)

    def collate(self, samples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """One batch; see the module's first lines."""
        packed = PACKED_NAMES if "coords" in samples[0] else frozenset()
        batch = {}
        for name in samples[0]:
            values = [sample[name] for sample in samples]
            if name == "coords":
                values = [torch.nn.functional.pad(v.int(), (1, 0), value=i) for i, v in enumerate(values)]
            batch[name] = torch.cat(values) if name in packed else torch.stack(values)
        return batch

    def batch(self, indices: Sequence[int], generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        return self.collate([self.sample(i, g) for i, g in zip(indices, generators, strict=True)])
