"""The meaning of a recipe's task name: a task from its [model] table, and its sets from a folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scenewright.data.tensor_shards import TensorShardSet
from scenewright.data.voxel_crops import VoxelCrops
from scenewright.training.loading import TrainingSet
from scenewright.training.task import Task

__all__ = ["Sets", "TaskKind", "tensor_sets", "voxel_sets"]

Sets = tuple[TrainingSet, TrainingSet | None]


@dataclass(frozen=True)
class TaskKind:
    """`build(**model table)` makes the task; `open_data(folder, **data table)` the training and the validation set."""

    build: Callable[..., Task]
    open_data: Callable[..., Sets]


def tensor_sets(*names: str) -> Callable[..., Sets]:
    """Opens shards of tensors: those in the folder's `train` and `validation`, or in the folder itself."""

    def open_data(folder: Path, limit: int = 0) -> Sets:
        if not (folder / "train").is_dir():
            return TensorShardSet(folder, names=names, limit=limit), None
        train = TensorShardSet(folder / "train", names=names, limit=limit)
        held_out = folder / "validation"
        return train, TensorShardSet(held_out, names=names) if held_out.is_dir() else None

    return open_data


def voxel_sets(*names: str) -> Callable[..., Sets]:
    """As `tensor_sets`; a `crop` above 0 takes a window of so many voxels a side of every sample."""

    def open_data(folder: Path, limit: int = 0, crop: int = 0) -> Sets:
        train, held_out = tensor_sets(*names)(folder, limit)
        if not crop:
            return train, held_out
        return VoxelCrops(train, crop), None if held_out is None else VoxelCrops(held_out, crop)  # type: ignore[arg-type]

    return open_data
