"""Training examples: what is visible, cubes, files that survive a round trip."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scripts.mini_training.examples import (
    SceneExample,
    compose_views,
    example_of,
    is_mirrored,
    mirror_examples,
    points_occupancy,
    read_examples,
    write_examples,
)

from scenewright.data.library import TrainingLibrary
from scenewright.data.selection import Selector
from scenewright.errors import InputError
from scenewright.io.images import image_of
from scenewright.systems.mini.occupancy import filled, outer_shell
from scenewright.systems.mini.pictures import cut_out_pictures
from scenewright.systems.mini.training_sets import EncodedShapes, open_objects
from scenewright.types import ObjectMasks
from tests.support.mini_measuring import f_score


@pytest.fixture(scope="module")
def selector() -> Selector:
    return Selector(TrainingLibrary(families=("box", "stool", "cabinet", "pot", "vase")))


@pytest.fixture(scope="module")
def example(selector: Selector) -> SceneExample:
    for number in range(20):
        for view in compose_views(selector, 3, number):
            made = example_of(view, np.random.default_rng(0))
            if made is not None:
                return made
    raise AssertionError("no scene shows two objects well")


@pytest.fixture(scope="module")
def example_file(selector: Selector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_examples(selector, tmp_path_factory.mktemp("made") / "examples", seed=3, start=0, count=2)


def test_an_objects_own_cube_fits_it_and_the_scenes_cube_holds_it(example: SceneExample) -> None:
    for own in example.own_occupancy:
        occupied = np.argwhere(own)
        assert max(np.ptp(occupied, axis=0)) == 31
        # Centred: as far from one side as from the other, to a voxel.
        assert np.abs(occupied.min(0) + occupied.max(0) - 31).max() <= 1
    together = np.argwhere(example.placed_occupancy.any(0))
    assert max(np.ptp(together, axis=0)) == 31
    for number, placed in enumerate(example.placed_occupancy):
        middle = (np.argwhere(placed).min(0) + np.argwhere(placed).max(0) + 1) / 2 / 32 - 0.5
        expected = (example.centres[number] - example.scene_centre) / example.scene_side
        assert np.abs(middle - expected).max() < 1.1 / 32


def test_pictures_show_objects_on_black_with_their_outline(example: SceneExample) -> None:
    for picture in example.own_pictures:
        alpha = picture[..., 3]
        assert (picture[..., :3] <= alpha[..., None].astype(int) + 1).all()
        rows, columns = np.nonzero(alpha > 127)
        # The crop is 1.2 times the longer side of the outline, rounded to whole pixels before it is enlarged.
        assert 128 / 1.2 - 8 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 128 / 1.2 + 8
    assert example.scene_picture[..., 3].astype(int).sum() >= example.placed_pictures[0, ..., 3].astype(int).sum()


def test_files_hold_what_was_made_and_are_made_once(selector: Selector, example_file: Path) -> None:
    before = example_file.stat().st_mtime_ns
    assert write_examples(selector, example_file.parent, seed=3, start=0, count=2) == example_file
    assert example_file.stat().st_mtime_ns == before
    read = list(read_examples(example_file))
    views = [view for number in range(2) for view in compose_views(selector, 3, number)]
    assert 0 < len(read) <= len(views)
    for item in read:
        assert len(item.own_pictures) == len(item.own_occupancy) == len(item.sides) >= 2
        assert item.scene_side >= item.sides.max() * 0.999
    shapes = EncodedShapes([example_file], crop=16)
    sample = shapes.sample(0, torch.Generator().manual_seed(0))["occupancy"]
    assert sample.shape == (1, 16, 16, 16)
    assert sample.any()
    assert torch.equal(sample, shapes.sample(0, torch.Generator().manual_seed(0))["occupancy"])


def test_a_mirror_shows_every_object_where_its_picture_shows_it(example_file: Path) -> None:
    mirrored = mirror_examples(example_file)
    assert is_mirrored(mirrored)
    assert not is_mirrored(example_file)
    for item, other in zip(read_examples(example_file), read_examples(mirrored), strict=True):
        assert np.array_equal(other.own_pictures[:, :, ::-1], item.own_pictures)
        assert np.array_equal(other.scene_picture[:, ::-1], item.scene_picture)
        for number, grid in enumerate(item.own_solid):
            cells = np.argwhere(grid)
            same = cells * [-1, 1, 1] + [len(grid) - 1, 0, 0]
            assert other.own_solid[number].sum() == len(cells)
            assert other.own_solid[number][tuple(same.T)].all()
            assert np.allclose(in_crop(other, number, same), in_crop(item, number, cells) * [-1, 1], atol=1e-4)


def in_crop(example: SceneExample, number: int, cells: np.ndarray) -> np.ndarray:
    """Where the middles of an object's cells are in its own crop."""
    points = ((cells + 0.5) / 32 - 0.5) * example.sides[number] + example.centres[number]
    x, y, depth = example.crop_from_world[number] @ np.column_stack([points, np.ones(len(points))]).T
    return np.column_stack([x / depth, y / depth])


def test_a_folder_without_encoded_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no encoded examples"):
        open_objects(tmp_path)


def test_only_what_is_reached_from_outside_stays() -> None:
    solid = np.zeros((8, 8, 8), dtype=bool)
    solid[1:7, 1:7, 1:7] = True
    shell = outer_shell(solid)
    assert shell.sum() == 6**3 - 4**3
    assert not shell[3, 3, 3]
    assert np.array_equal(filled(shell), solid)
    opened = shell.copy()
    opened[1, 3, 3] = False
    assert np.array_equal(filled(opened), opened)


def test_points_fall_into_the_voxels_that_hold_them() -> None:
    points = np.array([[0.0, 0.0, 0.0], [0.99, 0.99, 0.99], [5.0, 0.0, 0.0]])
    grid = points_occupancy(points, np.array([0.5, 0.5, 0.5]), 1.0, 4)
    assert np.argwhere(grid).tolist() == [[0, 0, 0], [3, 3, 3]]


def test_f_score_of_a_shape_with_itself_and_with_nothing() -> None:
    occupied = torch.zeros(16, 16, 16, dtype=torch.bool)
    occupied[2:14, 2:14, 2:4] = True
    points = (occupied.nonzero().double().numpy() + 0.5) / 8 - 1
    assert f_score(occupied, points) == 1.0
    assert f_score(torch.zeros_like(occupied), points) == 0.0
    # Half of the surface missing: precision 1, recall about a half.
    half = occupied.clone()
    half[8:] = False
    assert 0.6 < f_score(half, points) < 0.75


def test_crops_keep_the_place_of_objects_in_the_scene() -> None:
    picture = torch.ones(3, 60, 80)
    masks = torch.zeros(2, 60, 80, dtype=torch.bool)
    masks[0, 10:30, 10:30] = True
    masks[1, 30:50, 50:70] = True
    pictures = cut_out_pictures(image_of(picture.permute(1, 2, 0)), ObjectMasks(masks), size=48)
    assert pictures.own.shape == (2, 4, 48, 48)
    assert pictures.scene.shape == (4, 48, 48)
    torch.testing.assert_close(pictures.placed.sum(0), pictures.scene, atol=1e-5, rtol=0)
    left = (pictures.placed[0, 3].sum(0) * torch.arange(48)).sum() / pictures.placed[0, 3].sum()
    right = (pictures.placed[1, 3].sum(0) * torch.arange(48)).sum() / pictures.placed[1, 3].sum()
    assert left < 20 < 28 < right
