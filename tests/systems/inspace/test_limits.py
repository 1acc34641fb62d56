"""Limits of the whole coarse sampler, and what the order of parts and a quarter turn must not change."""

from dataclasses import replace

import pytest
import torch

from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.inspace.coarse import CoarseSettings, sample_coarse
from scenewright.systems.inspace.detail_flow import DetailFlow
from scenewright.systems.inspace.image_keys import KeySets, intended_keys
from scenewright.systems.inspace.parts import RoomParts
from scenewright.systems.inspace.view_attention import face_readings, key_set_readings, project_views
from scenewright.systems.inspace.view_bias import voxel_view_bias
from tests.systems.inspace.test_view_attention import BOXES, CAMERA, SIZES, TOKENS, coarse_flow, randomized, room

QUICK = replace(CoarseSettings(), sampler=replace(CoarseSettings().sampler, steps=3))


@pytest.mark.parametrize("form", ["published_batch", "published_demo", "exact"])
def test_all_noise_is_plain_sampling(form: str) -> None:
    flow, tokens = coarse_flow(), torch.randn(6, TOKENS.per_face, 8)
    noise, partial = torch.randn(2, 1, 4, 4, 4, 4).unbind()
    plain = sample_coarse(flow, tokens, CAMERA, noise, QUICK)
    settings = replace(QUICK, inversion=form, alpha=1.0)
    assert torch.allclose(sample_coarse(flow, tokens, CAMERA, noise, settings, partial=partial), plain, atol=1e-3)


@pytest.mark.parametrize("form", ["published_demo", "exact"])
def test_no_noise_keeps_the_partial_geometry(form: str) -> None:
    flow, tokens = coarse_flow(), torch.randn(6, TOKENS.per_face, 8)
    noise, partial = torch.randn(2, 1, 4, 4, 4, 4).unbind()
    settings = replace(QUICK, inversion=form, alpha=0.0)
    assert torch.allclose(sample_coarse(flow, tokens, CAMERA, noise, settings, partial=partial), partial, atol=1e-3)
    batch = replace(QUICK, inversion="published_batch", alpha=0.0)
    assert not torch.allclose(sample_coarse(flow, tokens, CAMERA, noise, batch, partial=partial), partial, atol=0.1)


def test_the_order_of_assets_changes_no_velocity_where_parts_have_one_embedding() -> None:
    flow: DetailFlow = randomized(DetailFlow(SIZES))  # type: ignore[assignment]
    parts, tokens, t = room(), torch.randn(1, 6 * TOKENS.per_face, 8), torch.tensor([400.0])
    order = [0, 1, 4, 2, 3]
    moved = RoomParts(tuple(parts.parts[number] for number in order))
    keys = intended_keys(parts, BOXES, CAMERA, TOKENS)
    rows = torch.randn(len(parts.coords), 4)

    def velocity(parts: RoomParts, keys: KeySets, rows: torch.Tensor) -> torch.Tensor:
        context = project_views(flow, tokens, key_set_readings([keys], TOKENS.per_face))
        voxels = VoxelSet(torch.nn.functional.pad(parts.coords, (1, 0)), 1)
        one = torch.zeros(len(rows), dtype=torch.long)
        return flow.velocity_of_parts(SparseTensor(rows, voxels), one, t, context).feats

    shuffled = torch.cat([parts.split(rows)[number] for number in order])
    sets = torch.cat([parts.split(keys.set_of_row)[number] for number in order])
    expected = torch.cat([parts.split(velocity(parts, keys, rows))[number] for number in order])
    assert torch.allclose(velocity(moved, KeySets(sets, keys.masks), shuffled), expected, atol=1e-3)


def test_what_a_cell_reads_turns_with_room_and_panorama() -> None:
    turned = torch.tensor([-CAMERA[1], CAMERA[0], CAMERA[2]])  # a quarter turn, counter-clockwise from above
    tokens = torch.randn(6, TOKENS.per_face, 8)
    faces = [1, 2, 3, 0, 4, 5]  # after the turn, front shows what right showed, right what back showed, ...
    reads = []
    for camera, shown in ((CAMERA, tokens), (turned, tokens[faces])):
        bias = voxel_view_bias(camera[None], 4, camera_scale=2.0)
        seen = torch.full((64, 6), -torch.inf)
        for reading in face_readings(bias, TOKENS.per_face):
            assert reading.level is not None
            seen[reading.rows, int(reading.keys[0]) // TOKENS.per_face] = reading.level
        weights = seen.softmax(1)
        reads.append(torch.einsum("cf,fk->ck", weights, shown.mean(1)))
    before, after = reads[0].view(4, 4, 4, 8), reads[1].view(4, 4, 4, 8)
    # What was at (x, y) is at (3 - y, x) after the turn.
    assert torch.allclose(after, before.transpose(0, 1).flip(0), atol=1e-2)
