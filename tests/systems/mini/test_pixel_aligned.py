"""The pixel-aligned network: places that are off, what it reads, that it learns, and its recipe."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts.mini_training.examples import solid
from scripts.mini_training.priors import write_priors

from scenewright.geometry.camera.cube_projection import projected
from scenewright.recipes.running import build_task, find_recipe
from scenewright.systems.mini.networks import MiniNetworks
from scenewright.systems.mini.pixel_aligned import PixelAlignedOccupancy
from scenewright.systems.mini.pixel_aligned_training import (
    PixelAlignedTaskConfig,
    PlacedObjects,
    moved,
    open_pixel_aligned,
    thin_parts,
    view_of,
)
from tests.support.learning import losses_on

EXACT = PixelAlignedTaskConfig(along=0.0, across=0.0, log_side=0.0, pitch=0.0)


@pytest.fixture(scope="module")
def objects(encoded: Path, tmp_path_factory: pytest.TempPathFactory) -> PlacedObjects:
    folder = Path(shutil.copytree(encoded, tmp_path_factory.mktemp("mini") / "encoded"))
    write_priors(MiniNetworks.load("scenegen"), folder, torch.float32)
    return open_pixel_aligned(folder, num_validation_files=0)[0]


def test_the_surface_of_an_object_projects_into_its_mask_or_behind_others(objects: PlacedObjects) -> None:
    batch = objects.batch([0, 1, 2], [torch.Generator().manual_seed(0)])
    view = view_of(batch)
    for index, grid in enumerate(batch["solid"]):
        points = (grid.nonzero() + 0.5) / 32 - 0.5
        places, depth = projected(points[None], view.crop_from_cube[index, None])
        assert float(depth.min()) > 0.3
        pixels = ((places[0] + 1) * 64).long().clamp(0, 127)
        covered = view.pictures[index, 3:5].sum(0)[pixels[:, 1], pixels[:, 0]]
        assert float((covered > 0.5).float().mean()) > 0.85


def placed(objects: PlacedObjects) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    batch = objects.batch([0, 1], [torch.Generator().manual_seed(0)])
    return batch["crop_from_world"].float(), batch["centres"].float(), batch["sides"].float()


def test_an_error_of_the_distance_keeps_what_the_crop_shows(objects: PlacedObjects) -> None:
    camera, centres, sides = placed(objects)
    torch.manual_seed(1)
    same, moved_centres, moved_sides = moved(camera, centres, sides, replace(EXACT, along=0.1))
    torch.testing.assert_close(same, camera)
    assert float((moved_sides / sides).log().abs().min()) > 0.005
    corner = torch.full((2, 1, 3), 0.5)
    before, _ = projected(centres[:, None] + sides[:, None, None] * corner, camera)
    after, _ = projected(moved_centres[:, None] + moved_sides[:, None, None] * corner, camera)
    torch.testing.assert_close(before, after, atol=1e-3, rtol=0)


def test_other_errors_move_the_cube_and_tilt_it_about_its_centre(objects: PlacedObjects) -> None:
    camera, centres, sides = placed(objects)
    torch.manual_seed(1)
    same, shifted, _ = moved(camera, centres, sides, replace(EXACT, across=0.04))
    torch.testing.assert_close(same, camera)
    assert 0 < float(((shifted - centres) / sides[:, None]).abs().max()) < 0.2
    tilted, unmoved, _ = moved(camera, centres, sides, replace(EXACT, pitch=0.3))
    torch.testing.assert_close(unmoved, centres)
    before, after = (projected(centres[:, None], view)[0] for view in (camera, tilted))
    torch.testing.assert_close(before, after, atol=1e-4, rtol=0)
    ahead = centres[:, None] + torch.tensor([0.0, 0.3, 0.0])
    assert not torch.allclose(projected(ahead, camera)[0], projected(ahead, tilted)[0], atol=1e-3)


def test_the_unit_of_the_scene_changes_nothing(objects: PlacedObjects) -> None:
    view = view_of(objects.batch([0, 1], [torch.Generator().manual_seed(0)]))
    torch.manual_seed(0)
    network = PixelAlignedOccupancy().eval()
    in_other_units = replace(view, crop_from_cube=7 * view.crop_from_cube)
    with torch.no_grad():
        torch.testing.assert_close(network(view), network(in_other_units), atol=1e-3, rtol=1e-3)


def test_thin_parts_are_what_no_cube_of_three_cells_covers() -> None:
    table = torch.zeros(1, 16, 16, 16)
    table[:, 2:14, 2:14, 9:12] = 1
    table[:, 3:5, 3:5, :9] = 1
    thin = thin_parts(table)
    assert torch.equal(thin[:, 3:5, 3:5, :9], torch.ones(1, 2, 2, 9))
    assert float(thin.sum()) == 2 * 2 * 9


def test_a_few_steps_of_the_recipes_task_fit_a_batch(objects: PlacedObjects) -> None:
    task = build_task(find_recipe("mini_pixel_aligned"))
    batch = objects.batch([0, 1], [torch.Generator().manual_seed(0)])
    losses = losses_on(task, batch, steps=8, lr=1e-3)
    assert losses[-1] < 0.9 * losses[0]


def test_a_model_without_a_bottom_is_closed_by_the_floor() -> None:
    grid = np.zeros((8, 8, 8), dtype=bool)
    grid[1:7, 1:7, 2:6] = True
    grid[2:6, 2:6, 2:5] = False  # open below
    closed = solid(grid)
    assert closed[2:6, 2:6, 2:5].all()
    assert closed.sum() == 6 * 6 * 4
    # What is open at a side stays open.
    grid[1, 3, 2:5] = False
    assert not solid(grid)[3, 3, 3]
