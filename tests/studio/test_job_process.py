"""The process beside the page: progress and results come back, errors are sentences, a job can be cancelled."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scenewright.errors import InputError
from scenewright.progress import Advance, ignore
from scenewright.runs.job import ExportJob, GenerateJob
from scenewright.runs.manifest import GenerateSettings
from scenewright.studio.job_process import Cancelled, JobProcess

PICTURES = Path(__file__).parents[1] / "data" / "replay"


class Stages:
    """Notes the stages."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.began = threading.Event()

    def stage(self, name: str) -> Advance:
        self.names.append(name)
        self.began.set()
        return ignore


@pytest.fixture(scope="module")
def jobs() -> Iterator[JobProcess]:
    process = JobProcess()
    yield process
    process.close()


def generate() -> GenerateJob:
    return GenerateJob(GenerateSettings(str(PICTURES / "picture.png"), (str(PICTURES / "masks.png"),), "cuboid"))


def test_results_and_stages_come_back_and_errors_are_sentences(jobs: JobProcess, tmp_path: Path) -> None:
    stages = Stages()
    result = jobs.run(generate(), tmp_path / "made", stages)
    assert result.files[0] == "scene.glb"
    assert "draw" in stages.names
    with pytest.raises(InputError, match="does not exist"):
        jobs.run(ExportJob(str(tmp_path / "none.glb"), ".obj"), tmp_path / "export")


def test_a_cancelled_job_ends_and_the_next_one_is_done(jobs: JobProcess, tmp_path: Path) -> None:
    stages = Stages()
    ends: list[Exception] = []

    def work() -> None:
        try:
            jobs.run(generate(), tmp_path / "cancelled", stages)
        except Cancelled as error:
            ends.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    assert stages.began.wait(120)
    jobs.cancel()
    worker.join(120)
    assert len(ends) == 1
    assert jobs.run(generate(), tmp_path / "made").files
