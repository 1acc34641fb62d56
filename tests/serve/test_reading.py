"""The limited process: what it answers, and that a bomb ends it and nothing else."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
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


def turned(path: Path, width: int, height: int) -> Path:
    """A photograph that is stored on its side: it is shown `height` wide and `width` high."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (width, height), "grey").save(path, exif=exif)
    return path


@pytest.mark.parametrize("way", ["prompts", "file"])
def test_marks_are_counted_in_the_picture_as_it_is_shown(tmp_path: Path, way: str) -> None:
    files = {"pictures": (turned(tmp_path / "pictures_1.jpg", 160, 96),)}

    def submitted(box: list[float]) -> Job:
        prompts, path = {"boxes": [box]}, tmp_path / "masks_1.json"
        if way == "file":
            path.write_text(json.dumps(prompts))
        options = {"system": "cuboid"} | ({"prompts": prompts} if way == "prompts" else {})
        given = files | ({"masks": (path,)} if way == "file" else {})
        return accepted(Submission(GenerateRequest.model_validate_json(json.dumps(options)), tmp_path, given))

    assert isinstance(submitted([10, 110, 80, 155]), GenerateJob)
    with pytest.raises(InputError, match="covers nothing of a picture of 96x160"):
        submitted([110, 10, 155, 80])


def test_what_a_picture_is_shows_when_it_is_upright(tmp_path: Path) -> None:
    tall, wide = turned(tmp_path / "a.jpg", 128, 64), turned(tmp_path / "b.jpg", 64, 128)
    with pytest.raises(InputError, match="Expected a photograph and its masks"):
        accepted(Submission(GenerateRequest(), tmp_path, {"pictures": (tall,)}))
    job = accepted(Submission(GenerateRequest(), tmp_path, {"pictures": (wide,)}))
    assert isinstance(job, GenerateJob)
    assert job.settings.system == "inspace"
    camera = tmp_path / "camera_1.json"
    camera.write_text('{"fx": 100, "fy": 100, "cx": 64, "cy": 32}')
    with pytest.raises(InputError, match=r"b\.jpg' is a panorama, so a camera would change nothing"):
        accepted(Submission(GenerateRequest(), tmp_path, {"pictures": (wide,), "camera": (camera,)}))


def test_a_panorama_of_linear_light_is_read(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "pictures_1.hdr"), np.full((64, 128, 3), 0.5, np.float32))
    files = {"pictures": (tmp_path / "pictures_1.hdr",)}
    job = accepted(Submission(GenerateRequest(), tmp_path, files))
    assert isinstance(job, GenerateJob)
    assert job.settings.system == "inspace"
    with pytest.raises(InputError, match="pixels"):
        Reader(Limits(pixels=1000), "cpu").accept(Submission(GenerateRequest(), tmp_path, files))


@pytest.mark.parametrize("limits", [Limits(reading_bytes=1 << 20), Limits(reading_s=0)], ids=["memory", "time"])
def test_files_that_take_too_much_are_one_sentence(tmp_path: Path, limits: Limits) -> None:
    with pytest.raises(InputError, match=r"more memory (or time to read than is allowed|than there is)"):
        Reader(limits, "cpu").accept(Submission(GenerateRequest(system="cuboid"), tmp_path, FILES))
