"""One picture with masks to a placed scene: a system's structure stage, either decoder, finishing, placing, settling.

    SceneRequest -> stage.sample_structures -> decoder.decode -> placed_object (each)
                 -> fit_layout, or places as they are and a fitted camera -> scene_on_floor -> settle -> Scene

Re-rolling runs the same path with another attempt for the wanted objects and takes all others from the scene before,
which therefore stay as they are to the last bit.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

import scenewright
from scenewright.errors import EmptyStructureError, InputError
from scenewright.geometry.mesh.finish import FinishOptions
from scenewright.systems.assembly.camera_fit import fit_camera
from scenewright.systems.assembly.decoding import LatentOptions, ObjectDecoder
from scenewright.systems.assembly.layout_fit import fit_layout, fit_newcomers
from scenewright.systems.assembly.placing import moved_object, placed_object, scene_on_floor, transformed_camera
from scenewright.systems.assembly.settle import settle_scene
from scenewright.systems.assembly.structures import (
    MultiViewStage,
    PlacedStructures,
    PlaceErrors,
    SceneRequest,
    StageProgress,
    StructureStage,
)
from scenewright.systems.assembly.views import SceneView, in_same_order
from scenewright.types import Camera, Scene, SceneObject
from scenewright.weights.hub import sha256_of

__all__ = ["AS_PUBLISHED", "GenerateOptions", "SceneGenerator", "checked_request", "one_picture_only", "settled"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GenerateOptions:
    """What a user may change; None is what is published with the weights.

    `guidance_strength` is in TRELLIS v1's form (0 is no guidance) and applies to the structure stage and to the latent
    stage of the `trellis1` decoder; `steps` to all samplers. `fit_places` moves objects into their masks and onto the
    floor (`layout_fit`); None is what the structure stage asks for.
    """

    steps: int | None = None
    guidance_strength: float | None = None
    max_memory_bytes: int | None = None
    settle: bool = False
    fit_places: bool | None = None
    finish: FinishOptions | None = None


AS_PUBLISHED = GenerateOptions()


class SceneGenerator:
    """A scene system with a decoder. Fits `evaluation.systems.SceneSystem`."""

    needs_camera = False

    def __init__(self, stage: StructureStage, decoder: ObjectDecoder) -> None:
        self.stage, self.decoder = stage, decoder
        self._hashes: dict[Path, str] = {}

    @property
    def name(self) -> str:
        return self.stage.name

    def generate(
        self,
        image: Image.Image,
        masks: Sequence[Bool[Tensor, "H W"]] | Bool[Tensor, "N H W"],
        *,
        names: Sequence[str] | None = None,
        camera: Camera | None = None,
        further_views: Sequence[SceneView] = (),
        seed: int = 0,
        options: GenerateOptions = AS_PUBLISHED,
        progress: StageProgress | None = None,
    ) -> Scene:
        """The scene, one object per mask in their order; objects that were not found are left out, with a warning.

        Args:
            masks: at the picture's size, none of them empty.
            names: distinct; by default obj_01, obj_02, ...
            camera: where it is known. If it stands above z = 0, the floor of its world, and places are fitted, the
                scene is made in that world, in metres; else its lens alone is used.
            further_views: other pictures of the same objects by name, for systems that read several (SceneGen).

        Raises:
            InputError: there is no mask, or one is empty or of another size; or the system reads one picture only, or
                the views do not show the same objects.
            EmptyStructureError: no object was found at all.
            OutOfMemoryBudgetError: the work cannot fit the ceiling.
        """
        request = checked_request(image, masks, names, camera, seed, options, further_views)
        made, structures = self._objects(request, options, progress)
        if not made:
            raise EmptyStructureError(
                f"None of the {len(request.names)} objects could be generated; try another --seed, or check the masks."
            )
        objects, seen_by, world_from_system = _in_world(made, structures, request, options)
        provenance = self._provenance(request, options, structures)
        provenance["world_from_system"] = world_from_system.tolist()
        # Of a given camera that is the scene's own, the floor is known and with it the scale.
        is_metric = camera is not None and seen_by is camera
        scene = Scene(
            tuple(objects),
            cameras={"camera": seen_by} if seen_by is not None else {},
            is_metric=is_metric,
            world_from_system=world_from_system,
            notes=structures.notes,
            provenance=provenance,
        )
        return settled(scene) if options.settle else scene

    def reroll(
        self,
        scene: Scene,
        wanted: Mapping[str, int],
        image: Image.Image,
        masks: Sequence[Bool[Tensor, "H W"]] | Bool[Tensor, "N H W"],
        names: Sequence[str],
        *,
        further_views: Sequence[SceneView] = (),
        seed: int = 0,
        options: GenerateOptions = AS_PUBLISHED,
        progress: StageProgress | None = None,
    ) -> Scene:
        """The scene with the wanted objects made anew; all other objects are those of `scene`, unchanged.

        Args:
            scene: what `generate` gave for the same picture, masks, names and seed.
            wanted: attempt number (1 for the first re-roll, ...) of each object to make again, by name.

        Raises:
            InputError: an object is not among `names`, or `scene` is not of this system.
            EmptyStructureError: a wanted object was not found this time.
        """
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise InputError(f"There is no object '{unknown[0]}'; the masks are named {', '.join(names)}.")
        if scene.world_from_system is None:
            raise InputError("The given scene does not say how it was placed; re-roll a scene made by `generate`.")
        request = replace(
            checked_request(image, masks, names, scene.camera, seed, options, further_views),
            attempts=tuple(wanted.get(name, 0) for name in names),
            wanted=tuple(index for index, name in enumerate(names) if name in wanted),
        )
        made, structures = self._objects(request, options, progress)
        anew = {item.name: item for item in made}
        missing = [name for name in wanted if name not in anew]
        if missing:
            raise EmptyStructureError(f"Object '{missing[0]}' was not found this time; re-roll it once more.")
        world_from_system = scene.world_from_system.float()
        before = {item.name: item for item in scene.objects}
        moved = {name: moved_object(item, world_from_system) for name, item in anew.items()}
        errors = _place_errors(structures, options)
        if errors is not None and scene.camera is not None:
            # A scene that was read from a file has no masks.
            kept = [
                replace(item, mask=request.masks[names.index(name)])
                for name, item in before.items()
                if name not in moved
            ]
            refitted = fit_newcomers(kept, list(moved.values()), scene.camera, errors)
            moved = dict(zip(moved, refitted, strict=True))
        objects = tuple(moved.get(name, before.get(name)) for name in names)
        changed = Scene(
            tuple(item for item in objects if item is not None),
            cameras=scene.cameras,
            is_metric=scene.is_metric,
            world_from_system=scene.world_from_system,
            notes=structures.notes,
            provenance={
                **self._provenance(request, options, structures),
                "world_from_system": scene.world_from_system.tolist(),
            },
        )
        return settled(changed, set(wanted)) if options.settle else changed

    def _objects(
        self, request: SceneRequest, options: GenerateOptions, progress: StageProgress | None
    ) -> tuple[list[SceneObject], PlacedStructures]:
        """The wanted objects in the system's world, and the structures they were made from."""
        if not request.further_views:
            structures = self.stage.sample_structures(request, progress=progress)
        elif isinstance(self.stage, MultiViewStage):
            structures = self.stage.sample_views(request, progress=progress)
        else:
            raise InputError(one_picture_only(self.stage.name, 1 + len(request.further_views)))
        wanted = request.wanted_indices
        latent_options = LatentOptions(options.steps, options.guidance_strength, options.max_memory_bytes)
        raw = self.decoder.decode(
            structures,
            lambda place, stage: request.generator(wanted[place], stage),
            latent_options,
            progress=progress,
        )
        finish = options.finish or self.decoder.finish
        made = []
        for place, (index, found) in enumerate(zip(wanted, raw, strict=True)):
            name = request.names[index]
            attempt = request.attempts[index] if request.attempts is not None else 0
            item = None
            if found is not None:
                item = placed_object(
                    found,
                    structures.world_from_object[place],
                    finish,
                    name=name,
                    mask=request.masks[index],
                    confidence=None if structures.confidence is None else structures.confidence[place],
                    extras={"num_voxels": len(structures.coords[place]), "attempt": attempt},
                    progress=None if progress is None else _within(progress, name),
                )
            if item is None:
                logger.warning("Object '%s' was not found and is left out; try another seed.", name)
            else:
                made.append(item)
        return made, structures

    def _provenance(
        self, request: SceneRequest, options: GenerateOptions, structures: PlacedStructures
    ) -> dict[str, Any]:
        """Plain JSON data that says how the scene was made."""
        return {
            "generator": f"scenewright {scenewright.__version__}",
            "system": self.stage.name,
            "decoder": self.decoder.name,
            "sources": {"structure": self.stage.source, "decoder": self.decoder.source},
            "weights_sha256": self.weights_sha256(),
            "seed": request.seed,
            "objects": list(request.names),
            "num_views": 1 + len(request.further_views),
            "parameters": {
                "steps": options.steps,
                "guidance_strength": options.guidance_strength,
                "settle": options.settle,
                "fit_places": _place_errors(structures, options) is not None,
                "finish": asdict(options.finish or self.decoder.finish),
            },
            "notes": list(structures.notes),
        }

    def weights_sha256(self) -> dict[str, str]:
        """Hash of every weight file by its name; read once."""
        files = {f"structure/{name}": path for name, path in self.stage.weights.items()}
        files |= {f"decoder/{name}": path for name, path in self.decoder.weights.items()}
        for path in files.values():
            if path not in self._hashes:
                self._hashes[path] = sha256_of(path)
        return {name: self._hashes[path] for name, path in sorted(files.items())}


