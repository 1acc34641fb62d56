"""Dual marching cubes: the generated table, and surfaces with known topology, orientation and volume."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.geometry.isosurface.dual_marching_cubes_table import (
    CUBE_EDGES,
    ambiguous_faces,
    case_loops,
    case_table,
)
from scenewright.geometry.isosurface.mesh_extraction import ExtractedMesh, extract_mesh
from tests.geometry.shapes import all_voxels, corner_positions, features_of_distance, to_trimesh


def extract_distance(distance_of, resolution: int) -> ExtractedMesh:
    coords = all_voxels(resolution)
    distance = distance_of(corner_positions(coords, resolution))
    return extract_mesh(coords, features_of_distance(distance, resolution), resolution)


def as_trimesh(mesh: ExtractedMesh):
    return to_trimesh(mesh.to_mesh())


class TestTable:
    def test_every_crossed_edge_belongs_to_one_loop_and_no_other_edge_does(self):
        for case in range(256):
            crossed = {i for i, (a, b) in enumerate(CUBE_EDGES) if (case >> a & 1) != (case >> b & 1)}
            edges = [edge for loop in case_loops(case) for edge in loop]
            assert sorted(edges) == sorted(crossed)
            assert all(len(loop) >= 3 for loop in case_loops(case))

    def test_single_corner_gives_one_loop_of_its_three_edges(self):
        for corner in range(8):
            assert case_loops(1 << corner) == [[i for i, edge in enumerate(CUBE_EDGES) if corner in edge]]

    def test_checkerboard_keeps_occupied_corners_apart(self):
        assert len(case_loops(0b10010110)) == 4
        assert len(ambiguous_faces(0b10010110)) == 6

    def test_counts_of_the_published_table(self):
        table = case_table()
        assert table.num_loops.bincount().tolist() == [2, 162, 82, 8, 2]
        assert int(table.ambiguous_step.any(1).sum()) == 36


RESOLUTION, RADIUS = 24, 0.35


@pytest.fixture(scope="module")
def sphere() -> ExtractedMesh:
    return extract_distance(lambda p: p.norm(dim=-1) - RADIUS, RESOLUTION)


class TestSphere:
    def test_is_a_closed_sphere_facing_outwards(self, sphere):
        mesh = as_trimesh(sphere)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.euler_number == 2
        outward = (mesh.face_normals * mesh.triangles_center).sum(1)
        assert (outward > 0).all()

    def test_has_the_volume_of_the_sphere(self, sphere):
        assert as_trimesh(sphere).volume == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.02)

    def test_vertices_lie_near_the_sphere(self, sphere):
        error = (sphere.vertices.norm(dim=1) - RADIUS).abs()
        assert error.max() < 0.2 / RESOLUTION

    def test_order_of_voxels_does_not_matter(self):
        resolution = 10
        coords = all_voxels(resolution)
        distance = corner_positions(coords, resolution).norm(dim=-1) - 0.3
        feats = features_of_distance(distance, resolution, 101) + 0.01 * torch.randn(len(coords), 101)
        order = torch.randperm(len(coords))
        straight, shuffled = (
            extract_mesh(coords, feats, resolution),
            extract_mesh(coords[order], feats[order], resolution),
        )
        assert torch.equal(straight.vertices, shuffled.vertices)
        assert torch.equal(straight.faces, shuffled.faces)
        assert torch.equal(straight.vertex_attributes, shuffled.vertex_attributes)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31 - 1))
def test_random_signs_inside_the_grid_give_closed_surfaces(seed):
    """Every grid edge is shared by four cubes, ambiguous faces included, so no hole can appear away from the border."""
    resolution = 5
    generator = torch.Generator().manual_seed(seed)
    values = torch.ones(resolution + 1, resolution + 1, resolution + 1)
    inner = torch.rand(resolution - 1, resolution - 1, resolution - 1, generator=generator) * 2 - 1
    values[1:-1, 1:-1, 1:-1] = torch.where(inner.abs() < 0.01, 0.5, inner)
    coords = all_voxels(resolution)
    index = (
        coords[:, None] + ((corner_positions(coords, resolution) + 0.5) * resolution - coords[:, None]).round().long()
    )
    distance = values[index[..., 0], index[..., 1], index[..., 2]]
    mesh = extract_mesh(coords, features_of_distance(distance, resolution), resolution)
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    # Each directed edge must be matched by its reverse: closed and consistently wound.
    directed = torch.unique(edges[:, 0] * len(mesh.vertices) + edges[:, 1], return_counts=True)
    reverse = torch.unique(edges[:, 1] * len(mesh.vertices) + edges[:, 0], return_counts=True)
    assert torch.equal(directed[0], reverse[0])
    assert torch.equal(directed[1], reverse[1])


def test_single_voxel_uses_the_ring_of_absent_cubes():
    """One voxel with all corners inside: the 26 absent neighbours close the surface round it."""
    mesh = extract_mesh(torch.tensor([[3, 3, 3]]), features_of_distance(-torch.ones(1, 8), 7), 7)
    assert as_trimesh(mesh).is_watertight
    assert len(mesh.vertices) == 26
    assert as_trimesh(mesh).volume > (1 / 7) ** 3


def test_single_voxel_in_the_grid_corner_is_open_at_the_border():
    mesh = extract_mesh(torch.tensor([[0, 0, 0]]), features_of_distance(-torch.ones(1, 8), 7), 7)
    assert len(mesh.vertices) == 7
    assert not as_trimesh(mesh).is_watertight


@pytest.mark.parametrize("training", [False, True])
def test_no_surface_gives_an_empty_mesh(training):
    mesh = extract_mesh(torch.tensor([[1, 1, 1]]), features_of_distance(torch.ones(1, 8), 4, 101), 4, training=training)
    assert mesh.is_empty
    assert mesh.vertices.shape == (0, 3)
    assert mesh.vertex_attributes.shape == (0, 6)
    if training:
        assert torch.isfinite(mesh.regularization_loss)


def test_no_voxels_give_an_empty_mesh():
    mesh = extract_mesh(torch.zeros(0, 3, dtype=torch.int64), torch.zeros(0, 101), 8)
    assert mesh.is_empty


def test_zero_distance_counts_as_outside():
    mesh = extract_mesh(torch.tensor([[1, 1, 1]]), features_of_distance(torch.zeros(1, 8), 4), 4)
    assert mesh.is_empty


def test_colour_is_averaged_as_logits_then_squashed():
    coords = all_voxels(8)
    feats = features_of_distance(corner_positions(coords, 8).norm(dim=-1) - 0.3, 8, 101)
    feats[:, 53:] = 1.5
    mesh = extract_mesh(coords, feats, 8)
    torch.testing.assert_close(mesh.vertex_attributes, torch.full_like(mesh.vertex_attributes, 1.5).sigmoid())


def test_features_are_left_unchanged():
    coords = all_voxels(4)
    feats = torch.randn(len(coords), 101)
    before = feats.clone()
    extract_mesh(coords, feats, 4)
    assert torch.equal(feats, before)


def test_training_centres_and_gradients():
    resolution = 8
    coords = all_voxels(resolution)
    feats = features_of_distance(corner_positions(coords, resolution).norm(dim=-1) - 0.3, resolution, 101)
    feats = (feats + 0.02 * torch.randn(feats.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    plain, trained = extract_mesh(coords, feats, resolution), extract_mesh(coords, feats, resolution, training=True)
    assert len(trained.faces) == 2 * len(plain.faces)
    torch.testing.assert_close(trained.vertices[: len(plain.vertices)], plain.vertices)
    assert len(trained.grid_positions) == len(trained.grid_sdf) == (resolution + 1) ** 3
    (trained.vertices.square().sum() + trained.vertex_attributes.sum() + trained.regularization_loss).backward()
    assert torch.isfinite(feats.grad).all()
    names = {"sdf": 0, "deform": 8, "edge weight": 32, "corner weight": 44, "split weight": 52, "colour": 53}
    for name, channel in names.items():
        assert feats.grad[:, channel:].abs().sum() > 0, name


def test_gradient_agrees_with_finite_differences():
    coords = all_voxels(3)
    feats = torch.randn(len(coords), 53, generator=torch.Generator().manual_seed(3)) * 0.5
    target = torch.randn(400, 3, generator=torch.Generator().manual_seed(4))

    def score(values):
        vertices = extract_mesh(coords, values, 3).vertices
        return (vertices * target[: len(vertices)]).sum()

    values = feats.clone().requires_grad_()
    score(values).backward()
    step = 1e-3
    for channel in (0, 10, 35, 45):
        shift = torch.zeros_like(feats)
        shift[13, channel] = step
        numeric = (score(feats + shift) - score(feats - shift)) / (2 * step)
        assert float(values.grad[13, channel]) == pytest.approx(float(numeric), abs=2e-2, rel=5e-2)


@pytest.mark.parametrize(
    ("coords", "feats", "words"),
    [
        (torch.zeros(1, 3, dtype=torch.int64), torch.zeros(1, 100), "101 mesh features"),
        (torch.tensor([[0, 8, 0]]), torch.zeros(1, 101), "0..7"),
        (torch.zeros(1, 3, dtype=torch.int64), torch.full((1, 101), torch.nan), "finite"),
    ],
)
def test_bad_features_are_refused(coords, feats, words):
    with pytest.raises(InputError, match=words):
        extract_mesh(coords, feats, 8)
