"""The structure stages of mini: SceneGen's and I-Scene's, on small pictures.

Objects keep the camera's heading: cubes are turned about the vertical so that the camera looks along +y, so relative
rotations are the identity and a photo is enough to tell an orientation. SceneGen's condition tokens are those of the
object's own crop, of the object in the scene's crop (in place of the mask's), and of the scene; VGGT's are left out.
I-Scene runs with three slots: slot 0 says where an object stands, slot 2 (its own crop) what it looks like in detail.
What the samples agree on is placed; the shape is then that of the samples that fit the masks, and what the picture
shows of it (`outline_choice`).

Legend: N objects in the picture, W objects wanted, P side of the small pictures, R resolution.
"""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenewright.geometry.rotation import compose_similarity
from scenewright.io.images import image_of
from scenewright.progress import SILENT, Advance, Progress
from scenewright.systems.assembly.outline import is_cut
from scenewright.systems.assembly.structures import (
    LayoutErrors,
    PlacedStructures,
    SceneRequest,
    object_generator,
)
from scenewright.systems.iscene.sampling import SlotConditions, sample_structure, structure_noise
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.mini.consensus import agreed_box, agreed_layout, agreed_voxels
from scenewright.systems.mini.networks import MiniNetworks
from scenewright.systems.mini.outline_choice import chosen_by_outline
from scenewright.systems.mini.pictures import ScenePictures, cut_out_pictures
from scenewright.systems.mini.sizes import AGREEMENT, NUM_SAMPLES, SAMPLER
from scenewright.systems.scenegen.condition import SceneCondition
from scenewright.systems.scenegen.poses import world_from_objects
from scenewright.systems.scenegen.sampling import sample_scene_structures
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow

__all__ = ["MiniISceneStage", "MiniSceneGenStage"]


_STRANGE = 1.25
# The camera looks along +y of the world that the networks were trained in. They know sizes worse than the usual stage.
_ERRORS = LayoutErrors(log_size=0.24, heading=math.pi / 2)


class _MiniStage:
    """Shared by both stages: networks, pictures and tokens."""

    name: str
    max_views: int | None = 1

    def __init__(self, networks: MiniNetworks) -> None:
        self.networks = networks
        self.source = self.decoder_source = networks.source
        self.weights: Mapping[str, Path] = networks.files

    @property
    def device(self) -> torch.device:
        return self.networks.device

    def _pictures(self, request: SceneRequest) -> ScenePictures:
        return cut_out_pictures(request.image, request.objects)

    def _tokens(self, pictures: Float[Tensor, "B 4 P P"]) -> Float[Tensor, "B T C"]:
        return self.networks.conditioner(pictures.to(self.device))

    def _notes(self, request: SceneRequest, own: Float[Tensor, "W 4 P P"]) -> tuple[str, ...]:
        """Sentences on wanted objects that look unlike anything in training, and on those cut by the picture's edge."""
        scores = self.networks.conditioner.strangeness(own.to(self.device)).tolist()
        strange = tuple(
            f"Object '{request.names[index]}' looks unlike the pictures mini was trained on "
            f"(out-of-domain score {score:.1f}, usual are up to 1); its shape is a guess."
            for index, score in zip(request.wanted_indices, scores, strict=True)
            if score > _STRANGE
        )
        cut = [index for index in request.wanted_indices if is_cut(request.objects.regions[index])]
        if not cut:
            return strange
        names = ", ".join(f"'{request.names[index]}'" for index in cut)
        return (*strange, f"The picture's edge cuts {names}; what lies beyond it is a guess.")

    def _chosen(
        self,
        agreed: PlacedStructures,
        request: SceneRequest,
        pictures: ScenePictures,
        logits: Float[Tensor, "K W R R R"],
        progress: Progress,
    ) -> PlacedStructures:
        networks, advance = self.networks, progress.stage("outline")
        readers = networks.pixel_aligned, networks.proportions
        return chosen_by_outline(agreed, request, pictures, logits, *readers, advance=advance)

    @torch.no_grad()
    def _decoded(self, latents: Float[Tensor, "K W C r r r"]) -> Float[Tensor, "K W R R R"]:
        """Logits of occupancy."""
        return torch.stack([self.networks.structure_decoder(sample)[:, 0] for sample in latents]).cpu()


