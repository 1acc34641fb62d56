"""A run that is killed while it writes any of its stages is finished by the next, with the same bytes."""

import multiprocessing
import os
import signal
from pathlib import Path

from scenewright.io.data_file import data_fingerprint
from scenewright.types import View
from tests.systems.inspace.test_system import folder, system, view  # noqa: F401

_PRELOADED = ["tests.systems.inspace.test_system"]


def _dying(weights: Path, stages: Path, picture: View) -> None:
    """Generates; the process kills itself when the second result of a stage is written, but not yet in place."""
    real, done = os.replace, []

    def replaced(temporary: str, path: str) -> None:
        if Path(path).suffix != ".png":
            if done:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(path)
        real(temporary, path)

    os.replace = replaced  # type: ignore[assignment]
    system(weights, stages).generate(picture, seed=1)


def test_killed_at_every_stage(folder: Path, view: View, tmp_path: Path) -> None:  # noqa: F811
    expected = data_fingerprint(system(folder, tmp_path / "whole").generate(view, seed=1))
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    stages, kills = tmp_path / "killed", 0
    while True:
        process = context.Process(target=_dying, args=(folder, stages, view))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        assert {path.name for path in stages.iterdir() if path.name[0] != "."} <= names
    assert kills == sum(not name.endswith(".png") for name in names) - 1
    assert data_fingerprint(system(folder, stages).generate(view, seed=1)) == expected
    for name in sorted(names):
        assert (stages / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
