"""Picture to object with TRELLIS v1: cut out, encode, sample structure, sample latent, decode, finish.

Every arrow is a function of its own, so that a caller may stop, look, or swap at any of them:

    pictures -> prepare_object -> encoder -> sample_structure_latent -> decode_structure -> sample_slat
             -> decode_object -> finish_mesh -> Scene

Frame: the object in [-0.5, 0.5]^3, z up; its size is relative (`Scene.is_metric` is False).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

import scenewright
from scenewright.backbones.trellis1.pretrained import Trellis1
from scenewright.backbones.trellis1.sampling import (
    MultiImageMode,
    decode_structure,
    sample_slat,
    sample_structure_latent,
)
from scenewright.encoders.dinov2 import Dinov2
from scenewright.encoders.preprocess.crop import BackgroundRemover
from scenewright.encoders.preprocess.trellis1 import prepare_object
from scenewright.encoders.weights import load_named_dinov2
from scenewright.errors import EmptyStructureError
from scenewright.geometry.isosurface.mesh_extraction import extract_mesh
from scenewright.geometry.mesh.finish import FinishOptions, finish_mesh
from scenewright.geometry.mesh.surface_color import SplatField
from scenewright.io.images import pixels_of
from scenewright.samplers.config import SamplerConfig
from scenewright.sparse.tensor import SparseTensor
from scenewright.types import Gaussians, Mesh, Scene, SceneObject
from scenewright.weights.source import WeightsSource

__all__ = [
    "DecodedObject",
    "ObjectOptions",
    "decode_object",
    "encode_pictures",
    "load_image_encoder",
    "object_from_pictures",
]

StageProgress = Callable[[str, float], None]

# The decoder's surface has an inner sheet that no view sees; removing it is part of the published post-processing.
TRELLIS1_FINISH = FinishOptions(max_faces=30_000, texture_size=1024, remove_invisible=True)


@dataclass(frozen=True)
class ObjectOptions:
    """How to sample and finish; a sampler of None means the one published with the weights."""

    seed: int = 0
    structure_sampler: SamplerConfig | None = None
    slat_sampler: SamplerConfig | None = None
    multi_image: MultiImageMode = "stochastic"
    finish: FinishOptions = field(default_factory=lambda: TRELLIS1_FINISH)


@dataclass(frozen=True)
class DecodedObject:
    """What the decoders make of one latent, in the object frame: the raw surface and the Gaussians."""

    surface: Mesh
    splats: Gaussians


def object_from_pictures(
    pictures: Sequence[Image.Image],
    networks: Trellis1,
    encoder: Dinov2,
    options: ObjectOptions = ObjectOptions(),
    *,
    remove_background: BackgroundRemover | None = None,
    progress: StageProgress | None = None,
) -> Scene:
    """A scene of one textured object, from one picture of it or several.

    The same seed gives the same object on the same device.

    Args:
        pictures: RGBA cut-outs, or photographs if `remove_background` is given.
        progress: called with a stage's name and the fraction of it that is done.

    Raises:
        InputError: a picture has no object that can be cut out.
        EmptyStructureError: the sample has no voxel or no surface.
    """
    report = progress or (lambda stage, done: None)
    size = encoder.config.image_size
    crops = [prepare_object(picture, remove_background=remove_background, size=size) for picture in pictures]
    report("encode", 0.0)
    tokens = encode_pictures(crops, encoder).to(networks.device)

    generator = torch.Generator().manual_seed(options.seed)
    structure_sampler = options.structure_sampler or networks.structure_sampler
    latent = sample_structure_latent(
        networks.structure_flow,
        tokens,
        structure_sampler,
        generator,
        multi_image=options.multi_image,
        progress=lambda step, steps: report("structure", step / steps),
    )
    coords = decode_structure(networks.structure_decoder, latent)
    slat_sampler = options.slat_sampler or networks.slat_sampler
    slat = sample_slat(
        networks.slat_flow,
        coords,
        tokens,
        slat_sampler,
        networks.slat_statistics,
        generator,
        multi_image=options.multi_image,
        progress=lambda step, steps: report("latent", step / steps),
    )
    report("decode", 0.0)
    decoded = decode_object(slat, networks)
    mesh = finish_mesh(decoded.surface, SplatField(decoded.splats), options.finish, progress=report)
    provenance = _provenance(networks, crops, options, structure_sampler, slat_sampler)
    placed = SceneObject(name="object", parts=(mesh,), splats=decoded.splats)
    return Scene((placed,), provenance=provenance)


@torch.no_grad()
def encode_pictures(crops: Sequence[Image.Image], encoder: nn.Module) -> Float[Tensor, "K L C"]:
    """Condition tokens of prepared pictures, one row per picture."""
    device = next(encoder.parameters()).device
    pixels = torch.stack([pixels_of(crop, "RGB") for crop in crops]).to(device)
    return encoder(pixels.movedim(-1, 1).float() / 255)


@torch.no_grad()
def decode_object(slat: SparseTensor, networks: Trellis1) -> DecodedObject:
    """Surface and Gaussians of the first object of a latent.

    Raises:
        EmptyStructureError: the mesh decoder finds no surface.
    """
    coords, feats = networks.mesh_decoder(slat).item(0)
    extracted = extract_mesh(coords, feats, 4 * networks.mesh_decoder.trunk_config.resolution)
    if extracted.is_empty:
        raise EmptyStructureError("The mesh decoder found no surface in the latent; try another seed.")
    return DecodedObject(extracted.to_mesh(), networks.gaussian_decoder(slat)[0])


def load_image_encoder(networks: Trellis1, *, device: torch.device | str = "cpu", offline: bool = False) -> Dinov2:
    """The encoder named beside the networks: stored in their local folder, else the published DINOv2.

    A folder may hold `<name>.json` (`{"name": "Dinov2", "args": {sizes}}`) and `<name>.safetensors`.

    Raises:
        WeightsError: it is neither in the folder nor published, cannot be fetched, or does not fit.
    """
    return load_named_dinov2(networks.image_encoder, WeightsSource(networks.source, offline), device=device)[0]


def _provenance(
    networks: Trellis1,
    crops: Sequence[Image.Image],
    options: ObjectOptions,
    structure_sampler: SamplerConfig,
    slat_sampler: SamplerConfig,
) -> dict[str, Any]:
    """Plain JSON data that says how the object was made."""
    return {
        "generator": f"scenewright {scenewright.__version__}",
        "system": "single_object/trellis1",
        "weights": networks.source,
        "pictures_sha256": [hashlib.sha256(crop.tobytes()).hexdigest() for crop in crops],
        "seed": options.seed,
        "structure_sampler": asdict(structure_sampler),
        "slat_sampler": asdict(slat_sampler),
        "multi_image": options.multi_image,
        "finish": asdict(options.finish),
    }
