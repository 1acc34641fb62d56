"""Made rooms with the meshes and latents of their parts: everything stands where occupancy and boxes say."""

import numpy as np
import pytest
import torch

from scenewright.data.library import TrainingLibrary
from scenewright.data.selection import Selector
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.inspace.made_details import VoxelParts, detail_samples, voxel_parts
from scenewright.systems.inspace.made_rooms import CEILING_CUT_M, RoomModel, made_room
from scenewright.systems.inspace.partial_geometry import COARSE_RESOLUTION
from scenewright.systems.inspace.parts import cells_in_boxes
from scenewright.types import OVoxel
from scenewright.weights.record import LatentStatistics

RESOLUTION = 128


@pytest.fixture(scope="module")
def model() -> RoomModel:
    selector = Selector(TrainingLibrary())
    for seed in range(20):
        found = made_room(selector, np.random.default_rng(seed), height=64)
        if found is not None and len(found.room.boxes) > 2:
            return found
    raise AssertionError("No room of twenty has a camera and furniture.")


@pytest.fixture(scope="module")
def parts(model: RoomModel) -> VoxelParts:
    return voxel_parts(model, RESOLUTION)


def cells_of(voxels: OVoxel, resolution: int) -> torch.Tensor:
    return (voxels.grid.coords // (RESOLUTION // resolution)).unique(dim=0)


def test_objects_fill_their_boxes_and_nothing_else(model: RoomModel, parts: VoxelParts) -> None:
    boxes = torch.from_numpy(model.room.boxes)
    assert parts.objects
    for row, voxels in parts.objects:
        grown = boxes[row].clone()
        grown[3:6] += 2 / RESOLUTION
        assert bool(cells_in_boxes(voxels.grid.coords, grown[None], RESOLUTION).all())
        points = (voxels.grid.coords + 0.5) / RESOLUTION - 0.5
        extent = points.amax(0) - points.amin(0)
        assert float(extent[2]) == pytest.approx(float(boxes[row, 5]), abs=2 / RESOLUTION)


def test_the_layout_covers_the_cells_of_its_occupancy_below_the_cut(model: RoomModel, parts: VoxelParts) -> None:
    occupied = torch.zeros((COARSE_RESOLUTION,) * 3, dtype=torch.bool)
    occupied[tuple(cells_of(parts.layout, COARSE_RESOLUTION).long().T)] = True
    expected = torch.from_numpy(model.room.layout)
    assert float((occupied & expected).sum() / expected.sum()) > 0.98
    top = (parts.layout.grid.coords[:, 2].max() + 0.5) / RESOLUTION - 0.5
    cut = (model.room.ceiling_m - CEILING_CUT_M - float(model.room.center_m[2])) * model.room.scale
    assert float(top) <= cut
    assert float(top) == pytest.approx(cut, abs=2 / RESOLUTION)
    assert parts.room is not None
    assert len(parts.room.grid.coords) > len(parts.layout.grid.coords)


def test_samples_hold_latents_of_visible_objects_beside_their_boxes(model: RoomModel, parts: VoxelParts) -> None:
    def latents_of(voxels: OVoxel) -> tuple[SparseTensor, SparseTensor]:
        coords = cells_of(voxels, 16)
        found = VoxelSet(torch.nn.functional.pad(coords, (1, 0)))
        return SparseTensor(coords.float(), found), SparseTensor(-coords[:, :1].float(), found)

    boxes, tokens = torch.from_numpy(model.room.boxes), torch.zeros(6, 4, 8)
    statistics = {
        "shape": LatentStatistics((8.0,) * 3, (2.0,) * 3),
        "texture": LatentStatistics((0.0,), (1.0,)),
    }
    for with_room in (True, False):
        given = parts if with_room else VoxelParts(parts.layout, parts.objects)
        samples = detail_samples(given, latents_of, boxes, torch.zeros(3), tokens, statistics)
        shape, texture = samples["shape"], samples["texture"]
        lengths = shape["lengths"].tolist()
        assert (lengths[0] > 0) == with_room
        assert sum(lengths) == len(shape["coords"]) == len(shape["latent"])
        assert len(lengths) == 2 + len(parts.objects)
        assert torch.equal(shape["boxes"], boxes[[row for row, _ in parts.objects]])
        assert torch.equal(shape["latent"].float(), (shape["coords"] - 8) / 2)
        assert torch.equal(texture["shape_latent"], shape["latent"])
