"""SceneGen's doors: the system with its weights, and the task that trains it."""

from functools import partial
from pathlib import Path

import torch

from scenewright.systems.assembly.generator import SceneGenerator
from scenewright.systems.assembly.opening import with_decoder
from scenewright.systems.loading import OpenOptions
from scenewright.systems.scenegen.stage import SceneGenStage
from scenewright.systems.scenegen.training import QuerySet, build_scenegen
from scenewright.systems.task_kind import Sets, TaskKind, tensor_sets

__all__ = ["open_scenegen", "structure_task"]


def open_scenegen(options: OpenOptions) -> SceneGenerator:
    """SceneGen's stage with the decoder that the user chose."""
    # VGGT's tokens are too large for float16.
    dtype = options.dtype or options.half(torch.bfloat16)
    open_stage = partial(SceneGenStage.from_pretrained, options.source, device=options.device, dtype=dtype)
    return with_decoder(open_stage, options)


def structure_task() -> TaskKind:
    """Trains the structure flow on shards of latents, poses and condition tokens."""

    def open_data(folder: Path, limit: int = 0) -> Sets:
        train, held_out = tensor_sets("latent", "world_from_object", "cond")(folder, limit)
        return QuerySet(train), None if held_out is None else QuerySet(held_out)  # type: ignore[arg-type]

    return TaskKind(build_scenegen, open_data)
