"""The structure stages of the mini preset: SceneGen's and I-Scene's, on small pictures.

Objects keep the camera's heading: cubes are turned about the vertical so that the camera looks along +y, so relative
rotations are the identity and a photo is enough to tell an orientation. SceneGen's condition tokens are those of the
object's own crop, of the object in the scene's crop (in place of the mask's), and of the scene; VGGT's are left out.
I-Scene runs with three slots: slot 0 says where an object stands, slot 2 (its own crop) what it looks like in detail.

Legend: N objects in the picture, W objects wanted, P side of the small pictures, R resolution.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from scenewright.geometry.rotation import compose_similarity
from scenewright.presets.mini.networks import MiniNetworks
from scenewright.presets.mini.pictures import ScenePictures, cut_out_pictures
from scenewright.presets.mini.sizes import SAMPLER
from scenewright.systems.iscene.sampling import SlotConditions, sample_structure, structure_noise
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.scene.structures import PlacedStructures, SceneRequest, StageProgress, object_generator
from scenewright.systems.scenegen.condition import SceneCondition
from scenewright.systems.scenegen.poses import world_from_objects
from scenewright.systems.scenegen.sampling import sample_scene_structures
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow

__all__ = ["MiniISceneStage", "MiniSceneGenStage", "box_of_voxels"]


_STRANGE = 1.25


class _MiniStage:
    """What both stages share: networks, pictures and tokens."""

    name: str

    def __init__(self, networks: MiniNetworks) -> None:
        self.networks = networks
        self.source = self.decoder_source = networks.source
        self.weights: Mapping[str, Path] = networks.files

    @property
    def device(self) -> torch.device:
        return self.networks.device

    def _pictures(self, request: SceneRequest) -> ScenePictures:
        pixels = torch.from_numpy(np.asarray(request.image.convert("RGB")).copy()).permute(2, 0, 1).float() / 255
        return cut_out_pictures(pixels, request.masks)

    def _tokens(self, pictures: Float[Tensor, "B 4 P P"]) -> Float[Tensor, "B T C"]:
        return self.networks.conditioner(pictures.to(self.device))

    def _notes(self, request: SceneRequest, own: Float[Tensor, "W 4 P P"]) -> tuple[str, ...]:
        """A sentence for every wanted object that looks unlike anything in training."""
        scores = self.networks.conditioner.strangeness(own.to(self.device)).tolist()
        return tuple(
            f"Object '{request.names[index]}' looks unlike the pictures the mini preset was trained on "
            f"(out-of-domain score {score:.1f}, usual are up to 1); its shape is a guess."
            for index, score in zip(request.wanted_indices, scores, strict=True)
            if score > _STRANGE
        )

    def _decoded(self, latents: Float[Tensor, "W C r r r"]) -> Bool[Tensor, "W R R R"]:
        """Occupied voxels; at least the likeliest one: an object with a mask is there, however small."""
        with torch.no_grad():
            logits = self.networks.structure_decoder(latents)[:, 0]
        likeliest = logits.flatten(1).amax(1).view(-1, 1, 1, 1)
        return (logits >= likeliest.clamp(max=0)).cpu()


class MiniSceneGenStage(_MiniStage):
    """SceneGen: structures and poses of all objects together; the largest mask is the query."""

    name = "scenegen"

    @torch.no_grad()
    def sample_structures(self, request: SceneRequest, *, progress: StageProgress | None = None) -> PlacedStructures:
        """See `StructureStage.sample_structures`."""
        report = progress or (lambda stage, done: None)
        flow = cast(SceneStructureFlow, self.networks.flow)
        pictures = self._pictures(request)
        own = self._tokens(pictures.own)
        condition = SceneCondition(
            torch.cat([own, self._tokens(pictures.placed)], 1), self._tokens(pictures.scene[None])[0]
        )
        report("encode", 1.0)
        order = request.masks.flatten(1).sum(1).argsort(stable=True, descending=True).tolist()
        shape = (flow.config.in_channels, *[flow.config.resolution] * 3)
        noise = torch.stack([torch.randn(shape, generator=request.generator(i, "structure")) for i in order])
        sampled = sample_scene_structures(
            flow,
            [SceneCondition(condition.own[order], condition.shared)],
            noise.to(self.device),
            SAMPLER.overridden(steps=request.steps, guidance_strength=request.guidance_strength),
            progress=lambda step, steps: report("structure", step / steps),
        )
        wanted = list(request.wanted_indices)
        rows = [order.index(index) for index in wanted]
        occupied = self._decoded(sampled.latents[rows])
        return PlacedStructures(
            coords=tuple(grid.nonzero().int() for grid in occupied),
            resolution=occupied.shape[-1],
            world_from_object=world_from_objects(sampled.poses)[rows].cpu(),
            tokens=own[None, wanted].cpu(),
            pictures=tuple(_image(pictures.own[index]) for index in wanted),
            notes=self._notes(request, pictures.own[wanted]),
        )


class MiniISceneStage(_MiniStage):
    """I-Scene: every object in the scene's cube, and once more in a cube of its own."""

    name = "iscene"

    @torch.no_grad()
    def sample_structures(self, request: SceneRequest, *, progress: StageProgress | None = None) -> PlacedStructures:
        """See `StructureStage.sample_structures`; an object too small for the scene's voxels gets its likeliest one."""
        report = progress or (lambda stage, done: None)
        flow = cast(SceneContextFlow, self.networks.flow)
        wanted = list(request.wanted_indices)
        pictures = self._pictures(request)
        own, placed = self._tokens(pictures.own[wanted]), self._tokens(pictures.placed[wanted])
        report("encode", 1.0)
        noise = structure_noise(flow.scene_config, object_generator(request.seed, "", "structure"))
        sampler = SAMPLER.overridden(steps=request.steps, guidance_strength=request.guidance_strength)
        latents = sample_structure(
            flow,
            SlotConditions(self._tokens(pictures.scene[None])[0], torch.stack([placed, own], 1)),
            noise,
            sampler,
            object_noise=_object_noise(noise, request),
            on_step=lambda step, t, x, v: report("structure", (step + 1) / sampler.steps),
        )
        in_scene, alone = self._decoded(latents.objects[:, 0]), self._decoded(latents.objects[:, 1])
        coords, placements = [], []
        for place, shape in zip(in_scene, alone, strict=True):
            centre, side = box_of_voxels(place)
            coords.append(shape.nonzero().int())
            placements.append(compose_similarity(torch.eye(3), centre, torch.tensor(side)))
        return PlacedStructures(
            coords=tuple(coords),
            resolution=alone.shape[-1],
            world_from_object=torch.stack(placements),
            tokens=own[None].cpu(),
            pictures=tuple(_image(pictures.own[index]) for index in wanted),
            notes=self._notes(request, pictures.own[wanted]),
        )


