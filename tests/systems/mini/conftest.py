"""Training examples that several test modules learn from."""

from pathlib import Path

import pytest
import torch
from scripts.mini_training.encoding import encode_pictures
from scripts.mini_training.examples import write_examples

from scenewright.data.library import TrainingLibrary
from scenewright.data.selection import Selector
from scenewright.systems.mini.conditioner import PictureConditioner


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two files of made scenes; takes seconds, so it is there to be copied."""
    place = tmp_path_factory.mktemp("examples")
    selector = Selector(TrainingLibrary(families=("box", "stool", "pot")))
    for start in (0, 1):
        write_examples(selector, place, seed=5, start=start, count=1)
    return place


@pytest.fixture(scope="session")
def encoded(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those examples with the tokens of their pictures, of a conditioner of random weights; there to be copied."""
    place = tmp_path_factory.mktemp("encoded")
    (place / "examples").symlink_to(examples)
    torch.manual_seed(0)
    for kind in ("own", "placed", "scene"):
        encode_pictures(PictureConditioner(), place, kind)  # type: ignore[arg-type]
    return place
