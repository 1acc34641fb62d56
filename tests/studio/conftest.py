"""A picture of two plain objects, and a session that does its jobs here."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from scenewright.encoders.masks.object_masks import NamedMask, checked_masks
from scenewright.encoders.masks.prompts import MaskPrompts
from scenewright.progress import SILENT, Progress
from scenewright.runs.job import Job, JobResult, run_job
from scenewright.studio.session import Session
from scenewright.types import Mask, ObjectMasks

SIZE = (160, 120)
RED, BLUE = (20, 40, 70, 100), (95, 50, 140, 95)
"""Left, upper, right, lower of the two objects."""


class EvenColor:
    """A segmenter of toys: the even colour at a click, or in the middle of a box."""

    def from_prompts(self, image: Image.Image, prompts: MaskPrompts) -> ObjectMasks:
        """One mask per box, then per marked object."""
        pixels = np.asarray(image.convert("RGB")).astype(int)
        places = [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in prompts.boxes]
        places += [next((x, y) for x, y, is_on in points if is_on) for points in prompts.points]
        found = []
        for x, y in places:
            near = np.abs(pixels - pixels[int(y), int(x)]).max(-1) < 40
            parts, _ = ndimage.label(near)
            found.append(NamedMask("object", Mask.of(parts == parts[int(y), int(x)])))
        return checked_masks(found)


class Here:
    """Jobs done at once in this process."""

    def run(self, job: Job, folder: Path, progress: Progress = SILENT) -> JobResult:
        return run_job(job, folder, progress=progress)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    image = Image.new("RGB", SIZE, (225, 225, 220))
    image.paste((200, 40, 40), RED)
    image.paste((40, 60, 190), BLUE)
    image.save(tmp_path / "photograph.png")
    return tmp_path / "photograph.png"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path / "work", segmenter=EvenColor(), jobs=Here(), device="cpu", offline=True)
