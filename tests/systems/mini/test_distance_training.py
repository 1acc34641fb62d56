"""The distance network's training set and task: pictures and distances turn together, and the loss falls."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scripts.mini_training.panoramas import write_panoramas

from scenewright.data.library import TrainingLibrary
from scenewright.data.selection import Selector
from scenewright.errors import InputError
from scenewright.recipes.running import build_task, find_recipe
from scenewright.systems.mini.distance_training import RoomPanoramas, open_panoramas
from tests.support.learning import losses_on


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of panoramas whose distance in metres is their redness, their furniture what is green."""
    place, rng = tmp_path_factory.mktemp("panoramas"), np.random.default_rng(0)
    for chunk in range(2):
        rgb = np.zeros((4, 64, 128, 3), dtype=np.uint8)
        rgb[..., 0] = rng.integers(50, 200, (4, 1, 128))
        rgb[:, 40:50, 30:60, 1] = 255
        distance = rgb[..., 0].astype(np.uint16) * 20
        instance = (rgb[..., 1] > 0).astype(np.uint8)
        np.savez_compressed(place / f"panoramas-{chunk:06d}.npz", rgb=rgb, distance_mm=distance, instance=instance)
    return place


def test_pictures_distances_and_furniture_turn_together(folder: Path) -> None:
    training, validation = open_panoramas(folder, height=64)
    assert validation is not None
    assert (len(training), len(validation)) == (4, 4)
    plain = validation.sample(1, generator())
    assert plain["distance"][0].tolist() == pytest.approx([float(value) * 0.02 for value in plain["pictures"][0, 0]])
    changed = training.sample(1, generator(3))
    again = training.sample(1, generator(3))
    assert all(torch.equal(changed[name], again[name]) for name in changed)
    # Lit anew by one gain and with noise, redness still follows the distance, and green the furniture.
    red, distance = changed["pictures"][0].float().flatten(), changed["distance"].flatten()
    assert float(torch.corrcoef(torch.stack([red, distance]))[0, 1]) > 0.95
    assert torch.equal(changed["pictures"][1] > 128, changed["instance"] > 0)
    half = RoomPanoramas(sorted(folder.glob("*.npz")), 32, is_fixed=True).sample(0, generator())
    assert half["pictures"].shape == (3, 32, 64)
    assert half["distance"].shape == half["instance"].shape == (32, 64)


def test_the_task_learns_and_draws_what_it_learned(folder: Path) -> None:
    small = "model.network={channels=[8, 8, 8, 8, 8], num_heads=2, num_attending=1}"
    task = build_task(find_recipe("mini_panorama_distance", [small]))
    training, _ = open_panoramas(folder, height=32)
    batch = training.batch([0, 1], [generator(1), generator(2)])
    losses = losses_on(task, batch, steps=25, lr=1e-2)
    assert losses[-1] < 0.5 * losses[0]
    with torch.no_grad():
        assert task.sheet(batch).shape == (64, 4 * 64, 3)


def test_unknown_distances_teach_nothing(folder: Path) -> None:
    task = build_task(find_recipe("mini_panorama_distance"))
    training, _ = open_panoramas(folder, height=64)
    batch = training.batch([0], [generator(1)])
    batch["distance"][:, :20] = 0
    with torch.no_grad():
        said = task.network(batch["pictures"].float() / 255)[:, 0]
        batch["distance"] = torch.where(batch["distance"] > 0, said.exp(), 0.0)
        losses = task.loss(batch)
    assert float(losses["absolute"]) == pytest.approx(0, abs=1e-6)
    assert float(losses["within_5_percent"]) == 1.0


def test_made_panoramas_are_kept_with_what_is_furniture(tmp_path: Path) -> None:
    selector = Selector(TrainingLibrary(families=("cabinet", "table", "pot")))
    write_panoramas(selector, tmp_path, seed=1, chunk=0, num_rooms=1)
    with np.load(tmp_path / "panoramas-000000.npz") as arrays:
        rgb, distance, instance = arrays["rgb"], arrays["distance_mm"], arrays["instance"]
    assert rgb.shape == (*distance.shape, 3)
    assert 500 < np.median(distance) < 5000
    share = (instance > 0).mean()
    assert 0 < share < 0.5
    # Furniture lies nearer than what is seen past it.
    assert np.median(distance[instance > 0]) < np.percentile(distance, 90)
    before = (tmp_path / "panoramas-000000.npz").stat().st_mtime_ns
    write_panoramas(selector, tmp_path, seed=2, chunk=0, num_rooms=1)
    assert (tmp_path / "panoramas-000000.npz").stat().st_mtime_ns == before


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no encoded examples"):
        open_panoramas(tmp_path)
