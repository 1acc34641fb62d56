"""Facts of objects and rooms beyond geometry, as plain JSON in scene files: confidence, role, category, box, room.

Values that are a type's default are left out. Reading takes what is well formed and leaves the rest at its default:
these facts come from anybody's files and are no reason to refuse one.

Frame: world, z up, as in `types` (JSON is ours, so that it is not turned to a file's frame).
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.types import Opening, OrientedBox, Role, Room, SceneObject

__all__ = ["object_facts", "object_json", "read_matrix", "read_room", "room_json"]


def object_json(item: SceneObject) -> dict[str, Any]:
    """The object's facts; empty where all are defaults."""
    facts: dict[str, Any] = {}
    if item.confidence is not None:
        facts["confidence"] = item.confidence
    if item.role != "object":
        facts["role"] = item.role
    if item.category is not None:
        facts["category"] = item.category
    if item.box is not None:
        facts["box"] = asdict(item.box)
    return facts


def object_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `SceneObject` that `object_json` wrote."""
    confidence, category, role = facts.get("confidence"), facts.get("category"), facts.get("role")
    return {
        "confidence": float(confidence) if isinstance(confidence, (int, float)) else None,
        "role": role if role in get_args(Role) else "object",
        "category": category if isinstance(category, str) else None,
        "box": _read_box(facts.get("box")),
    }


def room_json(room: Room) -> dict[str, Any]:
    """A room as JSON."""
    return {
        "floor_polygon": room.floor_polygon.tolist(),
        "height": room.height,
        "openings": [vars(opening) for opening in room.openings],
    }


def read_room(room: Any) -> Room | None:
    """The room that `room_json` wrote; None where it is not one."""
    try:
        openings = tuple(Opening(**opening) for opening in room["openings"])
        return Room(torch.tensor(room["floor_polygon"]).reshape(-1, 2), float(room["height"]), openings)
    except (KeyError, TypeError, ValueError, RuntimeError):
        return None


def read_matrix(rows: Any, *shape: int) -> Float[Tensor, "..."] | None:
    """Numbers of JSON as a float64 tensor of `shape`; None where they are not finite numbers of that shape."""
    try:
        matrix = torch.tensor(rows, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None
    return matrix if matrix.shape == shape and bool(matrix.isfinite().all()) else None


def _read_box(box: Any) -> OrientedBox | None:
    if not isinstance(box, dict):
        return None
    centre, size, yaw = (read_matrix(box.get(name), *shape) for name, *shape in (("centre", 3), ("size", 3), ("yaw",)))
    if centre is None or size is None or yaw is None:
        return None
    return OrientedBox(tuple(centre.tolist()), tuple(size.tolist()), float(yaw))
