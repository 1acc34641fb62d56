"""Threads change how long kernels take, and nothing else."""

import threading

import pytest
import torch

from scenewright.geometry.camera.visibility import face_visibility
from scenewright.geometry.mesh.occlusion import open_share
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.geometry.threads import run_bands
from tests.geometry.shapes import icosphere


@pytest.mark.parametrize(("rows", "threads"), [(0, 2), (1, 2), (7, 1), (7, 2), (100, 3)])
def test_every_row_is_in_one_band(rows: int, threads: int) -> None:
    done, names = [], set()

    def band(first: int, last: int) -> None:
        done.extend(range(first, last))
        names.add(threading.current_thread().name)

    run_bands(band, rows, threads)
    assert sorted(done) == list(range(rows))
    assert (names == {threading.current_thread().name}) == (min(rows, threads) < 2)  # little work starts no thread


def test_a_fault_of_a_band_is_told() -> None:
    def band(first: int, last: int) -> None:
        if first <= 5 < last:
            raise ValueError("Row 5.")

    with pytest.raises(ValueError, match="Row 5"):
        run_bands(band, 10, 2)


def test_kernels_give_the_same_bits_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    ball = icosphere(2)
    tree, points = TriangleTree(ball), torch.rand(9001, 3) - 0.5
    points[::3] = points[::3].round(decimals=1)  # some are as close to two faces
    results = []
    for cores in (1, 2, 5):
        monkeypatch.setattr("scenewright.geometry.threads.available_cores", lambda cores=cores: cores)
        found = [*vars(tree.query(points)).values(), *vars(tree.query(points, facing=points, reach=0.1)).values()]
        results.append(
            [*found, open_share(tree, points[:500], -points[:500]), face_visibility(ball, num_views=23, size=64)]
        )
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))