def checked_request(
    image: Image.Image,
    masks: Sequence[Tensor] | Tensor,
    names: Sequence[str] | None,
    camera: Camera | None,
    seed: int,
    options: GenerateOptions,
    further_views: Sequence[SceneView] = (),
) -> SceneRequest:
    """The request for a picture and its masks, and for other views of the same objects.

    Raises:
        InputError: there is no mask, one is empty or of another size, names are not distinct, or views differ in them.
    """
    if not len(masks):
        raise InputError("Expected at least one object mask, got none.")
    stacked = masks if isinstance(masks, Tensor) else torch.stack(list(masks))
    called = tuple(names) if names is not None else tuple(f"obj_{index + 1:02d}" for index in range(len(stacked)))
    if len(called) != len(stacked) or len(set(called)) != len(called):
        raise InputError(f"Expected {len(stacked)} distinct names, one per mask, got {', '.join(called)}.")
    views = in_same_order([SceneView(image, stacked, called), *further_views])
    for view in views:
        _check_masks(view)
    return SceneRequest(
        image.convert("RGB"),
        stacked.cpu(),
        called,
        seed=seed,
        steps=options.steps,
        guidance_strength=options.guidance_strength,
        max_memory_bytes=options.max_memory_bytes,
        camera=camera,
        further_views=tuple(SceneView(view.image.convert("RGB"), view.masks.cpu(), called) for view in views[1:]),
    )


