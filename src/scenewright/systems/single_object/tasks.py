"""The tasks that train the backbones' networks; each has its data as shards (`prepare`)."""

from typing import Any

from scenewright.systems.single_object.autoencoder_training import (
    ShapeVAETask,
    ShapeVAETaskConfig,
    TextureVAETask,
    TextureVAETaskConfig,
)
from scenewright.systems.single_object.latent_training import build_latent_flow
from scenewright.systems.single_object.structure_training import (
    StructureVAETask,
    StructureVAETaskConfig,
    build_structure_flow,
)
from scenewright.systems.task_kind import TaskKind, tensor_sets, voxel_sets
from scenewright.training.task import Task
from scenewright.weights.config import config_from_json

__all__ = ["shape_flow", "shape_vae", "structure_flow", "structure_vae", "texture_flow", "texture_vae"]


def structure_vae() -> TaskKind:
    def build(**model: Any) -> Task:
        return StructureVAETask(config_from_json(StructureVAETaskConfig, model))

    return TaskKind(build, tensor_sets("occupancy"))


def structure_flow() -> TaskKind:
    return TaskKind(build_structure_flow, tensor_sets("latent", "cond"))


def shape_vae() -> TaskKind:
    def build(**model: Any) -> Task:
        return ShapeVAETask(config_from_json(ShapeVAETaskConfig, model))

    return TaskKind(build, voxel_sets("coords", "dual_vertices", "intersected"))


def texture_vae() -> TaskKind:
    def build(**model: Any) -> Task:
        return TextureVAETask(config_from_json(TextureVAETaskConfig, model))

    return TaskKind(build, voxel_sets("coords", "materials"))


def shape_flow() -> TaskKind:
    return TaskKind(build_latent_flow, tensor_sets("coords", "latent", "cond"))


def texture_flow() -> TaskKind:
    return TaskKind(build_latent_flow, tensor_sets("coords", "latent", "shape_latent", "cond"))
