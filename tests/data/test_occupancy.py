"""Surface occupancy against cases by hand and a dense sampling."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from scenewright.data.occupancy import mesh_occupancy, surface_occupancy
from scenewright.data.parametric import make_object


def test_a_triangle_in_one_cell_and_one_through_four() -> None:
    small = np.array([[0.05, 0.05, 0.05], [0.2, 0.05, 0.05], [0.05, 0.2, 0.05]])
    grid = mesh_occupancy(small, np.array([[0, 1, 2]]), 2)
    assert grid.nonzero().tolist() == [[1, 1, 1]]
    plane = np.array([[-0.4, -0.4, 0.1], [0.4, -0.4, 0.1], [0.4, 0.4, 0.1], [-0.4, 0.4, 0.1]])
    grid = mesh_occupancy(plane, np.array([[0, 1, 2], [0, 2, 3]]), 2)
    assert grid[:, :, 1].all()
    assert not grid[:, :, 0].any()


def test_nothing_outside_and_nothing_from_nothing() -> None:
    far = np.array([[2.0, 2, 2], [3, 2, 2], [2, 3, 2]])
    assert not mesh_occupancy(far, np.array([[0, 1, 2]]), 4).any()
    assert not mesh_occupancy(far * np.nan, np.array([[0, 1, 2]]), 4).any()
    assert not mesh_occupancy(np.zeros((0, 3)), np.zeros((0, 3), int), 4).any()


@given(st.integers(0, 2**31), st.integers(1, 24))
def test_every_sampled_point_is_in_an_occupied_cell(seed: int, resolution: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-0.5, 0.5, (3, 3))
    grid = mesh_occupancy(corners, np.array([[0, 1, 2]]), resolution)
    points = rng.dirichlet(np.ones(3), 2000) @ corners
    x, y, z = np.floor((points + 0.5) * resolution).astype(int).clip(0, resolution - 1).T
    assert grid[x, y, z].all()
    # No cell without the surface: its centre is within half a diagonal of the triangle's plane.
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    normal /= max(np.linalg.norm(normal), 1e-12)
    centres = (grid.nonzero().numpy() + 0.5) / resolution - 0.5
    assert (np.abs((centres - corners[0]) @ normal) <= 0.5 * np.sqrt(3) / resolution + 1e-9).all()


def test_occupancy_of_a_box_is_its_shell() -> None:
    asset = make_object("box", 0)
    grid = surface_occupancy(asset, 32)
    extent = grid.nonzero().amax(0) - grid.nonzero().amin(0) + 1
    sizes = torch.tensor(asset.size_m)
    assert extent.max() == 32
    assert ((extent - 32 * sizes / sizes.max()).abs() <= 2).all()
