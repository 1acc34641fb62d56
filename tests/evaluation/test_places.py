"""Scores of places: known changes cost what geometry says, and a system gets what it may get."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from scenewright.evaluation.places import Place, evaluate_place_files, evaluate_place_system, score_place
from scenewright.evaluation.protocols import GENRECON_2026, PLACE_1
from scenewright.geometry.frames import YUP_FROM_ZUP
from scenewright.io.scene_file import save_scene
from scenewright.progress import SILENT, Progress
from scenewright.systems.genrecon.captures import Capture
from scenewright.systems.genrecon.instances import LabelledView
from scenewright.systems.genrecon.pipeline import SceneSurface
from scenewright.systems.genrecon.system import CaptureSystem
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.types import Scene
from tests.evaluation.small_places import HIDDEN, PICTURES, true_scene, write_place

METRES, PUBLISHED = (replace(protocol, num_points=40_000) for protocol in (PLACE_1, GENRECON_2026))
GEOMETRY = replace(METRES, metrics=tuple(name for name in METRES.metrics if name not in ("psnr", "ssim")))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_place(tmp_path_factory.mktemp("places"))


@pytest.fixture(scope="module")
def place(places: Path) -> Place:
    return Place.read(places / "room", "room")


def moved(scene: Scene, matrix: torch.Tensor) -> Scene:
    return replace(
        scene,
        objects=tuple(
            replace(item, world_from_object=(matrix @ item.world_from_object.double()).float())
            for item in scene.objects
        ),
    )


def without(name: str) -> Scene:
    return Scene(tuple(item for item in true_scene().objects if item.name != name))


def test_the_truth_scores_perfectly(place: Place) -> None:
    found = score_place(true_scene(), place, METRES)
    assert found["f_5cm"] == found["f_10cm"] == 100
    assert found["accuracy_m"] == found["completeness_m"] == 0
    assert found["normal_consistency"] == pytest.approx(1)
    assert found["instance_iou"] == 1
    assert found["psnr"] > 30  # edges between colours, at half the size
    assert found["ssim"] > 0.95


def test_a_surface_that_no_picture_shows_is_neither_missed_nor_wrong(place: Place) -> None:
    with_it, without_it = (score_place(scene, place, GEOMETRY) for scene in (true_scene(), without(HIDDEN)))
    assert without_it["completeness_m"] < 0.03  # two samplings of one surface
    assert without_it["f_5cm"] > 95
    assert with_it["f_5cm"] == 100
    # Where the truth is what the pictures show, the box is a surface where there is none.
    as_shown = [score_place(scene, place, PUBLISHED)["f_10cm"] for scene in (true_scene(), without(HIDDEN))]
    assert as_shown[0] < 96 < as_shown[1]


def test_distances_are_in_metres_and_nothing_is_aligned(place: Place) -> None:
    up = torch.eye(4).double()
    up[:3, 3] = torch.tensor([0.07, 0.07, 0.07])
    found = score_place(moved(true_scene(), up), place, GEOMETRY)
    # Every plane lies 7 cm off; samples of the room lie about 2 cm apart.
    assert 0.05 < found["accuracy_m"] < 0.08
    assert found["f_5cm"] < 25
    assert found["f_10cm"] > 99


def test_an_object_that_is_missing_or_part_of_the_room_has_no_overlap(place: Place) -> None:
    assert score_place(without("obj_02"), place, GEOMETRY)["instance_iou"] == pytest.approx(0.5, abs=0.02)
    as_room = Scene(tuple(
        replace(item, name="chunk_007") if item.name == "obj_02" else item for item in true_scene().objects
    ))  # fmt: skip
    assert score_place(as_room, place, GEOMETRY)["instance_iou"] == pytest.approx(0.5, abs=0.02)
    renamed = Scene(tuple(
        replace(item, name="floor lamp") if item.name == "obj_02" else item for item in true_scene().objects
    ))  # fmt: skip
    assert score_place(renamed, place, GEOMETRY)["instance_iou"] == 1


class Remembering(CaptureSystem):
    """Gives back the truth in the frame of the capture that it gets."""

    name = "remembering"

    def __init__(self) -> None:
        self.given: list[str] = []

    def generate_capture(
        self,
        capture: Capture,
        *,
        labelled: Sequence[LabelledView] = (),
        seed: int = 0,
        options: GenerateOptions = DEFAULT,
        keep_in: Path | None = None,
        progress: Progress = SILENT,
    ) -> Scene:
        self.given = [picture.name for picture in capture.pictures]
        assert capture.world_from_capture is not None
        world_from_file = torch.from_numpy(capture.world_from_capture)
        return moved(true_scene(), world_from_file @ YUP_FROM_ZUP)

    def surface(self, *args: Any, **kwargs: Any) -> SceneSurface:
        raise NotImplementedError

    def weights_sha256(self) -> dict[str, str]:
        return {}


def test_a_system_gets_seven_of_eight_pictures_and_is_scored_in_the_truths_frame(places: Path, tmp_path: Path) -> None:
    system = Remembering()
    found = evaluate_place_system(
        system, places, METRES, work=tmp_path / "work", generated=tmp_path / "made", pictures=False
    )
    (record,) = found.records
    assert record["error"] is None
    assert record["place"]["f_5cm"] > 99.9
    assert record["place"]["instance_iou"] == 1
    assert system.given == [f"{index}.png" for index in range(PICTURES) if index != 4]


def test_a_prediction_that_is_missing_counts_as_nothing_found(places: Path, tmp_path: Path) -> None:
    (record,) = evaluate_place_files(tmp_path, places, METRES, work=tmp_path / "work", pictures=False).records
    assert record["status"] == "failed"
    assert record["place"]["f_5cm"] == 0
    assert "There is no prediction for 'room'" in record["error"]


def test_files_of_predictions_are_in_the_truths_frame(places: Path, tmp_path: Path) -> None:
    save_scene(true_scene(), tmp_path / "room.glb")
    (record,) = evaluate_place_files(tmp_path, places, METRES, work=tmp_path / "work", pictures=False).records
    assert record["place"]["f_5cm"] > 99.9
