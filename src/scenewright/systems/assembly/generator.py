"""Pictures with masks to a placed scene: a system's structure stage, either decoder, finishing, placing, settling.

    SceneRequest -> stage.sample_structures -> decoder.decode -> placed_object (each)
                 -> fit_layout and out of each other, or the layout as it is and a fitted camera
                 -> scene_on_floor -> settle -> Scene

Re-rolling runs the same path with another attempt for the wanted objects and takes all others from the scene before,
which therefore stay as they are to the last bit.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

import scenewright
from scenewright.errors import EmptyStructureError, InputError
from scenewright.geometry.bodies.colliders import ColliderKind
from scenewright.progress import SILENT, Progress, within
from scenewright.systems.assembly.camera_fit import fit_camera
from scenewright.systems.assembly.decoding import ObjectDecoder
from scenewright.systems.assembly.layout_fit import fit_layout, fit_newcomers
from scenewright.systems.assembly.placing import moved_object, placed_object, scene_on_floor, transformed_camera
from scenewright.systems.assembly.settle import SettleOptions, SettleReport, settle_scene
from scenewright.systems.assembly.simulated_settle import SimulatedSettleReport, can_simulate, simulate_settle
from scenewright.systems.assembly.structures import LayoutErrors, PlacedStructures, SceneRequest, StructureStage
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.systems.system import Views, masked_views
from scenewright.types import Camera, Scene, SceneObject, View
from scenewright.weights.hub import sha256_of

__all__ = ["SceneGenerator", "settled"]

logger = logging.getLogger(__name__)

# Small pushes, a third as dear along the line of sight, where places are least sure; nothing is let down. On 30 made
# scenes Col-O fell from 0.30 to 0.15 and F-S stayed (+0.08, standard error 0.06); twice as long pushes leave no
# collision and cost 0.01 of IoU-B.
_APART = SettleOptions(tolerance=0.004, max_push=0.05, max_drop=0.0, sideways=3.0)


class SceneGenerator:
    """A structure stage with a decoder: a `RerollingSystem`."""

    def __init__(self, stage: StructureStage, decoder: ObjectDecoder) -> None:
        self.stage, self.decoder = stage, decoder

    @property
    def name(self) -> str:
        return self.stage.name

    def generate(
        self, views: Views, *, seed: int = 0, options: GenerateOptions = DEFAULT, progress: Progress = SILENT
    ) -> Scene:
        """The scene, one object per mask in their order; objects that were not found are left out, with a warning.

        If the first view's camera is known and stands above z = 0, the floor of its world, and the layout is fitted,
        the scene is made in that world, in metres; else the camera's lens alone is used.

        Raises:
            InputError: the system cannot read these views (`masked_views`).
            EmptyStructureError: no object was found at all.
            OutOfMemoryBudgetError: the work cannot fit the ceiling.
        """
        request = SceneRequest(self._views(views), seed, options=options)
        items, structures = self._objects(request, progress)
        if not items:
            raise EmptyStructureError(
                f"None of the {len(request.names)} objects could be generated; try another --seed, or check the masks."
            )
        progress.stage("place")
        objects, camera, world_from_system = _in_world(items, structures, request)
        scene = Scene(
            tuple(objects),
            cameras={} if camera is None else {"camera": camera},
            # Only a camera that the user knows fixes the floor, and hence the scale.
            is_metric=camera is not None and camera is request.camera,
            world_from_system=world_from_system,
            notes=structures.notes,
            provenance=self._provenance(request, structures, world_from_system),
        )
        return _finished(scene, structures, options)

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
        given = self._views(views)
        request = SceneRequest(given, seed, attempts, options=options)
        names = request.names
        unknown = [name for name in attempts if name not in names]
        if unknown:
            raise InputError(f"There is no object '{unknown[0]}'; the masks are named {', '.join(names)}.")
        if scene.world_from_system is None:
            raise InputError("The given scene does not say how it was placed; re-roll a scene made by `generate`.")
        request = replace(request, wanted=tuple(index for index, name in enumerate(names) if name in attempts))
        items, structures = self._objects(request, progress)
        anew = {item.name: item for item in items}
        missing = [name for name in attempts if name not in anew]
        if missing:
            raise EmptyStructureError(f"Object '{missing[0]}' was not found this time; re-roll it once more.")
        before = {item.name: item for item in scene.objects}
        world_from_system = scene.world_from_system.float()
        errors = _layout_errors(structures, options)
        if errors is not None and scene.camera is not None:
            system_from_world = torch.linalg.inv(scene.world_from_system.double())
            # A scene that was read from a file has no masks.
            kept = [
                moved_object(replace(item, mask=request.objects.regions[names.index(name)]), system_from_world)
                for name, item in before.items()
                if name not in anew
            ]
            camera, floor_z = transformed_camera(scene.camera, system_from_world), float(system_from_world[2, 3])
            newcomers = list(anew.values())
            refitted = fit_newcomers(kept, newcomers, camera, errors, floor_z=floor_z, sizes=structures.sizes)
            anew = dict(zip(anew, refitted, strict=True))
        moved = {name: moved_object(item, world_from_system) for name, item in anew.items()}
        objects = tuple(moved.get(name, before.get(name)) for name in names)
        changed = replace(
            scene,
            objects=tuple(item for item in objects if item is not None),
            notes=structures.notes,
            provenance=self._provenance(request, structures, scene.world_from_system),
        )
        return _finished(changed, structures, options, set(attempts))

    def _views(self, views: Views) -> tuple[View, ...]:
        return masked_views(views, self.name, max_views=self.stage.max_views)

    def _objects(self, request: SceneRequest, progress: Progress) -> tuple[list[SceneObject], PlacedStructures]:
        """The wanted objects in the system's world, and the structures they were made from."""
        structures = self.stage.sample_structures(request, progress=progress)
        wanted = request.wanted_indices
        raw = self.decoder.decode(
            structures,
            lambda row, stage: request.generator(wanted[row], stage),
            request.options,
            progress=progress,
        )
        finish = self.decoder.finish.overridden(request.options.finish)
        items = []
        for row, (index, decoded) in enumerate(zip(wanted, raw, strict=True)):
            name = request.names[index]
            item = None
            if decoded is not None:
                item = placed_object(
                    decoded,
                    structures.world_from_object[row],
                    finish,
                    name=name,
                    mask=request.objects.regions[index],
                    confidence=None if structures.confidence is None else structures.confidence[row],
                    extras={"num_voxels": len(structures.coords[row]), "attempt": request.attempt(index)},
                    progress=within(progress, name),
                )
            if item is None:
                logger.warning("Object '%s' was not found and is left out; try another seed.", name)
            else:
                items.append(item)
        return items, structures

    def _provenance(
        self, request: SceneRequest, structures: PlacedStructures, world_from_system: Float[Tensor, "4 4"]
    ) -> dict[str, Any]:
        """Plain JSON data that says how the scene was made."""
        options, quality = request.options, request.options.sampling.quality
        return {
            "generator": f"scenewright {scenewright.__version__}",
            "system": self.stage.name,
            "decoder": self.decoder.name,
            "sources": {"structure": self.stage.source, "decoder": self.decoder.source},
            "weights_sha256": self.weights_sha256(),
            "seed": request.seed,
            "objects": list(request.names),
            "num_views": len(request.views),
            "parameters": {
                "steps": options.sampling.steps,
                "guidance_strength": options.sampling.guidance_strength,
                **({} if quality == "standard" else {"quality": quality}),
                "settle": options.settle,
                "fit_places": _layout_errors(structures, options) is not None,
                "finish": asdict(self.decoder.finish.overridden(options.finish)),
            },
            "notes": list(structures.notes),
            "world_from_system": world_from_system.tolist(),
        }

    def weights_sha256(self) -> dict[str, str]:
        """Hash of every weight file by its name."""
        files = {f"structure/{name}": path for name, path in self.stage.weights.items()}
        files |= {f"decoder/{name}": path for name, path in self.decoder.weights.items()}
        return {name: sha256_of(path) for name, path in sorted(files.items())}


