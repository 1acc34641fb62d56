"""What SceneGen-mini's samples hold for occupied in training examples: the prior of the pixel-aligned network.

    FOLDER/{own,placed,scene}_tokens -> FOLDER/own_prior/scenes-*.npy    bytes [rows, R, R, R], 255 for all samples

Fewer samples than `MiniSceneGenStage` takes, several scenes in a batch, bf16 where the processor has it: the network
sees a rougher prior in training than afterwards.

Legend: N objects of a batch, T tokens, R cells a side.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.io.archives import map_npy, read_npz_arrays
from scenewright.io.atomic import atomic_path, make_folder
from scenewright.samplers.euler import euler
from scenewright.systems.mini.networks import MiniNetworks
from scenewright.systems.mini.sizes import RESOLUTION, SAMPLER
from scenewright.systems.scenegen.block import SceneBlockContext
from scenewright.systems.scenegen.condition import SceneCondition, SceneContext
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from scripts.mini_training.examples import first_scene

__all__ = ["write_priors"]

_SAMPLES = 2
_SCENES = 16


def write_priors(
    networks: MiniNetworks, folder: Path, dtype: torch.dtype, progress: Callable[[int, int], None] | None = None
) -> None:
    """Priors of all encoded files; those that exist are left alone."""
    make_folder(folder / "own_prior")
    files = sorted((folder / "scene_tokens").glob("scenes-*.npy"))
    for done, path in enumerate(files, 1):
        target = folder / "own_prior" / path.name
        if not target.exists():
            content = _priors(networks, folder, path.stem, dtype)
            with atomic_path(target) as temporary, open(temporary, "wb") as file:
                np.save(file, content)
        if progress is not None:
            progress(done, len(files))


@torch.no_grad()
def _priors(networks: MiniNetworks, folder: Path, stem: str, dtype: torch.dtype) -> np.ndarray:
    counts = read_npz_arrays(folder / "examples" / f"{stem}.npz")["counts"]
    own, placed, scene = (map_npy(folder / f"{kind}_tokens" / f"{stem}.npy") for kind in ("own", "placed", "scene"))
    generator = torch.Generator().manual_seed(first_scene(stem))
    stops, parts = np.cumsum(counts), []
    for start in range(0, len(counts), _SCENES):
        sizes = counts[start : start + _SCENES].tolist()
        rows = slice(int(stops[start] - counts[start]), int(stops[start + len(sizes) - 1]))
        shared = np.repeat(scene[start : start + len(sizes)], sizes, 0)
        tokens = torch.from_numpy(np.concatenate([own[rows], placed[rows], shared], 1)).float()
        prior = torch.zeros(len(tokens), *[RESOLUTION] * 3)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            for _ in range(_SAMPLES):
                order = _queries_first(sizes, generator)
                latents = _sampled(networks.flow, tokens[order], sizes, generator)  # type: ignore[arg-type]
                prior[order] += networks.structure_decoder(latents)[:, 0].float().sigmoid() / _SAMPLES
        parts.append((prior * 255).round().byte().numpy())
    return np.concatenate(parts)


def _queries_first(sizes: list[int], generator: torch.Generator) -> Tensor:
    """Rows of each scene in a random order, the query first."""
    starts = np.cumsum([0, *sizes])
    return torch.cat(
        [torch.randperm(size, generator=generator) + int(start) for size, start in zip(sizes, starts[:-1], strict=True)]
    )


def _sampled(
    flow: SceneStructureFlow, tokens: Float[Tensor, "N T C"], sizes: list[int], generator: torch.Generator
) -> Float[Tensor, "N Cz r r r"]:
    given = flow.project_scene(SceneCondition(tokens), sizes)
    nothing = SceneContext([SceneBlockContext(scene_sizes=tuple(sizes))] * len(flow.blocks), tuple(sizes))
    side = flow.config.resolution
    noise = torch.randn(len(tokens), flow.config.in_channels, side, side, side, generator=generator)

    def velocity(context: SceneContext, x: Tensor, t: float, step: int) -> Tensor:
        return flow.velocity_and_poses(x, torch.full((1,), 1000 * t), context, with_poses=False)[0].float()

    guided = SAMPLER.guided(
        lambda x, t, step: velocity(given, x, t, step), lambda x, t, step: velocity(nothing, x, t, step)
    )
    return euler(guided, noise, SAMPLER.times)
