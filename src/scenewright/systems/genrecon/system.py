"""GenRecon as a scene system: posed pictures, or a whole capture, to one textured scene in metres.

    read_capture -> aligned -> GenReconSystem.generate_capture -> Scene

Frame: world z up, metres, floor near z = 0.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import scenewright
from scenewright.errors import InputError
from scenewright.machine import memory_in_use
from scenewright.progress import SILENT, Progress
from scenewright.systems.genrecon.capture_report import report_capture
from scenewright.systems.genrecon.captures import Capture, PosedPicture
from scenewright.systems.genrecon.instances import LabelledView
from scenewright.systems.genrecon.pipeline import (
    AS_PUBLISHED,
    KeptStages,
    ReconstructOptions,
    SceneNetworks,
    SceneSurface,
    reconstruct,
    reconstruction_key,
)
from scenewright.systems.genrecon.scene_assembly import scene_objects
from scenewright.systems.genrecon.scene_plan import ScenePlan, plan_scene
from scenewright.systems.genrecon.tiling import Extent
from scenewright.systems.memory_plan import check_held
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.systems.system import Views
from scenewright.types import Camera, ObjectMasks, Scene, View

__all__ = ["CaptureSystem", "GenReconSystem", "labelled_view", "posed_capture"]

# What is reconstructed where no points tell it: this far round the cameras, and a room of ordinary height.
_AROUND_CAMERAS_M, _ROOM_HEIGHT_M = 2.0, 2.7
_MIN_MEMORY_BYTES = 64 << 20


class CaptureSystem(ABC):
    """A place from posed pictures of it; how its surface is found is a matter of the class."""

    name = "genrecon"

    def __init__(self, options: ReconstructOptions) -> None:
        self.options = options

    @abstractmethod
    def surface(
        self,
        capture: Capture,
        plan: ScenePlan,
        options: ReconstructOptions,
        *,
        seed: int,
        keep_in: Path | None = None,
        progress: Progress = SILENT,
    ) -> SceneSurface:
        """The surface and materials of a planned scene; arguments as in `pipeline.reconstruct`."""

    @abstractmethod
    def weights_sha256(self) -> dict[str, str]: ...

    @property
    def device(self) -> torch.device:
        """Where networks are held, if there are any."""
        return torch.device("cpu")

    def generate(
        self, views: Views, *, seed: int = 0, options: GenerateOptions = DEFAULT, progress: Progress = SILENT
    ) -> Scene:
        """The scene round the cameras of the views; objects where the views have masks (named alike in all views).

        Raises:
            InputError: a view has no camera with a pose, or is a panorama.
            EmptyStructureError: the networks found nothing.
        """
        given = (views,) if isinstance(views, View) else tuple(views)
        capture, extent = posed_capture(given)
        own = _overridden(self.options, options, self.device)
        own = replace(own, plan=replace(own.plan, extent=extent))
        labelled = [
            labelled_view(view.camera, view.objects)
            for view in given
            if view.objects is not None and isinstance(view.camera, Camera)
        ]
        return self._generated(capture, own, labelled, seed, None, progress)

    def generate_capture(
        self,
        capture: Capture,
        *,
        labelled: Sequence[LabelledView] = (),
        seed: int = 0,
        options: GenerateOptions = DEFAULT,
        keep_in: Path | None = None,
        progress: Progress = SILENT,
    ) -> Scene:
        """The scene of an upright capture.

        Args:
            labelled: pictures with instances, which become objects of their own.
            keep_in: folder for the results of stages, from which an interrupted call goes on.

        Raises:
            InputError: the capture cannot be used; see `plan_scene`.
            OutOfMemoryBudgetError: the networks leave nothing of the ceiling.
            EmptyStructureError: the networks found nothing.
        """
        own = _overridden(self.options, options, self.device)
        return self._generated(capture, own, labelled, seed, keep_in, progress)

    def _generated(
        self,
        capture: Capture,
        own: ReconstructOptions,
        labelled: Sequence[LabelledView],
        seed: int,
        keep_in: Path | None,
        progress: Progress,
    ) -> Scene:
        plan = plan_scene(capture, own.plan, seed=seed)
        report = report_capture(capture, plan.chunks)
        surface = self.surface(capture, plan, own, seed=seed, keep_in=keep_in, progress=progress)
        stages = KeptStages(keep_in, reconstruction_key(capture, plan, self.weights_sha256(), own, seed))
        objects = scene_objects(
            surface,
            plan,
            labelled=labelled,
            finish=own.finish,
            published=own.published_assembly,
            stages=stages,
            progress=progress,
        )
        provenance = {
            "generator": f"scenewright {scenewright.__version__}",
            "system": self.name,
            "weights_sha256": dict(self.weights_sha256()),
            "seed": seed,
            "published_assembly": own.published_assembly,
            "capture": dict(report.as_json()),
            "chunks": {"centres": plan.chunks.centres.tolist(), "size_m": plan.chunks.size},
            "world_from_capture": None
            if capture.world_from_capture is None
            else np.asarray(capture.world_from_capture).tolist(),
        }
        return Scene(
            objects,
            cameras={capture.pictures[index].name: capture.pictures[index].camera for index in plan.pictures},
            is_metric=True,
            notes=report.warnings,
            provenance=provenance,
        )


class GenReconSystem(CaptureSystem):
    """GenRecon's own networks."""

    def __init__(self, networks: SceneNetworks, options: ReconstructOptions = AS_PUBLISHED) -> None:
        super().__init__(options)
        self.networks = networks

    def surface(
        self,
        capture: Capture,
        plan: ScenePlan,
        options: ReconstructOptions,
        *,
        seed: int,
        keep_in: Path | None = None,
        progress: Progress = SILENT,
    ) -> SceneSurface:
        """See `CaptureSystem.surface`."""
        return reconstruct(capture, plan, self.networks, options, seed=seed, keep_in=keep_in, progress=progress)

    @property
    def device(self) -> torch.device:
        return self.networks.device

    def weights_sha256(self) -> dict[str, str]:
        return dict(self.networks.weights_sha256())


