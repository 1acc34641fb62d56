"""The tasks that recipes name: those of every system's spec, and those that train backbones and the mini weights."""

import difflib
from collections.abc import Mapping

from scenewright.backbones.spec import imported
from scenewright.errors import InputError
from scenewright.systems import registry
from scenewright.systems.task_kind import TaskKind

__all__ = ["task_kind", "tasks"]

_BACKBONES = "scenewright.systems.single_object.tasks"
_MINI = "scenewright.systems.mini.tasks"
_SHARED = {
    **{name: f"{_BACKBONES}:{name}" for name in ("structure_vae", "structure_flow", "shape_vae", "texture_vae")},
    **{name: f"{_BACKBONES}:{name}" for name in ("shape_flow", "texture_flow")},
    **{
        f"mini_{name}": f"{_MINI}:{name}"
        for name in ("structure_vae", "structure_flow", "pixel_aligned", "proportions")
    },
    "mini_genrecon_rooms": f"{_MINI}:genrecon_rooms",
    "mini_panorama_distance": f"{_MINI}:panorama_distance",
}


def tasks() -> Mapping[str, str]:
    """ "module:function" of every task's `TaskKind` by the task's name, sorted."""
    every = dict(_SHARED)
    for spec in registry.SPECS:
        every |= spec.tasks
    return dict(sorted(every.items()))


def task_kind(name: str) -> TaskKind:
    """The task of that name.

    Raises:
        InputError: there is none; the nearest is suggested.
    """
    known = tasks()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}."
        raise InputError(f"There is no task '{name}'; {hint}")
    return imported(known[name])()
