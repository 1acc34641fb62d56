from dataclasses import replace

import pytest
import torch

from scenewright.geometry.bodies.colliders import MIN_THICKNESS_M, convex_hull, make_colliders, slabs
from scenewright.geometry.bodies.mass import mass_properties
from scenewright.io.rigid_bodies import with_physics
from scenewright.types import Mesh, Scene, SceneObject, merged_mesh
from tests.io.scenes import placed
from tests.io.test_rigid_bodies import box

NONE = torch.zeros(0, 3, dtype=torch.long)


@pytest.mark.parametrize(
    "points",
    [
        [[0.0, 0, 0]],
        [[0.0, 0, 0], [1, 1, 1]],
        [[0.0, 0, 0], [1, 1, 1], [3, 2, 2]],
        [[0.0, 0, 0], [1, 0, 1], [1, 1, 1], [0, 1, 0]],
    ],
)
def test_a_point_a_line_and_a_sheet_are_as_thick_as_a_collider_must_be(points: list[list[float]]) -> None:
    hull = convex_hull(Mesh(torch.tensor(points), NONE))
    corners = hull.vertices[hull.faces]
    normals = torch.nn.functional.normalize(
        torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), dim=1
    )
    extents = (hull.vertices @ normals.T).amax(0) - (hull.vertices @ normals.T).amin(0)
    assert float(extents.min()) > 0.99 * MIN_THICKNESS_M


def test_the_error_of_a_hull_is_the_depth_of_the_hollow_it_closes() -> None:
    legs = [Mesh(box(0.1, 1.0, 0.5).vertices + torch.tensor([x, 0.0, -0.5]), box(1, 1, 1).faces) for x in (-0.45, 0.45)]
    table = merged_mesh([box(1.0, 1.0, 0.1), *legs])
    (hull,), error = (colliders := make_colliders(table, "hull")).shapes, colliders.error_m
    assert error == pytest.approx(0.4, abs=0.02)  # the middle between the feet is 0.4 from either
    assert len(hull.vertices) == 8
    assert make_colliders(box(1.0, 1.0, 1.0), "box").error_m == pytest.approx(0, abs=1e-6)
    assert make_colliders(table, "none").shapes == ()


def test_a_decomposition_is_closer_than_the_hull() -> None:
    legs = [Mesh(box(0.1, 1.0, 0.5).vertices + torch.tensor([x, 0.0, -0.5]), box(1, 1, 1).faces) for x in (-0.45, 0.45)]
    pieces = make_colliders(merged_mesh([box(1.0, 1.0, 0.1), *legs]), "decomposition", max_parts=8)
    assert 3 <= len(pieces.shapes) <= 8
    assert pieces.error_m < 0.1


def test_an_object_has_the_same_pieces_wherever_it_stands_and_none_below_its_feet() -> None:
    """A turn changes the last bits of a bent mesh, and with them where a decomposition cuts."""
    legs = [Mesh(box(0.07, 0.9, 0.53).vertices + torch.tensor([x, 0.0, -0.5]), box(1, 1, 1).faces) for x in (-0.4, 0.4)]
    table = SceneObject("table", (merged_mesh([box(1.0, 1.1, 0.1), *legs]),))
    found = []
    for yaw, scale in ((0.0, 1.0), (0.7, 1.0), (2.5, 1.0)):
        item = replace(table, world_from_object=placed(yaw, [3.0, yaw, 0.5], scale))
        (made,) = with_physics(Scene((item,)), "decomposition")[0].objects
        found.append(made.physics.colliders)
        low, high = table.world_bounds()
        assert min(float(shape.vertices[:, 2].min()) for shape in made.physics.colliders) >= float(low[2]) - 1e-6
        assert max(float(shape.vertices[:, 2].max()) for shape in made.physics.colliders) <= float(high[2]) + 1e-6
    for others in found[1:]:
        assert len(others) == len(found[0])
        for mine, theirs in zip(found[0], others, strict=True):
            one, two = (torch.cdist(a.vertices, b.vertices).amin(1) for a, b in ((mine, theirs), (theirs, mine)))
            assert max(float(one.max()), float(two.max())) < 1e-6


def test_walls_collide_one_by_one() -> None:
    pieces = slabs(box(4.0, 3.0, 2.5))
    assert pieces is not None
    assert len(pieces) == 12
    assert sum(mass_properties(piece).volume for piece in pieces) < 0.2  # the room stays empty
    assert slabs(Mesh(torch.rand(3, 3), torch.tensor([[0, 1, 2]] * 1001))) is None


def test_mass_of_surfaces_that_enclose_nothing_is_that_of_their_hull() -> None:
    cube = box(1.0, 1.0, 1.0)
    assert mass_properties(cube).note == ""
    assert mass_properties(Mesh(cube.vertices, cube.faces.flip(1))).volume == pytest.approx(1)
    opened = mass_properties(Mesh(cube.vertices, cube.faces[2:]))
    assert opened.volume == pytest.approx(1)
    assert "open" in opened.note


def test_an_open_table_weighs_what_its_boards_do_and_not_what_its_hull_would() -> None:
    """A table of 2.0 x 1.0 m on legs of 0.75 m, open below: its hull of wood would weigh 975 kg."""
    top = box(2.0, 1.0, 0.04)
    legs = [
        Mesh(box(0.06, 0.06, 0.75).vertices + torch.tensor([x, y, -0.75]), box(1, 1, 1).faces)
        for x in (-0.95, 0.95)
        for y in (-0.45, 0.45)
    ]
    table = merged_mesh([Mesh(top.vertices, top.faces[1:]), *legs])
    found = mass_properties(table)
    assert found.note == "its surface is open"
    assert found.kilograms(650, None) > 900
    assert found.kilograms(650, 0.018) == pytest.approx(650 * 0.018 * found.area)
    assert 20 < found.kilograms(650, 0.018) < 80
