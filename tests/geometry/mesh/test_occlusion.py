"""Ambient occlusion on shapes where it is known: convex, a corner, a sheet, a thin gap."""

import torch

from scenewright.geometry.mesh.occlusion import bake_occlusion, is_seen_from_outside, open_share
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.types import Mesh, merged_mesh
from tests.geometry.shapes import icosphere


def corner() -> Mesh:
    """A floor and a wall, 2 x 2 each, in a right angle at x = 0; the floor has the left half of the texture."""
    vertices = [[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0], [0, 0, 0], [0, 2, 0], [0, 2, 2], [0, 0, 2]]
    uv = [[0, 0], [0.5, 0], [0.5, 1], [0, 1], [0.5, 0], [0.5, 1], [1, 1], [1, 0]]
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    return Mesh(torch.tensor(vertices, dtype=torch.float32), faces, uv=torch.tensor(uv))


def test_a_convex_surface_sees_the_whole_sky() -> None:
    ball = icosphere()
    middles = ball.vertices[ball.faces].mean(1)
    assert open_share(TriangleTree(ball), middles, middles).min() == 1
    assert open_share(TriangleTree(ball), middles, -middles).max() < 1  # from inside, what is farther than the reach


def test_a_corner_is_half_open_at_its_edge_and_open_far_from_it() -> None:
    """Beside an endless wall exactly half of the cosine-weighted sky is free; the reach ends what the wall does."""
    tree, up = TriangleTree(corner()), torch.tensor([[0.0, 0, 1]])
    edge = open_share(tree, torch.tensor([[1e-3, 1.0, 0]]), up, num_rays=1024)
    assert abs(float(edge) - 0.5) < 0.02
    assert float(open_share(tree, torch.tensor([[1.5, 1.0, 0]]), up)) == 1
    near, farther = (float(open_share(tree, torch.tensor([[x, 1.0, 0]]), up, num_rays=256)) for x in (0.1, 0.4))
    assert 0.5 < near < farther < 1


def test_what_is_in_a_closed_surface_is_not_seen_and_the_inside_of_an_open_one_is() -> None:
    ball = icosphere()
    inner = Mesh(0.5 * ball.vertices, ball.faces.flip(1))  # whichever side faces outwards
    nested = merged_mesh([ball, inner])
    corners = nested.vertices[nested.faces.long()].double()
    middles, normals = corners.mean(1), torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    seen = is_seen_from_outside(TriangleTree(nested), middles, normals)
    count = len(ball.faces)
    assert seen[:count].all()
    assert not seen[count:].any()
    kept = middles[:, 2] < 0.25  # the top of the outer one is cut off
    bowl = TriangleTree(Mesh(nested.vertices, nested.faces[kept]))
    faces_up = (torch.arange(2 * count) >= count) & (middles[:, 2] > 0.18)
    assert is_seen_from_outside(bowl, middles[faces_up], normals[faces_up]).all()


def test_the_map_of_a_corner_is_darker_towards_the_edge_and_the_same_twice() -> None:
    mesh = corner()
    first, second = (bake_occlusion(mesh, 32, TriangleTree(mesh), double_sided=False) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (32, 32, 1)
    columns = first[:, :16, 0].float().mean(0) / 255  # of the floor, from the wall outwards
    assert columns[0] < 0.7
    assert (columns[1:] - columns[:-1] > -0.03).all()
    assert columns[-1] == 1


def test_a_sheet_that_is_seen_from_both_sides_takes_the_open_one() -> None:
    """A sheet close above a floor, wound downwards: dark if only that side counts."""
    floor, sheet = (torch.tensor([[0.0, 0, z], [1, 0, z], [1, 1, z], [0, 1, z]]) for z in (0.0, 0.02))
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    uv = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    tree = TriangleTree(Mesh(torch.cat([floor, sheet]), torch.cat([faces, faces + 4])))
    down = Mesh(sheet, faces.flip(1), uv=uv)
    dark, light = (bake_occlusion(down, 16, tree, double_sided=both).float().mean() / 255 for both in (False, True))
    assert dark < 0.3
    assert light == 1
