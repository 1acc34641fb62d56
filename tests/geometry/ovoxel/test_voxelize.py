import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.geometry.ovoxel.voxelize import Lattice, fit_unit_cube


@given(st.floats(1e-3, 1e3), st.tuples(*[st.floats(-100, 100)] * 3))
def test_fitting_and_its_inverse(size, shift):
    vertices = torch.tensor([[0.0, 0, 0], [1, 0.5, 0.2], [0.3, 0.1, 0.7]], dtype=torch.float64) * size
    vertices = vertices + torch.tensor(shift, dtype=torch.float64)
    fitted, centre, scale = fit_unit_cube(vertices)
    assert float(fitted.abs().max()) == pytest.approx(0.5 * 0.99999)
    torch.testing.assert_close(fitted / scale + centre, vertices)


def test_a_lattice_from_cells_or_from_voxel_size():
    bounds = ((-0.5, -0.5, -0.5), (0.5, 0.5, 1.5))
    assert Lattice.of_bounds(bounds, cells=(4, 4, 8)).voxel_size == (0.25, 0.25, 0.25)
    assert Lattice.of_bounds(bounds, voxel_size=0.24).cells == (4, 4, 8)


def test_a_lattice_around_vertices_has_even_margins():
    vertices = torch.tensor([[0.0, 0, 0], [1.0, 2.0, 3.1]])
    whole = Lattice.around(vertices, voxel_size=0.5)
    assert whole.cells == (2, 4, 7)
    assert whole.low_corner == pytest.approx((0, 0, -0.2), abs=1e-6)
    counted = Lattice.around(vertices, cells=5)
    assert counted.low_corner == pytest.approx((-0.125, -0.25, -0.3875), abs=1e-6)
    assert counted.voxel_size == pytest.approx((0.25, 0.5, 0.775), abs=1e-6)


def test_impossible_grids_and_sizes_are_refused():
    with pytest.raises(InputError, match="grid cell"):
        Lattice.cube(0)
    with pytest.raises(InputError, match="got neither"):
        Lattice.of_bounds(((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match="positive voxel sizes"):
        Lattice.of_bounds(((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), voxel_size=-1.0)
    with pytest.raises(InputError, match="extent of 0"):
        fit_unit_cube(torch.zeros(3, 3))
    with pytest.raises(InputError, match="got none"):
        fit_unit_cube(torch.empty(0, 3))
    with pytest.raises(InputError, match="finite size"):
        fit_unit_cube(torch.tensor([[0.0, 0, 0], [float("nan"), 1, 1]]))
