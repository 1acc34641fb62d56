"""Mesh checks on shapes whose answers are known."""

import numpy as np
import pytest
import torch
import trimesh

from scenewright.metrics.mesh_quality import mesh_quality
from scenewright.types import Mesh, PBRMaterial


def to_mesh(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(torch.tensor(np.asarray(shape.vertices)).float(), torch.tensor(np.asarray(shape.faces)))


def test_a_box_is_sound() -> None:
    found = mesh_quality(to_mesh(trimesh.creation.box()))
    assert found.is_watertight
    assert (found.num_faces, found.num_components, found.num_floaters) == (12, 1, 0)
    assert (found.num_boundary_edges, found.num_nonmanifold_edges, found.num_degenerate_faces) == (0, 0, 0)
    assert found.uv_coverage is None


def test_split_vertices_are_no_holes() -> None:
    box = to_mesh(trimesh.creation.box())
    soup = Mesh(box.vertices[box.faces.flatten()], torch.arange(36).reshape(12, 3))
    assert mesh_quality(soup).is_watertight


def test_a_missing_face_opens_three_edges() -> None:
    box = to_mesh(trimesh.creation.box())
    found = mesh_quality(Mesh(box.vertices, box.faces[1:]))
    assert not found.is_watertight
    assert found.num_boundary_edges == 3


def test_a_fin_is_not_manifold_and_a_line_is_degenerate() -> None:
    box = to_mesh(trimesh.creation.box())
    a, b = box.faces[0, 0], box.faces[0, 1]
    fin = torch.stack([a, b, torch.tensor(8)])[None]
    line = torch.stack([a, b, a])[None]
    vertices = torch.cat([box.vertices, torch.tensor([[5.0, 5, 5]])])
    found = mesh_quality(Mesh(vertices, torch.cat([box.faces, fin, line])))
    assert found.num_nonmanifold_edges == 1
    assert found.num_degenerate_faces == 1


def test_a_crumb_is_a_floater() -> None:
    box, crumb = trimesh.creation.box(), trimesh.creation.box(extents=[0.01] * 3)
    found = mesh_quality(to_mesh(trimesh.util.concatenate([box, crumb.apply_translation([3, 0, 0])])))
    assert (found.num_components, found.num_floaters) == (2, 1)


def test_budget_uv_and_texture() -> None:
    triangle = Mesh(
        torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]),
        torch.tensor([[0, 1, 2]]),
        uv=torch.tensor([[0.0, 0], [1, 0], [0, 1]]),
        material=PBRMaterial(base_color_texture=torch.tensor([10, 200, 30], dtype=torch.uint8).reshape(1, 1, 3)),
    )
    found = mesh_quality(triangle, face_budget=0)
    assert not found.is_within_budget
    assert found.uv_coverage == pytest.approx(0.5, abs=0.01)
    assert found.is_uv_in_range
    assert found.texture_range == (10, 200)


def test_an_empty_mesh_is_not_watertight() -> None:
    found = mesh_quality(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)))
    assert not found.is_watertight
    assert found.num_components == 0


def test_place_size_turn_and_face_order_change_nothing() -> None:
    shape = trimesh.creation.icosphere(subdivisions=2)
    before = mesh_quality(to_mesh(shape))
    shape.apply_transform(trimesh.transformations.euler_matrix(0.3, 0.5, 0.7))
    shape.apply_scale(7.0)
    shape.apply_translation([3, -2, 5])
    moved = to_mesh(shape)
    assert mesh_quality(Mesh(moved.vertices, moved.faces.flip(0))) == before


def textured(uv: list[list[float]], texture: list[int], faces: list[list[int]] | None = None) -> Mesh:
    """Triangles with texture coordinates, and a texture of one row of greys."""
    row = torch.tensor(texture, dtype=torch.uint8)[None, :, None].expand(-1, -1, 3).contiguous()
    corners = torch.rand(len(uv), 3, generator=torch.Generator().manual_seed(0))
    return Mesh(
        corners,
        torch.tensor(faces or [[0, 1, 2]]),
        uv=torch.tensor(uv),
        material=PBRMaterial(base_color_texture=row),
    )


def test_coverage_counts_overlaps_once_and_the_unit_square_only() -> None:
    square, both = [[0.0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]], [[0, 1, 2], [0, 2, 3]]
    quarter = mesh_quality(textured(square, [7], both))
    assert (quarter.uv_coverage, quarter.is_uv_in_range) == (pytest.approx(0.25, abs=0.01), True)
    assert mesh_quality(textured(square, [7], both + both)).uv_coverage == quarter.uv_coverage
    outside = mesh_quality(textured([[u + 0.75, v] for u, v in square], [7], both))
    assert (outside.uv_coverage, outside.is_uv_in_range) == (pytest.approx(0.125, abs=0.01), False)


def test_coverage_and_range_forget_mirroring_face_order_and_the_order_of_pixels() -> None:
    uv, faces = [[0.1, 0.2], [0.9, 0.3], [0.4, 0.8], [0.95, 0.95]], [[0, 1, 2], [1, 3, 2]]
    before = mesh_quality(textured(uv, [20, 90, 250], faces))
    assert before.texture_range == (20, 250)
    after = mesh_quality(textured([[1 - v, u] for u, v in uv], [250, 20, 90], [faces[1][::-1], faces[0]]))
    assert after.uv_coverage == pytest.approx(before.uv_coverage, abs=2e-3)
    assert (after.texture_range, after.is_uv_in_range) == (before.texture_range, before.is_uv_in_range)


def test_the_budget_and_a_floater_by_hand() -> None:
    box = to_mesh(trimesh.creation.box())
    assert mesh_quality(box, face_budget=12).is_within_budget
    assert not mesh_quality(box, face_budget=11).is_within_budget
    # A cube of a tenth of the side has a hundredth of the area: 1 in 101 is a floater, two hundredths are no floater.
    for side, num_floaters in ((0.1, 1), (0.02**0.5, 0)):
        crumb = trimesh.creation.box(extents=[side] * 3).apply_translation([3, 0, 0])
        pair = mesh_quality(to_mesh(trimesh.util.concatenate([trimesh.creation.box(), crumb])))
        assert (pair.num_components, pair.num_floaters) == (2, num_floaters)
