"""Samples made when asked for: the same for the same generator, and all channels agree with each other."""

import pickle

import numpy as np
import pytest
import torch

from scenewright.data.on_the_fly import ObjectSamples, SceneSamples, surface_points, view_centric_matrix
from scenewright.data.parametric.solids import box
from scenewright.data.viewpoints import level_pose
from scenewright.errors import InputError
from scenewright.systems.iscene.view_centric import view_centric_transform

OBJECTS = ObjectSamples(size=48, resolution=16, points=64)
SCENES = SceneSamples(size=48, resolution=16, points=64, max_objects=4)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("samples", [OBJECTS, SCENES])
def test_a_generator_decides_everything(samples: ObjectSamples | SceneSamples) -> None:
    first = samples.sample(0, generator(5))
    again = pickle.loads(pickle.dumps(samples)).sample(3, generator(5))  # noqa: S301
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    other = samples.sample(0, generator(6))
    assert not torch.equal(first["rgb"], other["rgb"])


def cells(points: torch.Tensor, side: int) -> torch.Tensor:
    return ((points + 0.5) * side).floor().long().clamp(0, side - 1)


def pixels(world: torch.Tensor, sample: dict[str, torch.Tensor]) -> torch.Tensor:
    pose = sample["cam_from_world"]
    seen = (world @ pose[:3, :3].T + pose[:3, 3]) @ sample["intrinsics_px"].T
    assert (seen[:, 2] > 0).all()
    return seen[:, :2] / seen[:, 2:]


def test_an_objects_points_lie_in_its_cells() -> None:
    for seed in range(4):
        sample = OBJECTS.sample(0, generator(seed))
        for name, points in (("occupancy", "points"), ("occupancy_view", "points_view")):
            x, y, z = cells(sample[points], 16).T
            assert sample[name][0, x, y, z].all()
            assert sample[points].abs().max() <= 0.5
        assert sample["mask"].any()
        assert not sample["mask"][0].any()


def test_a_scenes_channels_agree() -> None:
    for seed in range(3):
        sample = SCENES.sample(0, generator(seed))
        count = int(sample["num_objects"])
        assert 2 <= count <= 4
        assert not sample["occupancy"][count:].any()
        assert set(sample["instance"].unique().tolist()) - {0} == {k + 1 for k in range(4) if sample["visible"][k]}
        view = sample["view_from_world"]
        for k in range(count):
            x, y, z = cells(sample["points"][k] @ view[:3, :3].T + view[:3, 3], 16).T
            # float32 points may fall across a cell's wall, rarely
            assert sample["occupancy_view"][k, x, y, z].float().mean() > 0.97
            inverse = torch.linalg.inv(sample["world_from_object"][k])
            into = sample["cube_from_object"][k] @ inverse
            x, y, z = cells(sample["points"][k] @ into[:3, :3].T + into[:3, 3], 16).T
            assert sample["occupancy"][k, x, y, z].float().mean() > 0.97
            seen = pixels(sample["points"][k], sample)
            rows, columns = torch.nonzero(sample["instance"] == k + 1, as_tuple=True)
            if len(rows):
                assert seen[:, 0].min() - 3 <= columns.min()
                assert columns.max() <= seen[:, 0].max() + 3
                assert seen[:, 1].min() - 3 <= rows.min()
                assert rows.max() <= seen[:, 1].max() + 3


def test_view_centric_is_the_systems_own() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3))
    pose = level_pose((3.0, -1.0, 1.2), 2.0)
    matrix = view_centric_matrix(pose, points)
    eye = torch.tensor([3.0, -1.0, 1.2])
    target = eye + torch.tensor([np.cos(2.0), np.sin(2.0), 0.0]).float()
    theirs = view_centric_transform(torch.from_numpy(points).float(), eye, target, torch.tensor([0.0, 0.0, 1.0]))
    ours = points @ matrix[:3, :3].T + matrix[:3, 3]
    assert torch.allclose(theirs.apply(torch.from_numpy(points).float()).double(), torch.from_numpy(ours), atol=1e-5)


def test_surface_points_by_hand() -> None:
    shell = box((2.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    points = surface_points(shell.vertices, shell.faces, 4000, np.random.default_rng(1))
    on_ends = np.isclose(np.abs(points[:, 0]), 1.0).mean()
    assert on_ends == pytest.approx(2 / 10, abs=0.03)  # two ends of 1 of ten square metres
    with pytest.raises(InputError, match="area"):
        surface_points(np.zeros((3, 3)), np.array([[0, 1, 2]]), 4, np.random.default_rng(0))
