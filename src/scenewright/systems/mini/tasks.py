"""The tasks that train the mini weights: the full systems' tasks on small pictures drawn from furnished scenes."""

from typing import Any

from scenewright.systems.iscene.training import build_iscene
from scenewright.systems.mini.distance_training import DistanceTask, DistanceTaskConfig, open_panoramas
from scenewright.systems.mini.pixel_aligned_training import (
    PixelAlignedTask,
    PixelAlignedTaskConfig,
    open_pixel_aligned,
)
from scenewright.systems.mini.proportions_training import ProportionsTask, ProportionsTaskConfig, open_proportions
from scenewright.systems.mini.room_network import RoomNetworkConfig
from scenewright.systems.mini.room_training import RoomTask, open_rooms
from scenewright.systems.mini.training_sets import open_iscene, open_objects, open_scenegen, open_shapes
from scenewright.systems.scenegen.training import build_scenegen
from scenewright.systems.single_object.tasks import structure_flow as structure_flow_task
from scenewright.systems.single_object.tasks import structure_vae as structure_vae_task
from scenewright.systems.task_kind import TaskKind
from scenewright.training.task import Task
from scenewright.weights.config import config_from_json

__all__ = [
    "genrecon_rooms",
    "iscene",
    "panorama_distance",
    "pixel_aligned",
    "proportions",
    "scenegen",
    "structure_flow",
    "structure_vae",
]


def structure_vae() -> TaskKind:
    return TaskKind(structure_vae_task().build, open_shapes)


def structure_flow() -> TaskKind:
    return TaskKind(structure_flow_task().build, open_objects)


def scenegen() -> TaskKind:
    return TaskKind(build_scenegen, open_scenegen)


def iscene() -> TaskKind:
    return TaskKind(build_iscene, open_iscene)


def pixel_aligned() -> TaskKind:
    def build(**model: Any) -> Task:
        return PixelAlignedTask(config_from_json(PixelAlignedTaskConfig, model))

    return TaskKind(build, open_pixel_aligned)


def proportions() -> TaskKind:
    def build(**model: Any) -> Task:
        return ProportionsTask(config_from_json(ProportionsTaskConfig, model))

    return TaskKind(build, open_proportions)


def panorama_distance() -> TaskKind:
    def build(**model: Any) -> Task:
        return DistanceTask(config_from_json(DistanceTaskConfig, model))

    return TaskKind(build, open_panoramas)


def genrecon_rooms() -> TaskKind:
    def build(**model: Any) -> Task:
        return RoomTask(config_from_json(RoomNetworkConfig, model))

    return TaskKind(build, open_rooms)
