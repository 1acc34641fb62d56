"""The tasks that recipes name: how to build each from its [model] table, and its training set from a folder.

A new task is one function here and one line in `TASKS`; what it needs is imported when it is asked for.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenewright.errors import InputError
from scenewright.training.loading import TrainingSet
from scenewright.training.task import Task
from scenewright.weights.config import config_from_json

__all__ = ["TASKS", "TaskKind", "task_kind"]

Sets = tuple[TrainingSet, TrainingSet | None]


@dataclass(frozen=True)
class TaskKind:
    """`build(**model table)` makes the task; `open_data(folder, **data table)` the training and the validation set."""

    build: Callable[..., Task]
    open_data: Callable[..., Sets]


def task_kind(name: str) -> TaskKind:
    """The task of that name.

    Raises:
        InputError: there is none; the nearest is suggested.
    """
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(TASKS)}."
        raise InputError(f"There is no task '{name}'; {hint}")
    return TASKS[name]()


def tensor_sets(*names: str) -> Callable[..., Sets]:
    """Opens shards of tensors: those in the folder's `train` and `validation`, or in the folder itself."""

    def open_data(folder: Path, limit: int = 0) -> Sets:
        from scenewright.data.tensor_shards import TensorShardSet

        if not (folder / "train").is_dir():
            return TensorShardSet(folder, names=names, limit=limit), None
        train = TensorShardSet(folder / "train", names=names, limit=limit)
        held_out = folder / "validation"
        return train, TensorShardSet(held_out, names=names) if held_out.is_dir() else None

    return open_data


def voxel_sets(*names: str) -> Callable[..., Sets]:
    """As `tensor_sets`; a `crop` above 0 takes a window of so many voxels a side of every sample."""

    def open_data(folder: Path, limit: int = 0, crop: int = 0) -> Sets:
        from scenewright.data.voxel_crops import VoxelCrops

        train, held_out = tensor_sets(*names)(folder, limit)
        if not crop:
            return train, held_out
        return VoxelCrops(train, crop), None if held_out is None else VoxelCrops(held_out, crop)  # type: ignore[arg-type]

    return open_data


def _structure_vae() -> TaskKind:
    from scenewright.systems.single_object.structure_training import StructureVAETask, StructureVAETaskConfig

    def build(**model: Any) -> Task:
        return StructureVAETask(config_from_json(StructureVAETaskConfig, model))

    return TaskKind(build, tensor_sets("occupancy"))


def _structure_flow() -> TaskKind:
    from scenewright.systems.single_object.structure_training import build_structure_flow

    return TaskKind(build_structure_flow, tensor_sets("latent", "cond"))


def _shape_vae() -> TaskKind:
    from scenewright.systems.single_object.autoencoder_training import ShapeVAETask, ShapeVAETaskConfig

    def build(**model: Any) -> Task:
        return ShapeVAETask(config_from_json(ShapeVAETaskConfig, model))

    return TaskKind(build, voxel_sets("coords", "dual_vertices", "intersected"))


def _texture_vae() -> TaskKind:
    from scenewright.systems.single_object.autoencoder_training import TextureVAETask, TextureVAETaskConfig

    def build(**model: Any) -> Task:
        return TextureVAETask(config_from_json(TextureVAETaskConfig, model))

    return TaskKind(build, voxel_sets("coords", "materials"))


def _shape_flow() -> TaskKind:
    from scenewright.systems.single_object.latent_training import build_latent_flow

    return TaskKind(build_latent_flow, tensor_sets("coords", "latent", "cond"))


def _texture_flow() -> TaskKind:
    from scenewright.systems.single_object.latent_training import build_latent_flow

    return TaskKind(build_latent_flow, tensor_sets("coords", "latent", "shape_latent", "cond"))


def _mini_structure_vae() -> TaskKind:
    from scenewright.systems.mini.training_sets import open_shapes

    return TaskKind(_structure_vae().build, open_shapes)


def _mini_structure_flow() -> TaskKind:
    from scenewright.systems.mini.training_sets import open_objects

    return TaskKind(_structure_flow().build, open_objects)


def _scenegen_structure() -> TaskKind:
    from scenewright.systems.scenegen.training import QuerySet, build_scenegen

    def open_data(folder: Path, limit: int = 0) -> Sets:
        train, held_out = tensor_sets("latent", "world_from_object", "cond")(folder, limit)
        return QuerySet(train), None if held_out is None else QuerySet(held_out)  # type: ignore[arg-type]

    return TaskKind(build_scenegen, open_data)


def _iscene_structure() -> TaskKind:
    from scenewright.systems.iscene.training import SlotSet, build_iscene

    def open_data(folder: Path, limit: int = 0, with_canonical: bool = False, single_object_share: float = 0.0) -> Sets:
        names = ["latent", "cond", "scene_latent", "scene_cond"]
        if with_canonical or single_object_share:
            names += ["own_latent", "own_cond"]
        train, held_out = (
            None if scenes is None else SlotSet(scenes, with_canonical=with_canonical, single_object_share=share)
            for scenes, share in zip(tensor_sets(*names)(folder, limit), (single_object_share, 0.0), strict=True)
        )
        assert train is not None
        return train, held_out

    return TaskKind(build_iscene, open_data)


def _mini_scenegen() -> TaskKind:
    from scenewright.systems.mini.training_sets import open_scenegen

    return TaskKind(_scenegen_structure().build, open_scenegen)


def _mini_iscene() -> TaskKind:
    from scenewright.systems.mini.training_sets import open_iscene

    return TaskKind(_iscene_structure().build, open_iscene)


def _mini_pixel_aligned() -> TaskKind:
    from scenewright.systems.mini.pixel_aligned_training import (
        PixelAlignedTask,
        PixelAlignedTaskConfig,
        open_pixel_aligned,
    )

    def build(**model: Any) -> Task:
        return PixelAlignedTask(config_from_json(PixelAlignedTaskConfig, model))

    return TaskKind(build, open_pixel_aligned)


TASKS: Mapping[str, Callable[[], TaskKind]] = {
    "iscene_structure": _iscene_structure,
    "mini_iscene": _mini_iscene,
    "mini_pixel_aligned": _mini_pixel_aligned,
    "mini_scenegen": _mini_scenegen,
    "mini_structure_flow": _mini_structure_flow,
    "mini_structure_vae": _mini_structure_vae,
    "scenegen_structure": _scenegen_structure,
    "shape_flow": _shape_flow,
    "shape_vae": _shape_vae,
    "structure_flow": _structure_flow,
    "structure_vae": _structure_vae,
    "texture_flow": _texture_flow,
    "texture_vae": _texture_vae,
}
