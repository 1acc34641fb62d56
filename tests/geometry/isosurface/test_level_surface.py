"""The zero level of dense values."""

import numpy as np
import torch

from scenewright.geometry.isosurface.level_surface import level_surface
from scenewright.geometry.mesh.edges import edge_table
from scenewright.geometry.mesh.parts import face_normals


def ball(radius: float) -> np.ndarray:
    places = np.indices((20, 16, 14)).transpose(1, 2, 3, 0) + 0.5
    return np.linalg.norm(places - np.array([10.0, 8.0, 7.0]), axis=-1) - radius


def test_a_ball_is_closed_and_wound_outwards() -> None:
    surface = level_surface(ball(4.2), np.ones((20, 16, 14), bool))
    from_centre = surface.vertices - torch.tensor([10.0, 8.0, 7.0])
    assert (edge_table(surface.faces).count == 2).all()
    torch.testing.assert_close(from_centre.norm(dim=1), torch.full((len(from_centre),), 4.2), atol=0.15, rtol=0)
    middles = from_centre[surface.faces.long()].mean(1)
    assert ((face_normals(surface) * middles).sum(1) > 0).all()


def test_the_surface_is_open_where_values_are_not_known() -> None:
    known = np.ones((20, 16, 14), bool)
    known[:10] = False
    surface = level_surface(ball(4.2), known)
    assert float(surface.vertices[:, 0].min()) >= 10.0
    assert len(level_surface(ball(4.2), np.zeros_like(known)).faces) == 0
