"""Settings shared by all tests."""

import os

# Tests start many processes. Where the environment forbids to keep compiled modules, each would compile all of torch
# again, ten seconds long.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# One test process runs per core already. Threads that spin while they wait for each other slow such processes down
# tenfold and more. Set before torch is loaded; the processes that run the tests inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import atexit
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.type_checker import check_first_calls_only

sys.dont_write_bytecode = False  # as above, for this process, which imports torch below
check_first_calls_only()
os.environ["SCENEWRIGHT_CACHE"] = _cache = tempfile.mkdtemp(prefix="scenewright-tests-")
atexit.register(shutil.rmtree, _cache, ignore_errors=True)
# Names of tests of half a minute.
_FIRST = ("test_tool_is_satisfied[types]",)


def pytest_configure(config: pytest.Config) -> None:
    """The process that only hands tests out to others starts these three seconds earlier, as it needs no torch."""
    if config.getoption("dist", "no") == "no":
        _prepare_tests()


def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: servers, browsers and killed processes are waited for a quarter of the time."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8) + 1


def _prepare_tests() -> None:
    import torch
    from hypothesis import settings

    from scenewright.machine import machine_key

    # Single precision is as fast as half precision on the machine of the tests, whatever that machine is: their results
    # hold everywhere, and nothing is measured or kept among the user's files.
    same = {"float32": 0.5, "bfloat16": 0.5}
    (Path(_cache) / "machine.json").write_text(json.dumps({machine_key(torch.device("cpu")): same}))
    # Examples are few so that the suite stays in minutes on two cores; no deadline, because machines share their cores.
    settings.register_profile("scenewright", max_examples=25, deadline=None)
    settings.load_profile("scenewright")
    torch.manual_seed(0)
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests that cannot be divided come first: the last one of all leaves a core idle for half a minute."""
    items.sort(key=lambda item: not item.name.startswith(_FIRST))


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    """Fixtures draw the same numbers whatever ran before them in their process."""
    import torch

    torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """So do tests."""
    import torch

    from tests.type_checker import new_test

    torch.manual_seed(0)
    new_test()


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Two threads of torch, or as many as the test sets, for this one test."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def few_views() -> Iterator[None]:
    """What hides in a surface is looked for from 20 sides, not 200: those take two thirds of a scene of tiny networks.

    For modules whose tests are not about finishing, as `pytestmark`.
    """
    from scenewright.geometry.mesh import finish, invisible_faces
    from scenewright.types import Mesh

    def remove_invisible_faces(mesh: Mesh, *, num_views: int, size: int) -> Mesh:
        return invisible_faces.remove_invisible_faces(mesh, num_views=num_views // 10, size=size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "remove_invisible_faces", remove_invisible_faces)
        yield