class MiniSceneGenStage(_MiniStage):
    """SceneGen: structures and poses of all objects together, sampled with every object as the query in turn."""

    name = "scenegen"

    @torch.no_grad()
    def sample_structures(self, request: SceneRequest, *, progress: Progress = SILENT) -> PlacedStructures:
        """See `StructureStage.sample_structures`."""
        progress.stage("encode")
        flow = cast(SceneStructureFlow, self.networks.flow)
        pictures = self._pictures(request)
        own = self._tokens(pictures.own)
        condition = SceneCondition(
            torch.cat([own, self._tokens(pictures.placed)], 1), self._tokens(pictures.scene[None])[0]
        )
        advance = progress.stage("structure")
        areas = torch.tensor([mask.area for mask in request.objects.regions])
        by_size = areas.argsort(stable=True, descending=True).tolist()
        sampler = SAMPLER.overridden(request.options.sampling)
        generators = [request.generator(index, "structure") for index in range(len(request.objects))]
        shape = (flow.config.in_channels, *[flow.config.resolution] * 3)
        latents, layouts = [], []
        for number in range(NUM_SAMPLES):
            # Every object is the query in turn: each tells the others' places in its own way.
            query = by_size[number % len(by_size)]
            order = [query, *(index for index in by_size if index != query)]
            noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
            sampled = sample_scene_structures(
                flow,
                [SceneCondition(condition.own[order], condition.shared)],
                noise[order].to(self.device),
                sampler,
                progress=partial(_tell_step, advance, number),
            )
            rows = torch.tensor(order).argsort()
            latents.append(sampled.latents[rows])
            layouts.append(world_from_objects(sampled.poses)[rows].cpu())
        progress.stage("voxels")
        wanted = list(request.wanted_indices)
        logits = self._decoded(torch.stack(latents)[:, wanted])
        occupied = agreed_voxels(logits, AGREEMENT)
        agreed = PlacedStructures(
            coords=tuple(grid.nonzero().int() for grid in occupied),
            resolution=occupied.shape[-1],
            world_from_object=agreed_layout(torch.stack(layouts[: len(by_size)]))[wanted],
            layout_errors=_ERRORS,
            tokens=own[None, wanted].cpu(),
            pictures=tuple(_image(pictures.own[index]) for index in wanted),
            notes=self._notes(request, pictures.own[wanted]),
        )
        return self._chosen(agreed, request, pictures, logits, progress)


class MiniISceneStage(_MiniStage):
    """I-Scene: every object in the scene's cube, and once more in a cube of its own."""

    name = "iscene"

    @torch.no_grad()
    def sample_structures(self, request: SceneRequest, *, progress: Progress = SILENT) -> PlacedStructures:
        """See `StructureStage.sample_structures`."""
        progress.stage("encode")
        flow = cast(SceneContextFlow, self.networks.flow)
        wanted = list(request.wanted_indices)
        pictures = self._pictures(request)
        own, placed = self._tokens(pictures.own[wanted]), self._tokens(pictures.placed[wanted])
        advance = progress.stage("structure")
        sampler = SAMPLER.overridden(request.options.sampling)
        conditions = SlotConditions(self._tokens(pictures.scene[None])[0], torch.stack([placed, own], 1))
        samples = []
        for number, (noise, object_noise) in enumerate(_noises(flow, request)):
            sampled = sample_structure(
                flow,
                conditions,
                noise,
                sampler,
                object_noise=object_noise,
                on_step=lambda step, t, x, v, done=number: _tell_step(advance, done, step + 1, sampler.steps),  # type: ignore[misc]
            )
            samples.append(sampled.objects)
        progress.stage("voxels")
        latents = torch.stack(samples)
        own_logits = self._decoded(latents[:, :, 1])
        in_scene, alone = self._decoded(latents[:, :, 0]), agreed_voxels(own_logits, AGREEMENT)
        placements = []
        for row in range(len(wanted)):
            centre, side = agreed_box(in_scene[:, row])
            placements.append(compose_similarity(torch.eye(3), centre, torch.tensor(side)))
        agreed = PlacedStructures(
            coords=tuple(shape.nonzero().int() for shape in alone),
            resolution=alone.shape[-1],
            world_from_object=torch.stack(placements),
            layout_errors=_ERRORS,
            tokens=own[None].cpu(),
            pictures=tuple(_image(pictures.own[index]) for index in wanted),
            notes=self._notes(request, pictures.own[wanted]),
        )
        return self._chosen(agreed, request, pictures, own_logits, progress)


def _noises(
    flow: SceneContextFlow, request: SceneRequest
) -> Iterator[tuple[Float[Tensor, "S C r r r"], Float[Tensor, "W S_less_1 C r r r"] | None]]:
    """Noise of every sample: all objects share it, but for those that are rolled again."""
    own = {index: request.generator(index, "structure") for index in request.wanted_indices if request.attempt(index)}
    generator = object_generator(request.seed, "", "structure")
    for _ in range(NUM_SAMPLES):
        noise = structure_noise(flow.scene_config, generator)
        shared = torch.cat([noise[:1], noise[2:]])
        rows = [
            torch.randn(shared.shape, generator=own[index]) if index in own else shared
            for index in request.wanted_indices
        ]
        yield noise, torch.stack(rows) if own else None


def _tell_step(advance: Advance, sample: int, step: int, steps: int) -> None:
    advance(sample * steps + step, NUM_SAMPLES * steps)


def _image(picture: Float[Tensor, "4 P P"]) -> Image.Image:
    return image_of(picture[:3].permute(1, 2, 0))
