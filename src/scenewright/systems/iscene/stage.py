"""The structure stage of I-Scene: picture and masks to the voxels of every object, each already in its place.

    masks -> crop_object -> slot_pictures -> DINOv2 -> sample_structure -> decode_voxels -> PlacedStructures

The cube [-0.5, 0.5]^3 of the voxels spans the whole scene, seen from the camera: +x is image right, +y is away from
the camera (horizontal), +z is up. Objects need no pose.

Legend: N objects in the picture, W objects wanted, S slots (object, scene, own crop), L condition tokens, C channels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from scenewright.backbones.structure_vae import StructureDecoder, occupied_coords
from scenewright.backbones.trellis1.pretrained import STRUCTURE_DECODER, trellis1_networks
from scenewright.encoders.preprocess.crop import drop_alpha, image_to_tensor
from scenewright.encoders.weights import load_dinov2, load_named_dinov2
from scenewright.errors import InputError
from scenewright.io.images import image_of
from scenewright.progress import SILENT, Advance, Progress, ignore
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.assembly.structures import PlacedStructures, SceneRequest, object_generator
from scenewright.systems.iscene.memory import objects_within
from scenewright.systems.iscene.package import CONDITIONER_PREFIX, load_flow, read_package
from scenewright.systems.iscene.preprocess import ObjectCrops, crop_object, slot_pictures
from scenewright.systems.iscene.sampling import SlotConditions, sample_structure, structure_noise
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.types import ObjectMasks, SparseVoxels
from scenewright.weights.source import WeightsSource

__all__ = ["ISceneStage", "crop_objects", "decode_voxels", "encode_slots"]

# What the published pipeline sets; the rest of the sampler is the base model's.
_STEPS, _GUIDANCE_STRENGTH = 25, 3.0


@dataclass
class ISceneStage:
    """The networks of I-Scene's structure stage on one device, ready to sample; see `StructureStage`."""

    flow: SceneContextFlow
    structure_decoder: StructureDecoder
    image_encoder: nn.Module
    image_size: int
    sampler: SamplerConfig
    source: str
    decoder_source: str
    device: torch.device
    weights: Mapping[str, Path]
    name: str = "iscene"
    max_views: int | None = 1

    @classmethod
    def from_pretrained(
        cls,
        source: WeightsSource,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "ISceneStage":
        """The stage of a package.

        Args:
            dtype: of the repeated blocks of flow and decoder; the rest stays fp32 as published.

        Raises:
            WeightsError: files are missing, damaged, or do not fit.
        """
        package = read_package(source)
        base = trellis1_networks(package.base, device=device, dtype=dtype)
        package.source.report("Loading structure_flow")
        flow = load_flow(package, device=device, dtype=dtype)
        decoder = base.load(STRUCTURE_DECODER)
        package.source.report("Loading image_encoder")
        if package.image_conditioner is None:
            encoder, encoder_file = load_named_dinov2(base.image_encoder, package.base, device=device)
        else:
            encoder_file = package.image_conditioner
            encoder = load_dinov2(encoder_file, prefix=CONDITIONER_PREFIX, device=device)
        return cls(
            flow=flow,
            structure_decoder=decoder,
            image_encoder=encoder,
            image_size=encoder.config.image_size,
            sampler=replace(base.sampler("structure"), steps=_STEPS, guidance_strength=_GUIDANCE_STRENGTH),
            source=str(package.source),
            decoder_source=str(package.base),
            device=torch.device(device),
            weights={
                "structure_flow": package.denoiser,
                "structure_decoder": base.weights_file(STRUCTURE_DECODER),
                "image_encoder": encoder_file,
            },
        )

    @torch.no_grad()
    def sample_structures(self, request: SceneRequest, *, progress: Progress = SILENT) -> PlacedStructures:
        """Voxels of the wanted objects in the scene's cube; see `StructureStage.sample_structures`."""
        config, wanted = self.flow.scene_config, request.wanted_indices
        instances: list[Image.Image] = []

        def crops() -> Iterator[ObjectCrops]:
            for crop in crop_objects(request.image, request.objects, wanted):
                instances.append(_to_image(crop.instance))
                yield crop

        pictures = slot_pictures(crops(), with_canonical=config.with_canonical, size=self.image_size)
        conditions = encode_slots(pictures, self.image_encoder, self.device, advance=progress.stage("encode"))
        noise = structure_noise(config, object_generator(request.seed, "", "structure"))
        sampler, advance = self.sampler.overridden(request.options.sampling), progress.stage("structure")
        latents = sample_structure(
            self.flow,
            conditions,
            noise,
            sampler,
            object_noise=_rolled_noise(noise, request),
            objects_at_once=objects_within(
                self.flow, len(wanted), conditions.scene.shape[0], request.options.max_memory_bytes, self.device
            ),
            on_step=lambda step, t, x, v: advance(step + 1, sampler.steps),
        )
        voxels = [decode_voxels(self.structure_decoder, latent) for latent in latents.objects[:, 0]]
        return PlacedStructures(
            coords=tuple(decoded.coords for decoded in voxels),
            resolution=voxels[0].resolution,
            world_from_object=torch.eye(4).repeat(len(wanted), 1, 1),
            tokens=conditions.objects[None, :, 0],
            pictures=tuple(instances),
        )


def crop_objects(image: Image.Image, objects: ObjectMasks, wanted: Sequence[int]) -> Iterator[ObjectCrops]:
    """Crops of the wanted objects, one by one; all masks together are the scene.

    Where masks overlap, the last one keeps the pixel, as in a picture of labels; a mask that would vanish stays whole.

    Raises:
        InputError: there is no mask or none is wanted, or a mask is empty or a single pixel.
    """
    if not len(objects) or not wanted:
        raise InputError("Expected at least one object to generate, got none.")
    exclusive = objects.exclusive
    pixels, scene_mask = image_to_tensor(drop_alpha(image)), objects.union.dense()
    for index in wanted:
        mask = exclusive[index] if exclusive[index].area > 1 else objects.regions[index]
        yield crop_object(pixels, scene_mask, mask.dense(), name=f"Mask '{objects.names[index]}'")


def encode_slots(
    pictures: Float[Tensor, "W S 3 side side"],
    encoder: nn.Module,
    device: torch.device | str,
    *,
    advance: Advance = ignore,
) -> SlotConditions:
    """Condition tokens of all slots; the scene, which all objects share, is encoded once.

    Pictures are encoded one by one, so that the tokens of an object do not depend on which others are asked for.
    """
    rows = [pictures[0, 1], *torch.cat([pictures[:, :1], pictures[:, 2:]], 1).flatten(0, 1)]
    tokens = []
    for number, picture in enumerate(rows, 1):
        tokens.append(encoder(picture[None].to(device))[0])
        advance(number, len(rows))
    return SlotConditions(tokens[0], torch.stack(tokens[1:]).unflatten(0, (len(pictures), -1)))


def decode_voxels(decoder: StructureDecoder, latent: Float[Tensor, "C r r r"]) -> SparseVoxels:
    """Occupied voxels of one latent, lexicographic; none is a possible answer."""
    logits = decoder(latent[None])
    return SparseVoxels(occupied_coords(logits)[:, 1:], logits.shape[-1])


def _rolled_noise(
    noise: Float[Tensor, "S C R R R"], request: SceneRequest
) -> Float[Tensor, "W S_less_1 C R R R"] | None:
    """Noise of the objects where some are rolled again; None where all share `noise`. The scene's stays the same."""
    if not any(request.attempt(index) for index in request.wanted_indices):
        return None
    shared = torch.cat([noise[:1], noise[2:]])
    rows = []
    for index in request.wanted_indices:
        fresh = torch.randn(shared.shape, generator=request.generator(index, "structure"))
        rows.append(fresh if request.attempt(index) else shared)
    return torch.stack(rows)


def _to_image(pixels: Float[Tensor, "3 height width"]) -> Image.Image:
    return image_of(pixels.permute(1, 2, 0))
