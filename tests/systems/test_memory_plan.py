"""Memory estimated before networks are loaded: every system that takes a ceiling refuses one that is too low."""

from pathlib import Path

import pytest
import torch

from scenewright.errors import OutOfMemoryBudgetError
from scenewright.systems.memory_plan import check_ceiling, check_held, fitting_dtype, memory_plan, needed_records
from scenewright.systems.registry import usable_systems

SYSTEMS = [
    (spec.name, weights)
    for spec in usable_systems()
    if "max_memory_bytes" in spec.takes
    for weights in ("published", *(["mini"] if spec.mini else []))
]


def test_every_system_with_networks_takes_a_ceiling() -> None:
    assert {spec.name for spec in usable_systems() if spec.networks} == {name for name, _ in SYSTEMS}
    assert {name for name, weights in SYSTEMS if weights == "mini"} >= {"scenegen", "iscene", "inspace", "genrecon"}


@pytest.mark.parametrize(("system", "weights"), SYSTEMS)
def test_a_ceiling_below_the_networks_is_refused_and_one_above_everything_is_not(system: str, weights: str) -> None:
    plan = memory_plan(system, weights, "cpu", objects=3)
    assert plan.total == plan.program + plan.networks + plan.work
    with pytest.raises(OutOfMemoryBudgetError, match=rf"{system}.* needs at least .* for 3 objects, .* --max-memory"):
        check_ceiling(plan, plan.networks)
    check_ceiling(plan, plan.total)
    check_ceiling(plan, None)


def test_networks_that_are_loaded_count_as_they_are() -> None:
    with pytest.raises(OutOfMemoryBudgetError, match=r"more than the 1\.0 MB of --max-memory"):
        check_held("any", "cpu", 10**6)
    check_held("any", "cpu", 10**13)


def test_half_precision_takes_half_and_more_objects_more() -> None:
    single = memory_plan("scenegen", "published", "cpu", objects=2)
    half = memory_plan("scenegen", "published", "cpu", objects=2, dtype=torch.float16)
    encoders = 4 * sum(
        record.num_parameters or 0
        for record in needed_records("scenegen")
        if record.name in ("dinov2-vitl14-reg", "vggt-1b")
    )
    assert half.networks - encoders == (single.networks - encoders) // 2  # encoders stay in single precision
    assert half.work == single.work // 2
    assert memory_plan("scenegen", "published", "cpu", objects=9).work > single.work


def test_somebodys_own_weights_count_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "flow.safetensors").write_bytes(bytes(5000))
    plan = memory_plan("genrecon", str(tmp_path), "cpu")
    assert plan.networks == 5000
    assert plan.work < memory_plan("genrecon", "published", "cpu").work


def test_another_decoder_takes_other_networks() -> None:
    names = {record.name for record in needed_records("scenegen", "trellis2")}
    assert {"scenegen/structure_flow", "vggt-1b", "trellis1/structure_decoder", "trellis2/shape_decoder"} <= names
    assert not {"trellis1/slat_flow", "trellis1/mesh_decoder", "trellis2/structure_flow"} & names


def test_what_does_not_fit_together_is_read_in_turn() -> None:
    held = memory_plan("scenegen", "published", "cpu", dtype=torch.bfloat16)
    tight = memory_plan("scenegen", "published", "cpu", dtype=torch.bfloat16, room=held.total - 1)
    assert (held.is_in_turn, tight.is_in_turn) == (False, True)
    assert held.networks - tight.networks == 2 * sum(
        record.num_parameters or 0
        for record in needed_records("scenegen")
        if record.name in ("trellis1/slat_flow", "trellis1/mesh_decoder")
    )
    assert not memory_plan("scenegen", "mini", "cpu", room=1).is_in_turn


def test_of_networks_that_are_loaned_the_largest_counts() -> None:
    plan = memory_plan("iscene", "published", "cpu", decoder="trellis2")
    encoders, flows = 304_372_736 + 303_129_600, 555_543_560 + 1_292_302_880
    assert plan.networks == 4 * (encoders + 73_671_201 + flows)


@pytest.mark.parametrize(
    ("room", "expected"), [(1 << 40, None), (9 << 30, torch.bfloat16), (5 << 30, torch.int8), (1 << 30, None)]
)
def test_a_precision_that_was_left_open_is_the_first_that_fits(room: int, expected: torch.dtype | None) -> None:
    """With no room for any, the run refuses by itself."""
    found = fitting_dtype("scenegen", "published", torch.device("cpu"), max_memory_bytes=room)
    assert found == expected
    if expected is not None:
        assert memory_plan("scenegen", "published", dtype=expected).total <= room
