import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.io.voxel_file import read_voxels, write_voxels
from tests.io.test_vxz import content, random_voxels


@pytest.mark.parametrize("suffix", [".vxz", ".npz"])
def test_both_formats_round_trip(tmp_path, suffix):
    voxels = random_voxels()
    back = read_voxels(write_voxels(tmp_path / f"a{suffix}", voxels))
    assert content(back) == content(voxels)
    assert back.resolution == voxels.resolution
    assert back.coords.dtype == torch.int32


def test_the_published_npz_layout(tmp_path):
    path = write_voxels(tmp_path / "a.npz", random_voxels())
    with np.load(path) as file:
        assert file["coord"].dtype == np.uint16
        assert set(file.files) == {"coord", "color", "flags", "resolution"}
    np.savez_compressed(path, coord=np.array([[0, 1, 5]], np.uint16), value=np.ones((1, 2), np.float32))
    assert read_voxels(path).resolution == 8


def test_pickles_are_never_loaded(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, coord=np.zeros((1, 3), np.uint16), evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="pickled"):
        read_voxels(path)


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
        read_voxels(path)


def test_damaged_missing_and_foreign_files_are_refused(tmp_path):
    path = write_voxels(tmp_path / "a.npz", random_voxels())
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a\.npz"):
            read_voxels(path)
    middle = bytearray(whole)
    middle[len(whole) // 3] ^= 0xFF
    path.write_bytes(middle)
    with pytest.raises(InputError, match=r"a\.npz"):
        read_voxels(path)
    with pytest.raises(InputError, match=r"missing\.npz"):
        read_voxels(tmp_path / "missing.npz")
    with pytest.raises(InputError, match=r"\.vxz or \.npz"):
        read_voxels("a.ply")
