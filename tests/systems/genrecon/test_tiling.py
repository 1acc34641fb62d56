"""Chunks cover the extent, overlap enough and stand on whole sixteenths; points decide which remain."""

import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.systems.genrecon.points import PointFilter, clean_points, point_extent, without_outliers
from scenewright.systems.genrecon.tiling import Chunks, Extent, chunk_centres_along, chunks_with_points, tile_chunks


@pytest.mark.parametrize("length", [0.5, 1.0, 1.01, 1.5, 1.9, 2.0, 5.3, 40.0])
@pytest.mark.parametrize("size", [0.5, 1.0, 2.7])
def test_chunks_cover_the_length(length: float, size: float) -> None:
    centres = np.array(chunk_centres_along(length, size))
    if length > size:
        assert centres[0] - size / 2 <= 1e-6
        assert centres[-1] + size / 2 >= length - 1e-6
    strides = np.diff(centres) / size * 16
    np.testing.assert_allclose(strides, strides.round(), atol=1e-6)
    assert (strides <= 12 + 1e-6).all()


def test_all_chunks_stand_on_the_floor() -> None:
    chunks = tile_chunks(Extent(-1.0, 6.0, 0.0, 3.0, -1.4, 1.3), 2.7)
    assert chunks.centres[:, 2].sub(-1.4 + 1.35).abs().max() < 1e-12
    torch.testing.assert_close(
        chunks.world_from_chunk @ chunks.chunk_from_world, torch.eye(4).double().expand(len(chunks.centres), 4, 4)
    )
    # y is the outer loop.
    assert (chunks.centres[1:, 1] >= chunks.centres[:-1, 1]).all()


def test_a_scene_without_scale_is_refused() -> None:
    with pytest.raises(InputError, match="positive chunk size"):
        tile_chunks(Extent(0, 1, 0, 1, 0, 0), 0.0)
    with pytest.raises(InputError, match="finite extent"):
        tile_chunks(Extent(0, float("nan"), 0, 1, 0, 1), 1.0)


def test_empty_chunks_are_dropped_and_none_left_is_told() -> None:
    chunks = Chunks(torch.tensor([[0.0, 0, 0], [3.0, 0, 0]]).double(), 1.0)
    points = torch.zeros(5, 3).double()
    points[0, 0] = 0.5  # on the closed face
    assert len(chunks_with_points(chunks, points, min_points=5).centres) == 1
    with pytest.raises(InputError, match="the fullest has 5"):
        chunks_with_points(chunks, points, min_points=6)


def test_outliers_and_coincident_points_go() -> None:
    cloud = np.random.default_rng(0).uniform(size=(400, 3))
    far = np.concatenate([cloud, [[30.0, 0, 0]]])
    assert not without_outliers(far, 2.0)[-1]
    assert without_outliers(far, 2.0)[:-1].all()
    assert not without_outliers(np.zeros((30, 3)), 2.0).any()
    assert without_outliers(np.zeros((0, 3)), 2.0).shape == (0,)


def test_messages_say_which_filter_took_the_last_point() -> None:
    cloud = np.random.default_rng(0).uniform(size=(50, 3)) * 10
    full = np.full(50, 9)
    with pytest.raises(InputError, match="reprojection error"):
        clean_points(cloud, np.full(50, 5.0), full, PointFilter())
    with pytest.raises(InputError, match="density filter"):
        clean_points(cloud, np.zeros(50), full, PointFilter())
    with pytest.raises(InputError, match="outlier filter"):  # a point is its own nearest neighbour, at distance 0
        clean_points(cloud, np.zeros(50), full, PointFilter(neighbours=1))
    assert len(clean_points(cloud, np.zeros(50), full, PointFilter(is_sparse=True))) == 50


def test_flat_clouds_have_no_extent() -> None:
    with pytest.raises(InputError, match="is z up"):
        point_extent(np.random.default_rng(0).uniform(size=(50, 3)) * [1, 1, 0])
    with pytest.raises(InputError, match="got none"):
        point_extent(np.zeros((0, 3)))
