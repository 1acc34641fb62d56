"""Stages: structure to tokens, cascades and their limits, normalisation, guidance calls, progress."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scenewright.backbones.structure_vae import occupied_coords
from scenewright.backbones.trellis2.config import SHAPE_SAMPLER, STRUCTURE_SAMPLER, TEXTURE_SAMPLER
from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.backbones.trellis2.plans import PLANS
from scenewright.backbones.trellis2.sampling import (
    cascade_coords,
    denormalized,
    normalized,
    sample_shape_latent,
    sample_structure_latent,
    structure_noise,
)
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.errors import OutOfMemoryBudgetError
from scenewright.sparse.tensor import SparseTensor
from scenewright.weights.record import LatentStatistics
from tests.backbones.trellis2.test_flows import SMALL, latent, randomized


def test_a_cell_is_a_token_when_any_of_its_voxels_is_occupied():
    logits = torch.full((2, 1, 8, 8, 8), -1.0)
    logits[0, 0, 5, 2, 7] = 0.5
    logits[1, 0, 0, 0, 0] = 0.0  # zero is empty
    assert occupied_coords(logits, 4).tolist() == [[0, 2, 1, 3]]
    assert occupied_coords(logits, 8).tolist() == [[0, 5, 2, 7]]


def dense_coords(side: int) -> torch.Tensor:
    return torch.cartesian_prod(torch.arange(1), *[torch.arange(side)] * 3).int()


def test_a_cascade_keeps_the_target_while_tokens_are_few():
    coords, resolution = cascade_coords(dense_coords(5), 512, 1536)
    assert resolution == 1536
    assert coords.tolist() == [[0, 0, 0, 0]]  # a cell is 5.3 voxels wide


def test_a_cascade_lowers_its_resolution_until_tokens_fit_and_stops_at_1024():
    fine = torch.randint(0, 512, (20000, 3), generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.pad(fine, (1, 0)).int()
    coords, resolution = cascade_coords(fine, 512, 1536, max_num_tokens=19500)
    assert len(coords) < 19500
    assert 1024 < resolution < 1536
    finer, _ = cascade_coords(fine, 512, resolution + 128, max_num_tokens=10**9)
    assert len(finer) >= 19500
    coords, resolution = cascade_coords(fine, 512, 1536, max_num_tokens=10)
    assert (resolution, len(coords) > 10) == (1024, True)


def test_a_target_without_floor_that_never_fits_is_an_error_not_a_loop():
    with pytest.raises(OutOfMemoryBudgetError, match="raise the limit"):
        cascade_coords(dense_coords(4), 512, 960, max_num_tokens=1)


@given(seed=st.integers(0, 10**6), resolution=st.sampled_from([1024, 1152, 1280, 1408, 1536]))
def test_tokens_of_a_cascade_are_sorted_distinct_and_inside(seed, resolution):
    fine = torch.randint(0, 512, (50, 3), generator=torch.Generator().manual_seed(seed))
    coords, _ = cascade_coords(torch.nn.functional.pad(fine, (1, 0)).int(), 512, resolution)
    assert torch.equal(coords, coords.unique(dim=0))
    assert int(coords.max()) < resolution // 16


def test_normalisation_is_undone_by_denormalisation():
    statistics = LatentStatistics((1.0, -2.0, 0.5, 0.0), (2.0, 3.0, 0.5, 1.0))
    x: SparseTensor = latent()
    assert torch.equal(
        denormalized(x.replace(torch.zeros_like(x.feats)), statistics).feats[0], torch.tensor(statistics.mean)
    )
    torch.testing.assert_close(denormalized(normalized(x, statistics), statistics).feats, x.feats)


class CountingFlow(StructureFlow):
    """A real flow that writes down which condition every evaluation got."""

    calls: list[bool]

    def forward(self, x, t, cond):  # type: ignore[no-untyped-def]
        self.calls.append(cond is not None)
        return super().forward(x, t, cond)


@pytest.mark.parametrize(
    ("config", "num_evaluations"), [(STRUCTURE_SAMPLER, 22), (SHAPE_SAMPLER, 21), (TEXTURE_SAMPLER, 12)]
)
def test_stages_evaluate_the_network_as_often_as_published(config, num_evaluations):
    flow = randomized(CountingFlow(SMALL))
    flow.calls = []
    steps = []
    noise = structure_noise(flow, 2, torch.Generator().manual_seed(0))
    sample = sample_structure_latent(
        flow, torch.randn(1, 3, 16), noise, config, progress=lambda step, total: steps.append((step, total))
    )
    assert sample.shape == noise.shape  # one picture serves both samples
    assert len(flow.calls) == num_evaluations
    assert sum(flow.calls) == 12
    assert steps == [(step, 12) for step in range(1, 13)]


def test_plans_use_the_published_grids_flows_and_pictures():
    assert {name: plan.structure_resolution for name, plan in PLANS.items()} == {
        "512": 32,
        "1024": 64,
        "1024_cascade": 32,
        "1536_cascade": 32,
    }
    assert [name for name, plan in PLANS.items() if plan.is_cascade] == ["1024_cascade", "1536_cascade"]
    assert PLANS["512"].condition_sizes == (512,)
    assert all(PLANS[name].condition_sizes == (512, 1024) for name in ("1024", "1024_cascade", "1536_cascade"))


def test_sampling_from_a_later_time_refines_the_state_it_is_given():
    torch.manual_seed(0)
    flow = randomized(LatentFlow(SMALL))
    guess = latent()
    tokens = torch.randn(guess.voxels.batch_size, 5, SMALL.cond_channels)
    statistics = LatentStatistics((0.0,) * 4, (1.0,) * 4)

    def sampled(start_time: float, steps: int = 8) -> torch.Tensor:
        config = replace(SHAPE_SAMPLER, steps=steps, guidance_strength=1.0)
        return sample_shape_latent(
            flow, tokens, guess.voxels, guess.feats, config, statistics, start_time=start_time
        ).feats

    moved = [float((sampled(time) - guess.feats).norm()) for time in (0.0, 0.01, 0.5)]
    assert moved[0] == 0
    assert 0 < moved[1] < moved[2]
    # One step from time s is x - s v(x, s).
    velocity = flow(guess, torch.full((guess.voxels.batch_size,), 250.0), flow.project_context(tokens)).feats
    torch.testing.assert_close(sampled(0.25, steps=1), guess.feats - 0.25 * velocity)
