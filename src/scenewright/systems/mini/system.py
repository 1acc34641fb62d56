"""The mini weights as scene systems: a structure stage, latent stages, and everything the full systems do after."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from scenewright.geometry.threads import one_torch_thread
from scenewright.progress import SILENT, Progress
from scenewright.systems.assembly.generator import SceneGenerator
from scenewright.systems.loading import OpenOptions
from scenewright.systems.memory_plan import check_held
from scenewright.systems.mini.latent_decoder import LatentDecoder
from scenewright.systems.mini.networks import LatentNetworks, MiniNetworks
from scenewright.systems.mini.stages import MiniISceneStage, MiniSceneGenStage
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.systems.registry import find_system
from scenewright.systems.system import Views
from scenewright.types import Scene, View

__all__ = ["mini_system", "open_iscene", "open_scenegen"]

_STAGES = {stage.name: stage for stage in (MiniSceneGenStage, MiniISceneStage)}


class MiniGenerator(SceneGenerator):
    """A `SceneGenerator` that computes on one thread and knows what memory its work takes."""

    @one_torch_thread()
    def generate(
        self, views: Views, *, seed: int = 0, options: GenerateOptions = DEFAULT, progress: Progress = SILENT
    ) -> Scene:
        """See `SceneGenerator.generate`."""
        self._check_memory(self._views(views), options)
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
        self._check_memory(self._views(views), options)
        return super().reroll(scene, attempts, views, seed=seed, options=options, progress=progress)

    @property
    def device(self) -> torch.device:
        return next(self.decoder.networks.shape_flow.parameters()).device  # type: ignore[attr-defined]

    def _check_memory(self, views: Sequence[View], options: GenerateOptions) -> None:
        """
        Raises:
            OutOfMemoryBudgetError: networks and work do not fit the ceiling.
        """
        count = max((len(view.objects) for view in views if view.objects is not None), default=1)
        work = find_system(self.stage.name).mini_working.bytes(count)
        label = f"{self.stage.name} with the mini weights"
        check_held(label, self.device, options.max_memory_bytes, work, objects=count)


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
