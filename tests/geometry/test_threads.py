"""Kernels with threads of their own leave torch's number of threads, and so its results, as they were."""

import pytest
import torch

from scenewright.geometry.camera.visibility import face_visibility
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from tests.geometry.shapes import icosphere


@pytest.mark.parametrize("number", [1, 2, 3])
def test_torch_keeps_its_number_of_threads(number: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        TriangleTree(icosphere(2)).query(torch.rand(100, 3))
        assert torch.get_num_threads() == number
        face_visibility(icosphere(2), num_views=4, size=64)
        assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(before)
