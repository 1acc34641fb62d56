import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.io.voxel_file import load_ovoxel, read_npz, save_ovoxel, write_npz
from scenewright.types import OVoxel
from tests.geometry.ovoxel.test_dual_grid_mesh import random_grid
from tests.io.test_vxz import content, random_voxels


@pytest.mark.parametrize("suffix", [".vxz", ".npz"])
def test_an_object_round_trips(tmp_path, suffix):
    """Voxels may come back in another order; dual vertices are rounded down to 1/255 once, then stay."""
    grid = random_grid(0)
    colors = torch.randint(0, 256, (len(grid.coords), 3)).byte()
    once = load_ovoxel(save_ovoxel(OVoxel(grid, {"base_color": colors}), tmp_path / f"a{suffix}"))
    again = load_ovoxel(save_ovoxel(once, tmp_path / f"b{suffix}"))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes() or suffix == ".npz"
    assert once.grid.resolution == grid.resolution
    row = {tuple(coord): index for index, coord in enumerate(once.grid.coords.tolist())}
    order = torch.tensor([row[tuple(coord)] for coord in grid.coords.tolist()])
    assert torch.equal(once.grid.intersected[order], grid.intersected)
    assert torch.equal(once.materials["base_color"][order], colors)
    assert float((grid.dual_vertices - once.grid.dual_vertices[order]).abs().max()) < 1 / 255 + 1e-6
    assert torch.equal(once.grid.dual_vertices, again.grid.dual_vertices)


def test_voxels_without_a_dual_grid_or_with_odd_materials_are_refused(tmp_path):
    path = write_npz(tmp_path / "a.npz", random_voxels())
    with pytest.raises(InputError, match="got color, flags"):
        load_ovoxel(path)
    columns = {"vertices": np.zeros((1, 3), np.uint8), "intersected": np.zeros((1, 1), np.uint8)}
    np.savez(path, coord=np.zeros((1, 3), np.uint16), **columns, alpha=np.zeros((1, 1), np.float32))
    with pytest.raises(InputError, match="uint8 'alpha' of width 1"):
        load_ovoxel(path)


def test_arrays_round_trip(tmp_path):
    voxels = random_voxels()
    back = read_npz(write_npz(tmp_path / "a.npz", voxels))
    assert content(back) == content(voxels)
    assert back.resolution == voxels.resolution
    assert back.coords.dtype == torch.int32


def test_the_published_npz_layout(tmp_path):
    path = write_npz(tmp_path / "a.npz", random_voxels())
    with np.load(path) as file:
        assert file["coord"].dtype == np.uint16
        assert set(file.files) == {"coord", "color", "flags", "resolution"}
    np.savez_compressed(path, coord=np.array([[0, 1, 5]], np.uint16), value=np.ones((1, 2), np.float32))
    assert read_npz(path).resolution == 8


def test_pickles_are_never_loaded(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, coord=np.zeros((1, 3), np.uint16), evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="pickled"):
        read_npz(path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"value": np.zeros(3)},
        {"coord": np.zeros((2, 2), np.uint16)},
        {"coord": np.zeros((2, 3), np.float32)},
        {"coord": np.full((2, 3), -1, np.int32)},
        {"coord": np.zeros((2, 3), np.uint16), "value": np.zeros(3)},
        {"coord": np.full((2, 3), 9, np.uint16), "resolution": np.int64(4)},
    ],
)
def test_arrays_that_are_no_voxels_are_refused(tmp_path, arrays):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=r"a\.npz"):
        read_npz(path)


def test_damaged_missing_and_foreign_files_are_refused(tmp_path):
    path = write_npz(tmp_path / "a.npz", random_voxels())
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a\.npz"):
            read_npz(path)
    middle = bytearray(whole)
    middle[len(whole) // 3] ^= 0xFF
    path.write_bytes(middle)
    with pytest.raises(InputError, match=r"a\.npz"):
        read_npz(path)
    with pytest.raises(InputError, match=r"missing\.npz"):
        read_npz(tmp_path / "missing.npz")
    with pytest.raises(InputError, match=r"\.vxz or \.npz"):
        load_ovoxel("a.ply")
