"""The limited process: what it answers, and that a bomb ends it and nothing else."""

import zipfile
from pathlib import Path

import pytest
from PIL import Image

from scenewright.errors import InputError
from scenewright.runs.job import CaptureJob, GenerateJob, Job, job_from_json, job_key
from scenewright.serve.limits import Limits
from scenewright.serve.reading import Reader, Submission
from scenewright.serve.requests import CaptureRequest, GenerateRequest
from tests.systems.genrecon.tiny_capture import write_capture

PICTURES = Path(__file__).parents[1] / "data" / "replay"
FILES = {"pictures": (PICTURES / "picture.png",), "masks": (PICTURES / "masks.png",)}


def test_a_request_becomes_the_job_that_the_command_would_do(tmp_path: Path) -> None:
    request = GenerateRequest(system="cuboid", seed=3)
    accepted = Reader(Limits(), "cpu").accept(Submission(request, tmp_path, FILES))
    job = job_from_json(accepted.job)
    assert isinstance(job, GenerateJob)
    assert (job.settings.seed, job.settings.offline, job.settings.device) == (3, True, "cpu")
    assert accepted.key == job_key(job)


def accepted(submission: Submission) -> Job:
    return job_from_json(Reader(Limits(), "cpu").accept(submission).job)


def test_an_archive_becomes_a_capture(tmp_path: Path) -> None:
    capture, path = write_capture(tmp_path / "capture", count=4), tmp_path / "archive_1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(file for file in capture.rglob("*") if file.is_file()):
            archive.write(file, f"mine/{file.relative_to(capture).as_posix()}")
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    job = accepted(Submission(CaptureRequest(seed=2), inputs, {"archive": (path,)}))
    assert isinstance(job, CaptureJob)
    assert (Path(job.settings.folder), job.settings.seed) == (inputs / "capture" / "mine", 2)
    assert not path.exists()  # its content is kept once
    with pytest.raises(InputError, match="'archive'"):
        accepted(Submission(CaptureRequest(), inputs, {"archive": (tmp_path / "archive_1.png",)}))


def test_a_picture_twice_as_wide_as_high_without_masks_is_a_panorama(tmp_path: Path) -> None:
    path = tmp_path / "pictures_1.png"
    Image.new("RGB", (128, 64), "grey").save(path)
    job = accepted(Submission(GenerateRequest(heading_deg=30.0), tmp_path, {"pictures": (path,)}))
    assert isinstance(job, GenerateJob)
    assert (job.settings.system, job.settings.heading_deg) == ("inspace", 30.0)


@pytest.mark.parametrize("limits", [Limits(reading_bytes=1 << 20), Limits(reading_s=0)], ids=["memory", "time"])
def test_files_that_take_too_much_are_one_sentence(tmp_path: Path, limits: Limits) -> None:
    with pytest.raises(InputError, match=r"more memory (or time to read than is allowed|than there is)"):
        Reader(limits, "cpu").accept(Submission(GenerateRequest(system="cuboid"), tmp_path, FILES))
