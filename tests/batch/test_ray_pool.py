"""A batch on a Ray cluster of this machine: two workers, of which one is killed on the way."""

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from scenewright.batch.ray_pool import RayPool, connect
from scenewright.batch.run import Summary, run_batch
from scenewright.errors import InputError
from tests.batch.manifests import batch_of, line, set_aside, setup_of, write_manifest
from tests.batch.test_run import plain_glb

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'cluster' (Ray) is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # Ray makes its workers yield to all other processes (nice 15). Beside the other tests, which take all cores,
        # they would wait for a processor for a minute and more.
        patch.setenv("RAY_worker_niceness", "0")
        ray = connect("local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)
        yield
        ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_a_cluster_makes_the_bytes_of_one_machine_though_a_worker_is_killed(tmp_path: Path) -> None:
    lines = [line("0"), line("away", image="away.png"), *(line(str(seed), seed=seed) for seed in range(1, 5))]
    batch = batch_of(write_manifest(tmp_path, lines), tmp_path / "out")
    pool = RayPool(setup_of(batch), "auto", gpus_per_worker=0)
    assert pool.num_workers == 2
    victims = iter(pool.process_ids[:1])

    def kill_one(summary: Summary, name: str, status: str, reason: str) -> None:
        for process in victims:
            os.kill(process, signal.SIGKILL)

    try:
        summary = run_batch(batch, pool, report=kill_one)
        again = run_batch(batch, pool)
    finally:
        pool.close()
    assert (summary.made + summary.kept, summary.set_aside) == (5, 1)
    assert summary.retried >= 1
    assert (again.made, again.kept) == (0, 5)
    assert "away.png" in set_aside(batch.out)["away"]
    for seed in range(5):
        assert (tmp_path / "out" / str(seed) / "scene.glb").read_bytes() == plain_glb(seed)


@pytest.mark.usefixtures("cluster")
def test_a_share_that_the_cluster_cannot_give_is_refused(tmp_path: Path) -> None:
    batch = batch_of(write_manifest(tmp_path, [line("a")]), tmp_path / "out")
    with pytest.raises(InputError, match=r"no room for a worker with 0\.25 GPUs"):
        RayPool(setup_of(batch), "auto", gpus_per_worker=0.25)
