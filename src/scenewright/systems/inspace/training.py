"""Training tasks of InSpace's four networks: the room's structure, its boxes, and shape and texture of all its parts.

Losses and defaults are the published ones; pictures stay with their rooms when a batch is split, which the published
trainer of the detail flows does not ensure. Image tokens are made beforehand (`room_sets`), so no random face embedding
enters. Source: naver/inspace trellis2/trainers.

Legend: B rooms, R latent resolution, T tokens per face, D channels of a token, M latent tokens of all parts and rooms.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.nn.flow_context import FlowContext
from scenewright.samplers.flow import interpolate
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.inspace.asset_views import FaceTokens
from scenewright.systems.inspace.box_network import BoxNetwork, BoxNetworkConfig
from scenewright.systems.inspace.box_targets import BoxLossWeights, box_loss, box_targets, usable_boxes
from scenewright.systems.inspace.detail_flow import DetailFlow, part_ids
from scenewright.systems.inspace.image_keys import intended_keys
from scenewright.systems.inspace.training_samples import RoomSample
from scenewright.systems.inspace.view_attention import Reading, dense_readings, key_set_readings, project_views
from scenewright.systems.inspace.view_attention import face_readings as grouped_readings
from scenewright.systems.inspace.view_bias import PUBLISHED_CAMERA_SCALE, voxel_view_bias
from scenewright.training.flow_matching import (
    TimeSchedule,
    flow_loss,
    noised,
    sample_times,
    without_condition,
)
from scenewright.training.task import Task
from scenewright.weights.config import config_from_json

__all__ = [
    "BoxBatch",
    "BoxTask",
    "DetailBatch",
    "DetailTask",
    "RoomStructureBatch",
    "RoomStructureTask",
    "build_boxes",
    "build_detail",
    "build_structure",
]

# Below this many pairs of voxels and image tokens a mask over all of them is faster than groups.
_FEW_PAIRS = 1 << 19
PARTIAL_TIMES = (0.3, 0.7)
"""Times at which the published optional mode starts from partial geometry."""


class RoomStructureBatch(TypedDict):
    """Structure latents of rooms, the image tokens of their panoramas and where those were taken in the cube.

    `partial` is the latent of partial geometry, for the mode that starts from it.
    """

    latent: Float[Tensor, "B C R R R"]
    tokens: Float[Tensor, "B 6 T D"]
    camera: Float[Tensor, "B 3"]
    partial: NotRequired[Float[Tensor, "B C R R R"]]


class RoomStructureTask(Task[RoomStructureBatch]):
    """Flow matching on the structure of rooms; a dropped condition keeps its view bias, as published.

    Args:
        camera_scale: 1 is published, 2 geometrically right (`voxel_view_bias`).
        from_partial: start x_t from partial geometry instead, at a time drawn from `PARTIAL_TIMES`; the target stays.
    """

    network: StructureFlow

    def __init__(
        self,
        network: StructureFlow,
        times: TimeSchedule,
        drop_probability: float = 0.1,
        camera_scale: float = PUBLISHED_CAMERA_SCALE,
        from_partial: bool = False,
    ) -> None:
        self.network, self.times, self.drop_probability = network, times, drop_probability
        self.camera_scale, self.from_partial = camera_scale, from_partial

    def loss(self, batch: RoomStructureBatch) -> dict[str, Tensor]:
        x_0 = batch["latent"].float()
        if self.from_partial:
            low, high = PARTIAL_TIMES
            t = low + (high - low) * torch.rand(len(x_0), device=x_0.device)
            x_t, noise = noised(batch["partial"].float(), t)
        else:
            t = sample_times(len(x_0), self.times, device=x_0.device)
            x_t, noise = noised(x_0, t)
        tokens = batch["tokens"].float()
        dropped = torch.rand(len(tokens), device=tokens.device) < self.drop_probability
        context = self._context(without_condition(tokens, dropped), batch["camera"].float())
        return {"loss": flow_loss(self.network(x_t, 1000 * t, context), x_0, noise)}

    def _context(self, tokens: Float[Tensor, "B 6 T D"], camera: Float[Tensor, "B 3"]) -> FlowContext:
        bias = voxel_view_bias(camera, self.network.config.resolution, camera_scale=self.camera_scale)
        per_face = tokens.shape[2]
        if bias[0].numel() * per_face <= _FEW_PAIRS:
            readings = dense_readings(list(bias.repeat_interleave(per_face, 2)))
        else:
            readings = grouped_readings(bias, per_face)
        return project_views(self.network, tokens.flatten(1, 2), readings)


class BoxBatch(TypedDict):
    """Occupancies of rooms (or of what is known of them), and their boxes in the cube."""

    occupancy: Float[Tensor, "B 1 R R R"]
    boxes: Sequence[Float[Tensor, "_ 7"]]


class BoxTask(Task[BoxBatch]):
    """The box network on occupancy alone."""

    network: BoxNetwork

    def __init__(self, network: BoxNetwork, weights: BoxLossWeights | None = None) -> None:
        self.network, self.weights = network, weights or BoxLossWeights()

    def loss(self, batch: BoxBatch) -> dict[str, Tensor]:
        sizes = self.network.config
        targets = [
            box_targets(usable_boxes(boxes.cpu()), sizes.resolution, num_yaw_bins=sizes.num_yaw_bins)
            for boxes in batch["boxes"]
        ]
        return box_loss(self.network(batch["occupancy"].float()), targets, self.weights)


class DetailBatch(TypedDict):
    """Rooms with the latents of their parts; `samples`, tokens and cameras are in the same order."""

    samples: Sequence[RoomSample]
    tokens: Float[Tensor, "B 6 T D"]
    camera: Float[Tensor, "B 3"]


class DetailTask(Task[DetailBatch]):
    """Flow matching on shape or (where samples have a shape latent) texture latents of all parts of rooms.

    Args:
        faces: sizes of the image tokens.
    """

    network: DetailFlow

    def __init__(
        self, network: DetailFlow, times: TimeSchedule, faces: FaceTokens, drop_probability: float = 0.1
    ) -> None:
        self.network, self.times, self.faces, self.drop_probability = network, times, faces, drop_probability

    def loss(self, batch: DetailBatch) -> dict[str, Tensor]:
        samples, tokens = batch["samples"], batch["tokens"].float()
        device = tokens.device
        rooms = [sample.parts for sample in samples]
        coords = [torch.nn.functional.pad(room.coords, (1, 0), value=b) for b, room in enumerate(rooms)]
        voxels = VoxelSet(torch.cat(coords).to(device), len(rooms))
        x_0 = torch.cat([sample.feats for sample in samples]).to(device).float()
        t = sample_times(len(rooms), self.times, device=device)
        noise = torch.randn_like(x_0)
        x_t = interpolate(x_0, noise, t[voxels.batch_index, None])
        shapes = [sample.shape.float() for sample in samples if sample.shape is not None]
        shape = torch.cat(shapes).to(device) if shapes else None
        dropped = torch.rand(len(rooms), device=device) < self.drop_probability
        context = project_views(
            self.network, without_condition(tokens, dropped).flatten(1, 2), self._readings(samples, batch["camera"])
        )
        velocity = self.network.velocity_of_parts(
            SparseTensor(x_t, voxels), part_ids(rooms).to(device), 1000 * t, context, shape
        )
        return {"loss": flow_loss(velocity.feats, x_0, noise), "tokens": x_0.new_tensor(float(len(x_0)))}

    def _readings(self, samples: Sequence[RoomSample], cameras: Float[Tensor, "B 3"]) -> list[Reading]:
        resolution = self.network.config.resolution
        keys = [
            intended_keys(sample.parts, sample.boxes, camera.cpu(), self.faces, resolution)
            for sample, camera in zip(samples, cameras, strict=True)
        ]
        device = cameras.device
        return [reading.to(device) for reading in key_set_readings(keys, self.faces.per_face)]


def build_structure(
    network: Mapping[str, Any],
    times: Mapping[str, Any] | None = None,
    drop_probability: float = 0.1,
    camera_scale: float = PUBLISHED_CAMERA_SCALE,
    from_partial: bool = False,
) -> RoomStructureTask:
    """The task of the coarse flow, initialised as TRELLIS.2's; published training starts from its structure flow.

    Raises:
        InputError: an argument is unknown.
    """
    flow = StructureFlow(config_from_json(FlowConfig, network, irrelevant=()))
    flow.initialize_weights()
    schedule = config_from_json(TimeSchedule, dict(times or {}))
    return RoomStructureTask(flow, schedule, drop_probability, camera_scale, from_partial)


def build_boxes(network: Mapping[str, Any] | None = None, loss: Mapping[str, Any] | None = None) -> BoxTask:
    """The task of the box network.

    Raises:
        InputError: an argument is unknown.
    """
    sizes = config_from_json(BoxNetworkConfig, dict(network or {}))
    return BoxTask(BoxNetwork(sizes), config_from_json(BoxLossWeights, dict(loss or {})))


def build_detail(
    network: Mapping[str, Any],
    times: Mapping[str, Any] | None = None,
    drop_probability: float = 0.1,
    faces: Mapping[str, Any] | None = None,
) -> DetailTask:
    """The task of a detail flow (times uniform); published training starts from TRELLIS.2's flow without its positions.

    Raises:
        InputError: an argument is unknown.
    """
    flow = DetailFlow(config_from_json(FlowConfig, network, irrelevant=()))
    flow.initialize_weights()
    schedule = config_from_json(TimeSchedule, {"kind": "uniform"} | dict(times or {}))
    return DetailTask(flow, schedule, config_from_json(FaceTokens, dict(faces or {})), drop_probability)
