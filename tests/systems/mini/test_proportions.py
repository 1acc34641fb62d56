"""Proportions: what an outline says under a known camera, how shapes are stretched, and that the network learns."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenewright.geometry.camera.cameras import intrinsics_from_fov, look_at
from scenewright.recipes.running import build_task, find_recipe
from scenewright.systems.assembly.structures import PlacedStructures, SizeEstimates
from scenewright.systems.mini.proportions import Outlines, outlines_of, stretched_to
from scenewright.systems.mini.proportions_training import SizedObjects, open_proportions, outlines_in, target_of
from scenewright.systems.mini.surface import surfaces_of
from tests.support.learning import losses_on

SIDE = 128
SURE, UNSURE = torch.full((1, 4), 0.005), torch.full((1, 4), 1e3)


def sign(
    width: float, height: float, away: float, base: float, eye_m: float = 1.6
) -> tuple[torch.Tensor, torch.Tensor]:
    """The mask of an upright sign that faces a camera looking along +y and a little down, and the camera's matrix."""
    camera = look_at(torch.tensor([0.0, 0.0, eye_m]), torch.tensor([0.0, 1.0, eye_m - 0.4]))
    pixels_from_world = intrinsics_from_fov(60.0, SIDE, SIDE).double() @ camera[:3].double()
    crop_from_pixels = torch.tensor([[2 / SIDE, 0, -1], [0, 2 / SIDE, -1], [0, 0, 1]]).double()
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    places = torch.stack([columns + 0.5, rows + 0.5, torch.ones(SIDE, SIDE)], -1).double()
    rays = places @ torch.linalg.inv(pixels_from_world[:, :3]).T
    x, z = rays[..., 0] / rays[..., 1] * away, rays[..., 2] / rays[..., 1] * away + eye_m
    mask = (x.abs() < width / 2) & (z > base) & (z < base + height) & (rays[..., 1] > 0)
    return mask.float()[None], (crop_from_pixels @ pixels_from_world)[None]


def outlines(masks: torch.Tensor, camera: torch.Tensor, ground: float) -> Outlines:
    return outlines_of(masks, torch.zeros_like(masks), camera, torch.tensor([ground]))


@pytest.mark.parametrize("base", [0.0, 0.7])
def test_a_flat_sign_is_as_wide_high_and_far_as_its_outline_says(base: float) -> None:
    found = outlines(*sign(0.8, 0.6, 2.5, base), ground=base).log_sides[0]
    above = 1.6 - base
    expected = [math.log(0.8 / above), math.log(0.8 / above), math.log(0.6 / above), math.log(2.5 / above)]
    torch.testing.assert_close(found, torch.tensor(expected), atol=0.08, rtol=0)


def test_the_unit_of_the_scene_changes_nothing() -> None:
    mask, camera = sign(0.8, 0.6, 2.5, 0.3)
    unit = torch.tensor([1.0, 1.0, 1.0, 7.0]).double()
    here, there = outlines(mask, camera, 0.3), outlines(mask, camera * unit, 0.3 * 7)
    torch.testing.assert_close(here.clues, there.clues, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(here.log_sides, there.log_sides, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("target", [(0.0, 1e-3, 0.0), (0.0, 1.0, 3.0), (1.0, -1.0, 1.0)])
def test_views_unlike_those_of_training_give_numbers(target: tuple[float, float, float]) -> None:
    """Straight down, up at something above the eye, and back over the shoulder."""
    mask, _ = sign(0.8, 0.6, 2.5, 0.0)
    camera = look_at(torch.tensor([0.0, 0.0, 1.6]), torch.tensor(target))
    pixels_from_world = intrinsics_from_fov(60.0, SIDE, SIDE).double() @ camera[:3].double()
    found = outlines(mask, pixels_from_world[None], 0.0)
    assert found.clues.isfinite().all()
    assert found.log_sides.isfinite().all()


def box_of(*cells: int) -> torch.Tensor:
    """Cells of a box of so many cells a side, in the middle of a grid of 32."""
    axes = [torch.arange(16 - count // 2, 16 + count // 2) for count in cells]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def test_shapes_take_the_said_proportions_and_keep_their_longest_side() -> None:
    shells = [box_of(32, 16, 20)]
    said = torch.tensor([[0.8, 0.42, 0.47, 1.0]]).log() + 3  # in any unit
    factors = stretched_to(shells, 32, SizeEstimates(said, SURE))
    torch.testing.assert_close(factors, torch.tensor([[1.0, 1.05, 0.94]]), atol=1e-3, rtol=0)
    unchanged = stretched_to(shells, 32, SizeEstimates(said, UNSURE))
    torch.testing.assert_close(unchanged, torch.ones(1, 3), atol=1e-3, rtol=0)


def test_no_side_changes_much_and_no_shape_leaves_its_cube() -> None:
    far_off = SizeEstimates(torch.tensor([[1.0, 4.0, 1.0, 1.0]]).log(), SURE)
    factors = stretched_to([box_of(32, 16, 16)], 32, far_off)
    assert 1.1 < float(factors[0, 1] / factors[0, 2]) < 1.3
    beside = box_of(32, 16, 16) + torch.tensor([0, 7, 0])
    factors = stretched_to([beside], 32, far_off)
    assert float(factors[0, 1]) == pytest.approx(32 / 31)  # half a cell is left beyond the outermost


def test_surfaces_take_the_stretches() -> None:
    coords = torch.stack(torch.meshgrid(*[torch.arange(8, 24)] * 3, indexing="ij"), -1).reshape(-1, 3).int()
    plain = PlacedStructures((coords,), 32, torch.eye(4)[None], torch.zeros(1, 1, 1, 1), ())
    factors = torch.tensor([1.0, 1.5, 0.5])
    before, after = (
        surfaces_of(structures)[0].vertices for structures in (plain, replace(plain, stretches=factors[None]))
    )
    torch.testing.assert_close(after, before * factors)


@pytest.fixture(scope="module")
def objects(encoded: Path) -> SizedObjects:
    return open_proportions(encoded, num_validation_files=0)[0]


def test_the_outlines_of_made_objects_are_near_their_sizes(objects: SizedObjects) -> None:
    batch = objects.batch(range(len(objects)), [])
    ground = batch["ground"].float()
    off = target_of(batch, outlines_in(batch, ground), ground)
    assert float(off[:, [0, 2, 3]].abs().median()) < 0.35


def test_a_few_steps_of_the_recipes_task_fit_a_batch(objects: SizedObjects) -> None:
    torch.manual_seed(0)
    task = build_task(find_recipe("mini_proportions"))
    batch = objects.batch([0, 1, 2], [])
    losses = losses_on(task, batch, steps=20, lr=2e-3)
    assert losses[-1] < losses[0] - 0.3
