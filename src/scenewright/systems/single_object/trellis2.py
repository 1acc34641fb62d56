"""Picture to object with TRELLIS.2: cut out, encode, sample structure, shape and texture latents, decode, finish.

Every arrow is a function of its own, so that a caller may stop, look, or swap at any of them:

    picture -> prepare_object -> encode_picture -> sample_object -> decode_object -> finish_mesh -> Scene

Frame: the object in [-0.5, 0.5]^3, z up; its size is relative (`Scene.is_metric` is False).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

import scenewright
from scenewright.backbones.trellis2.config import MAX_NUM_TOKENS
from scenewright.backbones.trellis2.decoding import DecodedObject, decode_materials, decode_shape, object_surface
from scenewright.backbones.trellis2.object_sampling import PLANS, ObjectLatents, ObjectSamplers, PlanName, sample_object
from scenewright.backbones.trellis2.pretrained import Trellis2
from scenewright.encoders.dinov3 import Dinov3
from scenewright.encoders.preprocess.crop import BackgroundRemover
from scenewright.encoders.preprocess.trellis2 import prepare_object, resized_for_encoder
from scenewright.encoders.weights import load_named_dinov3
from scenewright.geometry.mesh.finish import FinishOptions, finish_mesh
from scenewright.geometry.mesh.surface_color import VoxelField
from scenewright.io.images import pixels_of
from scenewright.types import Scene, SceneObject
from scenewright.weights.source import WeightsSource

__all__ = [
    "PLAN_OF_RESOLUTION",
    "TRELLIS2_FINISH",
    "ObjectOptions",
    "decode_object",
    "encode_picture",
    "load_image_encoder",
    "object_from_picture",
]

StageProgress = Callable[[str, float], None]

PLAN_OF_RESOLUTION: Mapping[int, PlanName] = {512: "512", 1024: "1024_cascade", 1536: "1536_cascade"}
"""The published way to each resolution."""
TRELLIS2_FINISH = FinishOptions(max_faces=200_000, texture_size=2048, orient=True, normal_map=True)


@dataclass(frozen=True)
class ObjectOptions:
    """How to sample and finish; samplers of None are those published with the weights."""

    seed: int = 42
    plan: PlanName = "1024_cascade"
    max_num_tokens: int = MAX_NUM_TOKENS
    samplers: ObjectSamplers | None = None
    finish: FinishOptions = field(default_factory=lambda: TRELLIS2_FINISH)


def object_from_picture(
    picture: Image.Image,
    networks: Trellis2,
    encoder: Dinov3,
    options: ObjectOptions = ObjectOptions(),
    *,
    remove_background: BackgroundRemover | None = None,
    progress: StageProgress | None = None,
) -> Scene:
    """A scene of one object with physically based materials, from one picture of it.

    The same seed gives the same object on the same device.

    Args:
        picture: an RGBA cut-out, or a photograph if `remove_background` is given.
        progress: called with a stage's name and the fraction of it that is done.

    Raises:
        InputError: the picture has no object that can be cut out.
        EmptyStructureError: the sample has no voxel or no surface.
    """
    report = progress or (lambda stage, done: None)
    crop = prepare_object(picture, remove_background=remove_background)
    report("encode", 0.0)
    plan = PLANS[options.plan]
    tokens = encode_picture(crop, encoder, plan.condition_sizes, device=networks.device)
    samplers = options.samplers or networks.samplers
    generator = torch.Generator().manual_seed(options.seed)
    latents = sample_object(
        networks,
        tokens,
        plan,
        samplers,
        generator,
        max_num_tokens=options.max_num_tokens,
        progress=report,
    )
    report("decode", 0.0)
    decoded = decode_object(latents, networks)
    mesh = finish_mesh(decoded.surface, VoxelField(decoded.voxels), options.finish, progress=report)
    provenance = {
        "generator": f"scenewright {scenewright.__version__}",
        "system": "single_object/trellis2",
        "weights": networks.source,
        "pictures_sha256": [hashlib.sha256(crop.tobytes()).hexdigest()],
        "seed": options.seed,
        "plan": options.plan,
        "resolution": latents.resolution,
        "num_tokens": len(latents.shape.voxels),
        "samplers": asdict(samplers),
        "finish": asdict(options.finish),
    }
    return Scene((SceneObject(name="object", parts=(mesh,)),), provenance=provenance)


@torch.no_grad()
def encode_picture(
    crop: Image.Image, encoder: Dinov3, sizes: Sequence[int], *, device: torch.device | str | None = None
) -> dict[int, Float[Tensor, "1 L C"]]:
    """Condition tokens of a prepared picture by the picture size in pixels."""
    place = next(encoder.parameters()).device
    tokens = {}
    for size in sizes:
        pixels = pixels_of(resized_for_encoder(crop, size), "RGB").to(place)
        tokens[size] = encoder(pixels.movedim(-1, 0).float()[None] / 255).to(device or place)
    return tokens


@torch.no_grad()
def decode_object(latents: ObjectLatents, networks: Trellis2) -> DecodedObject:
    """Raw surface and materials of the first object of the latents.

    Raises:
        EmptyStructureError: the shape decoder finds no surface.
    """
    grids, pyramid = decode_shape(networks.network("shape_slat_decoder"), latents.shape, latents.resolution)
    surface = object_surface(grids[0])
    voxels = decode_materials(networks.network("tex_slat_decoder"), latents.texture, pyramid, latents.resolution)
    return DecodedObject(surface, voxels[0])


def load_image_encoder(networks: Trellis2, *, device: torch.device | str = "cpu", offline: bool = False) -> Dinov3:
    """The encoder named beside the networks: stored in their local folder, else the published DINOv3 (gated).

    A folder may hold `<name>.json` (`{"name": "Dinov3", "args": {sizes}}`) and `<name>.safetensors`.

    Raises:
        WeightsError: it is neither in the folder nor published, cannot be fetched, or does not fit.
    """
    return load_named_dinov3(networks.image_encoder, WeightsSource(networks.source, offline), device=device)[0]
