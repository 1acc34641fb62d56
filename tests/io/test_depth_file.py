"""Depth in files is read in the unit that its kind of file has; what holds none is told."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.errors import InputError
from scenewright.io.depth_file import load_depth


def test_sixteen_bit_millimetres_and_metres(tmp_path: Path) -> None:
    Image.fromarray(np.array([[1500, 0], [250, 65535]], np.uint16)).save(tmp_path / "d.png")
    torch.testing.assert_close(load_depth(tmp_path / "d.png"), torch.tensor([[1.5, 0], [0.25, 65.535]]))
    for kind in (np.float64, np.float16, np.int32):
        np.save(tmp_path / "d.npy", np.array([[1, 0], [2, 65]], kind))
        assert torch.equal(load_depth(tmp_path / "d.npy"), torch.tensor([[1.0, 0], [2, 65]]))
    np.save(tmp_path / "d.npy", np.array([[1, 1e300], [1, 1]]))
    assert load_depth(tmp_path / "d.npy").tolist() == [[1, float("inf")], [1, 1]]


@pytest.mark.parametrize(
    ("mode", "content"),
    [("1", "black and white"), ("L", "8-bit grey levels"), ("P", "a palette"), ("RGB", "colours"), ("LA", "colours")],
)
def test_other_pictures_are_no_millimetres(tmp_path: Path, mode: str, content: str) -> None:
    path = tmp_path / "d.png"
    Image.new("RGB", (16, 8), (200, 200, 200)).convert(mode).save(path)
    with pytest.raises(InputError, match=f"^'{re.escape(str(path))}' holds {content}, .* 16-bit grey PNG in milli"):
        load_depth(path)


@pytest.mark.parametrize("array", [np.full((8, 16), "near"), np.zeros((8, 16), "V8"), np.ones((8, 16), complex)])
def test_arrays_of_anything_but_numbers(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "d.npy"
    np.save(path, array)
    with pytest.raises(InputError, match=rf"^'{re.escape(str(path))}' holds values of type \S+, no depth"):
        load_depth(path)