def posed_capture(views: Sequence[View]) -> tuple[Capture, Extent]:
    """Views in memory as an upright capture without points, and the extent round their cameras.

    Raises:
        InputError: there is no view, or one has no perspective camera.
    """
    if not views:
        raise InputError("Expected at least one view of the place, got none.")
    pictures = []
    for index, view in enumerate(views):
        if not isinstance(view.camera, Camera):
            raise InputError(
                f"GenRecon needs every picture's camera with its pose in metres, z up; view {index + 1} has none. Give "
                " a capture folder with a COLMAP model, or View(image, camera=...)."
            )
        name = view.name or f"view_{index + 1:03d}"
        pictures.append(
            PosedPicture(name, Path(name), view.camera, view.camera.intrinsics_px.double().numpy(), image=view.image)
        )
    none = np.zeros(0)
    capture = Capture(tuple(pictures), np.zeros((0, 3)), none, none.astype(int), "own", world_from_capture=np.eye(4))
    eyes = np.array([picture.centre for picture in pictures])
    low, high = eyes.min(0) - _AROUND_CAMERAS_M, eyes.max(0) + _AROUND_CAMERAS_M
    extent = Extent(low[0], high[0], low[1], high[1], 0.0, max(_ROOM_HEIGHT_M, float(eyes[:, 2].max()) + 0.5))
    return capture, extent


def labelled_view(camera: Camera, masks: ObjectMasks) -> LabelledView:
    """Masks of one picture as labels 1, 2, ... with their names; later masks win where they overlap."""
    labels = torch.zeros(masks.regions[0].shape, dtype=torch.int64)
    for number, mask in enumerate(masks.regions, 1):
        labels[mask.dense()] = number
    names: Mapping[int, str] = dict(enumerate(masks.names, 1))
    return LabelledView(camera, labels, names)


def _overridden(own: ReconstructOptions, options: GenerateOptions, device: torch.device) -> ReconstructOptions:
    """
    Raises:
        OutOfMemoryBudgetError: the networks leave nothing of the ceiling.
    """
    sampling, ceiling = options.sampling, options.max_memory_bytes
    check_held("genrecon", device, ceiling, _MIN_MEMORY_BYTES)
    # Conditions are sampled in batches of this many bytes; flows and decoders work beside them.
    share = own.memory_bytes if ceiling is None else (ceiling - memory_in_use(device)) // 4
    return replace(
        own,
        structure_sampler=own.structure_sampler.overridden(sampling),
        shape_sampler=own.shape_sampler.overridden(sampling),
        texture_sampler=own.texture_sampler.overridden(sampling.unguided),
        memory_bytes=max(_MIN_MEMORY_BYTES, min(own.memory_bytes, share)),
        finish=own.finish.overridden(options.finish),
    )
