"""Expected seconds: those of every stage of a run, by the machine's measured pace, and as many as there are objects."""

import pytest
import torch

from scenewright.systems.calibration import BLOCK_OPERATIONS, BlockSeconds
from scenewright.systems.costs import REFERENCE, stage_seconds
from scenewright.systems.registry import usable_systems

WITH_MINI = [(spec.name, preset) for spec in usable_systems() if spec.mini for preset in (None, *spec.presets)]


@pytest.mark.parametrize(("system", "preset"), WITH_MINI)
def test_minis_seconds_go_with_the_pace_of_the_machine(system, preset):
    here = stage_seconds(system, "mini", objects=4, preset=preset)
    slow = BlockSeconds(2 * REFERENCE.float32, REFERENCE.bfloat16)
    there = stage_seconds(system, "mini", slow, objects=4, preset=preset)
    assert sum(here.values()) > 1
    assert there == pytest.approx({stage: 2 * seconds for stage, seconds in here.items()})
    assert sum(stage_seconds(system, "mini", objects=8, preset=preset).values()) > sum(here.values())


def test_published_networks_cost_their_operations(monkeypatch):
    monkeypatch.setattr("scenewright.systems.costs.available_cores", lambda: 4)
    block = BlockSeconds(BLOCK_OPERATIONS / 1e11, BLOCK_OPERATIONS / 4e11)
    single = stage_seconds("scenegen", "published", block, objects=2)
    half = stage_seconds("scenegen", "published", block, objects=2, dtype=torch.bfloat16)
    assert single["structure"] == pytest.approx(4 * half["structure"])
    more = stage_seconds("scenegen", "published", block, objects=3)
    assert more["structure"] > single["structure"] > 60


@pytest.mark.parametrize("system", ["scenegen", "iscene"])
def test_published_samplers_cost_half_in_a_draft_and_twice_at_best(system):
    draft, usual, best = (
        stage_seconds(system, "published", objects=2, quality=quality) for quality in ("draft", "standard", "best")
    )
    assert 2 * draft["structure"] == pytest.approx(usual["structure"]) == pytest.approx(best["structure"] / 2)
    assert draft["finish"] == usual["finish"] == best["finish"]


@pytest.mark.parametrize("system", ["scenegen", "iscene"])
def test_minis_draft_costs_less_where_places_are_fitted_and_surfaces_sampled_and_its_best_no_more(system):
    draft, usual, best = (
        stage_seconds(system, "mini", objects=3, quality=quality) for quality in ("draft", "standard", "best")
    )
    assert best == usual
    assert {stage for stage in usual if draft[stage] < usual[stage]} == {"outline", "shape", "place"}
    assert sum(draft.values()) < 0.95 * sum(usual.values())


def test_unknown_costs_are_said_to_be_unknown():
    assert stage_seconds("cuboid", "cuboid") == {}
