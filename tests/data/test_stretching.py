from dataclasses import replace

import numpy as np
import pytest
import torch

from scenewright.data.parametric.families import make_object
from scenewright.data.stretching import Stretching
from scenewright.geometry.mesh.parts import face_normals
from scenewright.types import Mesh, merged_mesh


def drawn(size_m: tuple[float, float, float], seed: int = 0, whole: float = 0.2, slabs: float = 0.5) -> Stretching:
    return Stretching.drawn(size_m, whole, slabs, np.random.default_rng(seed))


def points_of(parts: tuple[Mesh, ...]) -> torch.Tensor:
    return torch.cat([part.vertices for part in parts])


@pytest.mark.parametrize("family", ["chair", "sofa", "shelf", "table"])
def test_the_whole_changes_by_the_factors_and_the_lower_corner_stays(family: str) -> None:
    asset = make_object(family, 3)
    stretching = drawn(asset.size_m)
    before, after = points_of(asset.parts), points_of(stretching(asset.parts))
    ratio = (after.amax(0) - after.amin(0)) / (before.amax(0) - before.amin(0))
    assert ratio.numpy() == pytest.approx(stretching.factors, rel=1e-4)
    torch.testing.assert_close(after.amin(0), before.amin(0))


def test_boards_stay_flat_and_upright_while_their_shares_change() -> None:
    asset = make_object("shelf", 1)
    stretched = drawn(asset.size_m)(asset.parts)
    flat = 0
    for old, new in zip(asset.parts, stretched, strict=True):
        corners, moved = old.vertices[old.faces.long()], new.vertices[new.faces.long()]
        level = (corners[..., 2].amax(1) - corners[..., 2].amin(1)) < 1e-6
        flat += int(level.sum())
        assert (moved[level][..., 2].amax(1) - moved[level][..., 2].amin(1) < 1e-5).all()
    assert flat > 10
    shares = [
        torch.unique(((p := points_of(x)[:, 2]) - p.amin()) / (p.amax() - p.amin())) for x in (asset.parts, stretched)
    ]
    assert len(shares[0]) != len(shares[1]) or (shares[0] - shares[1]).abs().max() > 0.01


def test_left_and_right_stay_alike() -> None:
    stretching = drawn((1.0, 0.6, 0.8))
    shares = np.linspace(0, 1, 41)
    there = np.interp(shares, stretching.before[0], stretching.after[0])
    assert there + there[::-1] == pytest.approx(np.ones(41))
    assert np.interp(shares, stretching.before[2], stretching.after[2]) != pytest.approx(shares, abs=0.01)


def test_what_is_round_stays_round() -> None:
    asset = make_object("vase", 2)
    stretching = drawn(asset.size_m, whole=0.0)
    before, after = points_of(asset.parts), points_of(stretching(asset.parts))
    torch.testing.assert_close(after[:, :2], before[:, :2], atol=1e-5, rtol=0)
    assert (after[:, 2] - before[:, 2]).abs().max() > 0.01 * asset.size_m[2]


def test_normals_turn_with_their_faces() -> None:
    asset = make_object("sofa", 4)
    parts = tuple(
        replace(
            part,
            vertices=part.vertices[part.faces.long()].flatten(0, 1),
            uv=None,
            vertex_normals=None,
            faces=torch.arange(3 * len(part.faces), dtype=part.faces.dtype).reshape(-1, 3),
        )
        for part in asset.parts
    )
    mesh = merged_mesh(parts)
    mesh = replace(mesh, vertex_normals=face_normals(mesh).float().repeat_interleave(3, 0))
    # One slab alone, as a face that crosses a plane is bent and has no one normal.
    stretching = drawn(asset.size_m, slabs=0.0)
    (stretched,) = stretching((mesh,))
    turned = face_normals(stretched).float().repeat_interleave(3, 0)
    assert stretched.vertex_normals is not None
    assert ((stretched.vertex_normals * turned).sum(1) > 0.999).float().mean() > 0.99