def one_picture_only(system: str, count: int) -> str:
    """What to say where a system reads one picture and got `count`."""
    return f"{system} makes a scene from one picture, but got {count}; give one, or use SceneGen's published networks."


def settled(scene: Scene, movable: Collection[str] | None = None, *, floor_z: float = 0.0) -> Scene:
    """The scene at rest, with the report of `settle_scene` in its provenance."""
    rested, report = settle_scene(scene, floor_z=floor_z, movable=movable)
    return replace(rested, provenance={**rested.provenance, "settle": report.as_json()})


def _in_world(
    made: Sequence[SceneObject], structures: PlacedStructures, request: SceneRequest, options: GenerateOptions
) -> tuple[list[SceneObject], Camera | None, Float[Tensor, "4 4"]]:
    """Objects and camera in the scene's world, and the similarity that took the fitted objects there.

    That is the world of the known camera where places are fitted, else one with the scene's longest side of 1.
    """
    known, seen_by = request.camera, structures.camera
    objects, errors = list(made), _place_errors(structures, options)
    if errors is not None and (fitted := fit_layout(made, errors, known=known)) is not None:
        objects, seen_by = fitted.objects, fitted.camera
        if fitted.known_world_from_world is not None:
            moved = [moved_object(item, fitted.known_world_from_world) for item in objects]
            return moved, known, fitted.known_world_from_world
    world_from_system = scene_on_floor(objects)
    objects = [moved_object(item, world_from_system) for item in objects]
    if seen_by is not None:
        return objects, transformed_camera(seen_by, world_from_system), world_from_system
    # The known camera stands in another world; only its lens tells something about this one.
    lens = None if known is None else known.intrinsics_px
    size = (request.image.height, request.image.width)
    return objects, fit_camera(objects, size, intrinsics_px=lens), world_from_system


def _place_errors(structures: PlacedStructures, options: GenerateOptions) -> PlaceErrors | None:
    """What places are to be fitted by; None where they stay as they are."""
    wants = structures.place_errors is not None if options.fit_places is None else options.fit_places
    return (structures.place_errors or PlaceErrors()) if wants else None


def _check_masks(view: SceneView) -> None:
    width, height = view.image.size
    if tuple(view.masks.shape[1:]) != (height, width):
        size = f"{view.masks.shape[2]}x{view.masks.shape[1]}"
        raise InputError(f"Expected masks of the picture's {width}x{height} pixels, got {size}.")
    for name, mask in zip(view.names, view.masks, strict=True):
        if not bool(mask.any()):
            raise InputError(f"Mask '{name}' is empty; drop it.")


def _within(progress: StageProgress, name: str) -> StageProgress:
    return lambda stage, done: progress(f"{name}: {stage}", done)
