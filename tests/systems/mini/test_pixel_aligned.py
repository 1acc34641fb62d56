"""The pixel-aligned network: places that are off, what it reads, that it learns, and its recipe."""

import numpy as np
import pytest
import torch
from scripts.mini_training.encoding import encode_pictures
from scripts.mini_training.examples import read_examples, solid, write_examples

from scenewright.data.library import TrainingLibrary
from scenewright.data.selection import Selector
from scenewright.geometry.camera.cube_projection import projected
from scenewright.recipes.running import build_task, find_recipe
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.pixel_aligned_training import PlacedObjects, moved, open_pixel_aligned, view_of


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> PlacedObjects:
    folder = tmp_path_factory.mktemp("mini")
    selector = Selector(TrainingLibrary(families=("box", "stool", "pot")))
    for start in range(6):
        write_examples(selector, folder / "examples", seed=5, start=start, count=1)
        if sum(len(item.sides) for path in (folder / "examples").iterdir() for item in read_examples(path)) > 3:
            break
    torch.manual_seed(0)
    encode_pictures(PictureConditioner(), folder, "own")
    return open_pixel_aligned(folder, num_validation_files=0)[0]


def test_the_surface_of_an_object_projects_into_its_mask_or_behind_others(objects: PlacedObjects) -> None:
    batch = objects.batch([0, 1, 2], [torch.Generator().manual_seed(0)])
    view = view_of(batch)
    for index, grid in enumerate(batch["solid"]):
        points = view.centres[index] + view.sides[index] * ((grid.nonzero() + 0.5) / 32 - 0.5)
        places, depth = projected(points[None], view.crop_from_world[index, None])
        assert float(depth.min()) > 0.3
        pixels = ((places[0] + 1) * 64).long().clamp(0, 127)
        covered = view.pictures[index, 3:5].sum(0)[pixels[:, 1], pixels[:, 0]]
        assert float((covered > 0.5).float().mean()) > 0.85


def test_errors_of_places_move_the_cube_and_tilt_it_about_its_centre(objects: PlacedObjects) -> None:
    view = view_of(objects.batch([0, 1], [torch.Generator().manual_seed(0)]))
    torch.manual_seed(1)
    shifted = moved(view, 0.04, 0.06, 0.0)
    assert torch.equal(shifted.crop_from_world, view.crop_from_world)
    assert 0 < float(((shifted.centres - view.centres) / view.sides[:, None]).abs().max()) < 0.2
    tilted = moved(view, 0.0, 0.0, 0.3)
    before, _ = projected(view.centres[:, None], view.crop_from_world)
    after, _ = projected(tilted.centres[:, None], tilted.crop_from_world)
    torch.testing.assert_close(before, after, atol=1e-4, rtol=0)
    ahead = view.centres[:, None] + torch.tensor([0.0, 0.3, 0.0])
    assert not torch.allclose(
        projected(ahead, view.crop_from_world)[0], projected(ahead, tilted.crop_from_world)[0], atol=1e-3
    )


def test_a_few_steps_of_the_recipes_task_fit_a_batch(objects: PlacedObjects) -> None:
    task = build_task(find_recipe("mini_pixel_aligned"))
    batch = objects.batch([0, 1], [torch.Generator().manual_seed(0)])
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        torch.manual_seed(0)
        loss = task.loss(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
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
