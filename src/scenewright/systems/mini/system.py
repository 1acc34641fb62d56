"""The mini weights as scene systems: a structure stage, latent stages, and everything the full systems do after."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from scenewright.errors import OutOfMemoryBudgetError
from scenewright.geometry.threads import one_torch_thread
from scenewright.machine import memory_in_use
from scenewright.progress import SILENT, Progress
from scenewright.systems.assembly.generator import SceneGenerator
from scenewright.systems.assembly.memory import readable_bytes
from scenewright.systems.loading import OpenOptions
from scenewright.systems.mini.latent_decoder import LatentDecoder
from scenewright.systems.mini.networks import LatentNetworks, MiniNetworks
from scenewright.systems.mini.stages import MiniISceneStage, MiniSceneGenStage
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.systems.system import Views
from scenewright.types import Scene, View

__all__ = ["mini_system", "open_iscene", "open_scenegen"]

# Over what was measured beyond the loaded networks: 157 MiB for 2 objects, 387 MiB for 8 (scenegen, CPU).
_BYTES, _BYTES_PER_OBJECT = 200 * 2**20, 50 * 2**20
_STAGES = {stage.name: stage for stage in (MiniSceneGenStage, MiniISceneStage)}


class MiniGenerator(SceneGenerator):
    """A `SceneGenerator` that computes on one thread and knows what memory its work takes."""

    @one_torch_thread()
    def generate(
        self, views: Views, *, seed: int = 0, options: GenerateOptions = DEFAULT, progress: Progress = SILENT
    ) -> Scene:
        """See `SceneGenerator.generate`."""
        _check_memory(self._views(views), options, self.device)
        return super().generate(views, seed=seed, options=options, progress=progress)

    @one_torch_thread()
    def reroll(
        self,
        scene: Scene,
        attempts: Mapping[str, int],
        views: Views,
        *,
        seed: int = 0,
        options: GenerateOptions = DEFAULT,
        progress: Progress = SILENT,
    ) -> Scene:
        """See `RerollingSystem.reroll`."""
        _check_memory(self._views(views), options, self.device)
        return super().reroll(scene, attempts, views, seed=seed, options=options, progress=progress)

    @property
    def device(self) -> torch.device:
        return next(self.decoder.networks.shape_flow.parameters()).device  # type: ignore[attr-defined]


def _check_memory(views: Sequence[View], options: GenerateOptions, device: torch.device) -> None:
    """
    Raises:
        OutOfMemoryBudgetError: networks and work do not fit the ceiling.
    """
    ceiling = options.max_memory_bytes
    if ceiling is None:
        return
    count = max((len(view.objects) for view in views if view.objects is not None), default=1)
    needed = memory_in_use(device) + _BYTES + count * _BYTES_PER_OBJECT
    if needed > ceiling:
        raise OutOfMemoryBudgetError(
            f"mini needs about {readable_bytes(needed)} for {count} objects, more than the {readable_bytes(ceiling)} "
            "of --max-memory; raise the ceiling, or give fewer masks."
        )


def open_scenegen(options: OpenOptions) -> SceneGenerator:
    """SceneGen with the weights that ship with the package."""
    return mini_system("scenegen", device=options.device)


def open_iscene(options: OpenOptions) -> SceneGenerator:
    """I-Scene with the weights that ship with the package."""
    return mini_system("iscene", device=options.device)


def mini_system(
    system: str = "scenegen", folder: Path | None = None, *, device: torch.device | str = "cpu"
) -> SceneGenerator:
    """A generator with mini weights.

    Args:
        folder: with other weights of the same sizes; None is what ships with the package.

    Raises:
        WeightsError: the weights are missing, damaged, or of other sizes.
    """
    networks = MiniNetworks.load(system, folder, device=device)
    decoder = LatentDecoder(LatentNetworks.load(folder, device=device), source=networks.source)
    return MiniGenerator(_STAGES[system](networks), decoder)
