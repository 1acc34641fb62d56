"""One picture of a thing, or several, to a scene of one textured object, with any backbone.

    pictures -> ObjectBackbone.prepare -> ObjectBackbone.raw_object -> finish_mesh -> Scene

The stages inside are those of a scene (`systems.assembly`): a single object is a scene of one, all of whose noise comes
from one generator, in the published order.

Frame: the object in [-0.5, 0.5]^3, z up; its size is relative (`Scene.is_metric` is False).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol, cast, runtime_checkable

import torch
from PIL import Image

import scenewright
from scenewright.backbones.registry import backbone, check_options, check_pictures
from scenewright.backbones.spec import BackboneSpec
from scenewright.encoders.preprocess.crop import BackgroundRemover
from scenewright.errors import EmptyStructureError, InputError
from scenewright.geometry.mesh.finish import finish_mesh
from scenewright.geometry.mesh.surface_color import VoxelField
from scenewright.progress import SILENT, Progress
from scenewright.systems.assembly.decoding import Draw, RawObject
from scenewright.systems.catalogue import refuse_uncleared
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.types import Scene, SceneObject
from scenewright.weights.source import WeightsSource

__all__ = ["ObjectBackbone", "load_backbone", "object_from_pictures"]


@runtime_checkable
class ObjectBackbone(Protocol):
    """The networks of one backbone, loaded or ready to be loaned, from pictures to a raw object."""

    @property
    def spec(self) -> BackboneSpec: ...
    @property
    def source(self) -> str:
        """Folder or repository of the weights."""
        ...

    def prepare(self, picture: Image.Image, remove_background: BackgroundRemover | None = None) -> Image.Image:
        """The object of a picture on black, RGB, as the encoder expects it.

        Raises:
            InputError: the picture has no cut-out and there is no remover, or nothing in it is opaque.
        """
        ...

    def raw_object(
        self,
        pictures: Sequence[Image.Image],
        draw: Draw,
        options: GenerateOptions = DEFAULT,
        *,
        progress: Progress = SILENT,
    ) -> RawObject | None:
        """The object of prepared pictures in [-0.5, 0.5]^3, z up; None where the decoder finds no surface.

        Raises:
            EmptyStructureError: the structure has no voxel.
            OutOfMemoryBudgetError: the object has too many tokens.
        """
        ...

    def provenance(self, options: GenerateOptions) -> Mapping[str, Any]:
        """Plain JSON data: what was sampled, and how."""
        ...


def load_backbone(
    name: str,
    source: WeightsSource | None = None,
    *,
    resolution: int | None = None,
    multi_image: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    commercial: bool = False,
) -> ObjectBackbone:
    """The backbone "trellis1" or "trellis2", ready to make objects.

    Args:
        source: None is the published one.
        resolution: trellis2: voxels per side, 512, 1024 or 1536; None is what is published with the weights.
        multi_image: trellis1: how several pictures are combined (`MultiImage`); None is "stochastic".
        dtype: of the large networks; None is the published half precision on CUDA and float32 elsewhere.
        commercial: refuse weights that are not cleared for commercial use.

    Raises:
        InputError: there is no such backbone, it has no such option, or weights are not cleared.
        WeightsError: weights are missing, damaged, or do not fit.
    """
    spec = backbone(name)
    if commercial:
        refuse_uncleared(spec.networks, [source.place] if source else [])
    check_options(spec, {"resolution": resolution, "multi_image": multi_image})
    own: dict[str, Any] = {} if multi_image is None else {"multi_image": multi_image}
    if resolution is not None:
        own["plan"] = spec.resolutions[resolution]
    made = spec.objects_class().from_pretrained(
        source or WeightsSource(spec.repository), device=device, dtype=dtype, **own
    )
    return cast(ObjectBackbone, made)


def object_from_pictures(
    pictures: Image.Image | Sequence[Image.Image],
    networks: ObjectBackbone,
    *,
    seed: int = 0,
    options: GenerateOptions = DEFAULT,
    remove_background: BackgroundRemover | None = None,
    progress: Progress = SILENT,
) -> Scene:
    """A scene of one textured object, from one picture of it or several.

    The same seed gives the same object on the same device.

    Args:
        pictures: RGBA cut-outs, or photographs if `remove_background` is given.
        options: sampling, memory and finishing; there is nothing to settle or to fit.

    Raises:
        InputError: a picture has no object that can be cut out, the backbone reads fewer pictures, or an option is of
            scenes only.
        EmptyStructureError: the sample has no voxel or no surface.
    """
    given = [pictures] if isinstance(pictures, Image.Image) else list(pictures)
    spec = networks.spec
    check_pictures(spec, len(given))
    if options.settle or options.fit_layout is not None:
        raise InputError("Settling and fitting are for scenes of several objects; leave both out.")
    crops = [networks.prepare(picture, remove_background) for picture in given]
    generator = torch.Generator().manual_seed(seed)
    made = networks.raw_object(crops, lambda stage: generator, options, progress=progress)
    if made is None:
        raise EmptyStructureError("The decoder found no surface in the sample; try another seed, or check the picture.")
    finish = spec.finish.overridden(options.finish)
    mesh = finish_mesh(made.surface, made.field, finish, progress=progress)
    provenance = {
        "generator": f"scenewright {scenewright.__version__}",
        "system": f"single_object/{spec.name}",
        "weights": networks.source,
        "pictures_sha256": [hashlib.sha256(crop.tobytes()).hexdigest() for crop in crops],
        "seed": seed,
        **networks.provenance(options),
        "finish": asdict(finish),
    }
    if isinstance(made.field, VoxelField):  # which a cascade may have lowered
        provenance["resolution"] = made.field.voxels.resolution
    return Scene((SceneObject(name="object", parts=(mesh,), splats=made.splats),), provenance=provenance)