def box_of_voxels(occupied: Bool[Tensor, "R R R"]) -> tuple[Float[Tensor, " 3"], float]:
    """Centre and longest side of the box of the occupied voxels' middles, of which there are some, in [-0.5, 0.5]^3.

    A surface ends anywhere in its outermost voxels, on average in their middle. The side is that of a voxel at least.
    """
    side = occupied.shape[0]
    coords = occupied.nonzero().float()
    low, high = (coords.amin(0) + 0.5) / side - 0.5, (coords.amax(0) + 0.5) / side - 0.5
    return (low + high) / 2, max(float((high - low).max()), 1 / side)


def _object_noise(
    noise: Float[Tensor, "S C r r r"], request: SceneRequest
) -> Float[Tensor, "W S_less_1 C r r r"] | None:
    """Noise of its own for every object that is rolled again; None where all share the noise."""
    attempts = request.attempts or (0,) * len(request.names)
    if not any(attempts[index] for index in request.wanted_indices):
        return None
    shared = torch.cat([noise[:1], noise[2:]])
    return torch.stack(
        [
            torch.randn(shared.shape, generator=request.generator(index, "structure")) if attempts[index] else shared
            for index in request.wanted_indices
        ]
    )


def _image(picture: Float[Tensor, "4 P P"]) -> Image.Image:
    return Image.fromarray((picture[:3].permute(1, 2, 0) * 255).round().byte().cpu().numpy())
