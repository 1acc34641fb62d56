"""I-Scene's doors: the system with its weights, and the task that trains it."""

from functools import partial
from pathlib import Path

import torch

from scenewright.systems.assembly.generator import SceneGenerator
from scenewright.systems.assembly.opening import with_decoder
from scenewright.systems.iscene.stage import ISceneStage
from scenewright.systems.iscene.training import SlotSet, build_iscene
from scenewright.systems.loading import OpenOptions
from scenewright.systems.task_kind import Sets, TaskKind, tensor_sets

__all__ = ["open_iscene", "structure_task"]


def open_iscene(options: OpenOptions) -> SceneGenerator:
    """I-Scene's stage with the decoder that the user chose."""
    dtype = options.dtype or options.half(torch.float16)
    open_stage = partial(ISceneStage.from_pretrained, options.source, device=options.device, dtype=dtype)
    return with_decoder(open_stage, options)


def structure_task() -> TaskKind:
    """Trains the structure flow on shards of latents and condition tokens of objects and scenes."""

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