def settled(
    scene: Scene,
    movable: Collection[str] | None = None,
    *,
    floor_z: float = 0.0,
    colliders: ColliderKind = "decomposition",
) -> Scene:
    """The scene at rest, with the report in its provenance: by simulation where the extra `sim` is there."""
    report: SettleReport | SimulatedSettleReport
    if can_simulate():
        rested, report = simulate_settle(scene, colliders, floor_z=floor_z, movable=movable)
    else:
        rested, report = settle_scene(scene, floor_z=floor_z, movable=movable)
    return replace(rested, provenance={**rested.provenance, "settle": report.as_json()})


def _in_world(
    items: Sequence[SceneObject], structures: PlacedStructures, request: SceneRequest
) -> tuple[list[SceneObject], Camera | None, Float[Tensor, "4 4"]]:
    """Objects and camera in the scene's world, and the similarity that took the fitted objects there.

    That is the world of the known camera where the layout is fitted, else one with the scene's longest side of 1.
    """
    known, camera = request.camera, structures.camera
    objects, errors = list(items), _layout_errors(structures, request.options)
    fitted, quality = None, request.options.sampling.quality
    if errors is not None:
        sizes = structures.sizes
        if sizes is not None:
            names = [request.names[index] for index in request.wanted_indices]
            sizes = sizes.at([names.index(item.name) for item in items])
        upright_pitch = request.upright_pitch
        fitted = fit_layout(items, errors, known=known, upright_pitch=upright_pitch, sizes=sizes, quality=quality)
    if fitted is not None:
        objects, camera = fitted.objects, fitted.camera
        if fitted.known_world_from_world is not None:
            moved = [moved_object(item, fitted.known_world_from_world) for item in objects]
            return moved, known, fitted.known_world_from_world
    world_from_system = scene_on_floor(objects)
    objects = [moved_object(item, world_from_system) for item in objects]
    if camera is not None:
        return objects, transformed_camera(camera, world_from_system), world_from_system
    # The known camera stands in another world; only its lens tells something about this one.
    lens = None if known is None else known.intrinsics_px
    size = (request.image.height, request.image.width)
    return objects, fit_camera(objects, size, intrinsics_px=lens), world_from_system


def _finished(
    scene: Scene, structures: PlacedStructures, options: GenerateOptions, movable: Collection[str] | None = None
) -> Scene:
    """The scene at rest if asked for; else, where the layout is fitted, its objects out of each other."""
    if options.settle:
        return settled(scene, movable)
    if _layout_errors(structures, options) is None:
        return scene
    return settle_scene(scene, movable=movable, options=_APART)[0]


def _layout_errors(structures: PlacedStructures, options: GenerateOptions) -> LayoutErrors | None:
    """The errors that the layout is fitted by; None where it stays as it is."""
    wants = structures.layout_errors is not None if options.fit_layout is None else options.fit_layout
    return (structures.layout_errors or LayoutErrors()) if wants else None
