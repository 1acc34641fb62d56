"""Data making that is killed or runs out of disk: nothing broken is left, and a rerun in two processes completes it.

Killed workers are the subject of tests/jobs.
"""

import multiprocessing
import resource
import signal
import time
from pathlib import Path

import pytest

from scenewright.data.making import make_data
from scenewright.data.recipes import DataRecipe
from scenewright.data.shards import Sample, ShardReader, is_whole, write_shard
from scenewright.errors import InputError

TINY = DataRecipe("floor", count=4, seed=4, size=32, supersample=1, with_meshes=False, scenes_per_shard=1)


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def wait_for(path: Path, seconds: float = 900.0) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    make_data(TINY, out)
    return shards(out)


def test_a_killed_run_is_finished_by_the_next(whole: dict[str, bytes], tmp_path: Path) -> None:
    process = multiprocessing.get_context("forkserver").Process(target=make_data, args=(TINY, tmp_path))
    process.start()
    wait_for(tmp_path / "shard-00000.json")
    process.kill()  # SIGKILL: no handler, no clean-up
    process.join()
    assert process.exitcode == -signal.SIGKILL
    result = make_data(TINY, tmp_path, workers=2)
    assert result.shards_kept >= 1
    assert result.shards_kept + result.shards_made == 4
    assert {name: content for name, content in shards(tmp_path).items() if not name.endswith(".tmp")} == whole


def test_a_full_disk_leaves_no_half_shard(tmp_path: Path) -> None:
    sample = Sample("0", {"rgb.jpg": bytes(200_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails with an error instead of a signal
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(InputError, match="shard-00000"):
            write_shard(tmp_path, 0, [sample])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())
    write_shard(tmp_path, 0, [sample])
    assert is_whole(tmp_path, 0)
    assert len(ShardReader(tmp_path)) == 1
