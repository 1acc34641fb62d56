"""The tasks that train InSpace's networks, on shards of rooms (`room_sets`)."""

from scenewright.systems.inspace.room_sets import open_boxes, open_details
from scenewright.systems.inspace.training import build_boxes, build_detail, build_structure
from scenewright.systems.task_kind import TaskKind, tensor_sets

__all__ = ["boxes", "detail", "structure"]


def structure() -> TaskKind:
    return TaskKind(build_structure, tensor_sets("latent", "tokens", "camera"))


def boxes() -> TaskKind:
    return TaskKind(build_boxes, open_boxes)


def detail() -> TaskKind:
    return TaskKind(build_detail, open_details)
