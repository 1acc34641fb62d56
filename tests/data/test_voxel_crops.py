"""Windows of voxelised models."""

from pathlib import Path

import pytest
import torch

from scenewright.data.tensor_shards import TensorShardSet, write_tensor_shard
from scenewright.data.voxel_crops import VoxelCrops
from scenewright.errors import InputError


def written(folder: Path) -> TensorShardSet:
    """One model whose materials tell where its voxels were."""
    coords = (torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) * 64).int().unique(dim=0)
    folder.mkdir()
    write_tensor_shard(folder, 0, [("a", {"coords": coords, "materials": coords / 64, "cond": torch.ones(2)})])
    return TensorShardSet(folder)


def test_a_window_keeps_rows_together_and_parents_whole(tmp_path: Path):
    crops = VoxelCrops(written(tmp_path / "set"), 32)
    for seed in range(20):
        sample = crops.sample(0, torch.Generator().manual_seed(seed))
        coords = sample["coords"]
        assert len(coords)
        assert int(coords.min()) >= 0
        assert int(coords.max()) < 32
        moved = (sample["materials"] * 64).round().int() - coords
        assert (moved == moved[0]).all()
        assert (moved[0] % 16 == 0).all()
        assert torch.equal(sample["cond"], torch.ones(2))
    batch = crops.collate([crops.sample(0, torch.Generator().manual_seed(seed)) for seed in range(3)])
    assert batch["coords"][:, 0].unique().tolist() == [0, 1, 2]


def test_windows_depend_on_the_generator_alone(tmp_path: Path):
    crops = VoxelCrops(written(tmp_path / "set"), 16)
    one, two = (crops.sample(0, torch.Generator().manual_seed(7))["coords"] for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("side", [-16, 24])
def test_sides_that_cut_parents_are_refused(tmp_path: Path, side: int):
    with pytest.raises(InputError, match="positive multiple of 16"):
        VoxelCrops(written(tmp_path / "set"), side)
