"""Parametric families: closed, outward, inside the stated box, deterministic."""

import numpy as np
import pytest
import torch

from scenewright.data.materials import MATERIAL_KINDS, sample_material
from scenewright.data.parametric import FAMILIES, make_object
from scenewright.data.parametric.kit import Kit
from scenewright.data.parametric.solids import Shell, box, cushion, cylinder, lathe, rounded_box, tube
from scenewright.errors import InputError


def volume(shell: Shell) -> float:
    corners = shell.vertices[shell.faces]
    return float(np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))) / 6


def is_closed(shell: Shell) -> bool:
    """Every directed edge meets its reverse exactly once."""
    edges = np.concatenate([shell.faces[:, [i, (i + 1) % 3]] for i in range(3)])
    keys = edges[:, 0] * len(shell.vertices) + edges[:, 1]
    back = edges[:, 1] * len(shell.vertices) + edges[:, 0]
    return len(np.unique(keys)) == len(keys) and set(keys.tolist()) == set(back.tolist())


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_members_are_closed_outward_and_inside_their_box(family: str) -> None:
    low, high = np.array(FAMILIES[family].size_m).T
    for seed in range(12):
        kit = Kit(np.random.default_rng(seed))
        FAMILIES[family].build(kit)
        for shell in kit.shells():
            assert is_closed(shell)
            assert volume(shell) > 0
            assert np.isfinite(shell.vertices).all()
        asset = make_object(family, seed)
        assert (np.array(asset.size_m) >= low).all()
        assert (np.array(asset.size_m) <= high).all()
        points = torch.cat([part.vertices for part in asset.parts])
        assert points[:, 2].min().abs() < 1e-5
        assert (points.amax(0) + points.amin(0))[:2].abs().max() < 1e-4
        for part in asset.parts:
            assert part.vertex_normals is not None
            torch.testing.assert_close(part.vertex_normals.norm(dim=1), torch.ones(len(part.vertices)))


@pytest.mark.parametrize("family", ["chair", "plant", "shelf"])
def test_equal_seeds_give_equal_bytes_and_others_differ(family: str) -> None:
    first, second, other = (make_object(family, seed) for seed in (7, 7, 8))
    for a, b in zip(first.parts, second.parts, strict=True):
        assert torch.equal(a.vertices, b.vertices)
        assert torch.equal(a.faces, b.faces)
    assert first.size_m != other.size_m


def test_solids_have_the_volumes_of_the_textbook() -> None:
    assert volume(box((2, 3, 4))) == pytest.approx(24)
    segments = 20
    polygon = segments / 2 * np.sin(2 * np.pi / segments)
    assert volume(cylinder(1.0, 2.0)) == pytest.approx(2 * polygon)
    assert volume(lathe([(1.0, 0.0), (0.0001, 3.0)])) == pytest.approx(polygon, rel=1e-3)
    assert 0.9 < volume(rounded_box((1, 1, 1), radius=0.1)) < 1
    assert volume(cushion((1, 1, 1), squareness=2.0)) < np.pi / 6 + 0.02
    assert volume(tube(np.array([[0, 0, 0], [0, 0, 1], [1, 0, 1.0]]), 0.1)) > 0


@pytest.mark.parametrize("kind", MATERIAL_KINDS)
def test_textures_tile_and_stay_in_range(kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(6):
        material = sample_material(kind, rng)
        assert 0 <= material.roughness_factor <= 1
        assert 0 <= material.metallic_factor <= 1
        assert all(0 <= v <= 1 for v in material.base_color_factor)


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(InputError, match="spaceship"):
        make_object("spaceship", 0)
