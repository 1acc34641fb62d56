"""The limited process: what it answers, and that a bomb ends it and nothing else."""

from pathlib import Path

import pytest

from scenewright.errors import InputError
from scenewright.runs.job import GenerateJob, job_from_json, job_key
from scenewright.serve.limits import Limits
from scenewright.serve.reading import Reader, Submission
from scenewright.serve.requests import GenerateRequest

PICTURES = Path(__file__).parents[1] / "data" / "replay"
FILES = {"pictures": (PICTURES / "picture.png",), "masks": (PICTURES / "masks.png",)}


def test_a_request_becomes_the_job_that_the_command_would_do(tmp_path: Path) -> None:
    request = GenerateRequest(system="cuboid", seed=3)
    accepted = Reader(Limits(), "cpu").accept(Submission(request, tmp_path, FILES))
    job = job_from_json(accepted.job)
    assert isinstance(job, GenerateJob)
    assert (job.settings.seed, job.settings.offline, job.settings.device) == (3, True, "cpu")
    assert accepted.key == job_key(job)


@pytest.mark.parametrize("limits", [Limits(reading_bytes=1 << 20), Limits(reading_s=0)], ids=["memory", "time"])
def test_files_that_take_too_much_are_one_sentence(tmp_path: Path, limits: Limits) -> None:
    with pytest.raises(InputError, match=r"more memory (or time to read than is allowed|than there is)"):
        Reader(limits, "cpu").accept(Submission(GenerateRequest(system="cuboid"), tmp_path, FILES))
