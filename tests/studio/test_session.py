"""A person's work without a browser: open, generate, change, take back, export, open again."""

import zipfile
from pathlib import Path

import pytest

from scenewright.errors import InputError
from scenewright.io.scene_file import load_scene
from scenewright.runs.edit import Step
from scenewright.serve.limited import LimitedProcess
from scenewright.serve.limits import Limits
from scenewright.studio.opening import open_studio
from scenewright.studio.session import Session


@pytest.fixture
def made(session: Session, picture: Path) -> Session:
    """A session with a scene of two boxes."""
    session.open(picture)
    assert session.board is not None
    session.board.click(30, 60)
    session.board.choose(None)
    session.board.click(110, 70)
    session.generate("cuboid")
    return session


def height_of(session: Session) -> float:
    assert session.result is not None
    return float(session.result.scene.objects[0].world_bounds()[0, 2])


def test_changes_are_taken_back_one_by_one(made: Session) -> None:
    begin = height_of(made)
    made.edit(Step("move", "object_1", (0.0, 0.0, 0.5)))
    made.edit(Step("lock", "object_1"))
    assert made.result is not None
    assert made.result.locked == {"object_1"}
    with pytest.raises(InputError, match="locked"):
        made.edit(Step("delete", "object_1"))
    made.undo()
    assert height_of(made) == pytest.approx(begin + 0.5, abs=1e-5)
    made.undo()
    assert height_of(made) == pytest.approx(begin)
    with pytest.raises(InputError, match="nothing to undo"):
        made.undo()


def test_a_scene_that_is_opened_again_keeps_its_steps(made: Session, session: Session, tmp_path: Path) -> None:
    begin = height_of(made)
    made.edit(Step("move", "object_1", (0.0, 0.0, 0.5)))
    session.take_upload(made.package().read_bytes())
    assert session.result is not None
    assert [step.action for step in session.result.steps] == ["move"]
    assert session.picture is not None  # the photograph that its manifest names
    session.undo()
    assert height_of(session) == pytest.approx(begin)


def test_formats_of_several_files_come_as_one_zip(made: Session) -> None:
    assert load_scene(made.export(".glb")).objects[0].name == "object_1"
    with zipfile.ZipFile(made.export(".xml")) as archive:
        names = archive.namelist()
    assert "scene.xml" in names
    assert len(names) > 1


def test_uploads_are_known_by_their_content(session: Session, picture: Path) -> None:
    session.take_upload(picture.read_bytes())
    assert session.source is not None
    assert session.source.path.name == "upload.png"
    with pytest.raises(InputError, match="Expected a picture"):
        session.take_upload(b"#!/bin/sh\nexit\n")


def test_a_zip_that_leaves_its_folder_is_refused(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "capture.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../outside.png", b"x")
    with pytest.raises(InputError, match="no plain name"):
        session.open(path)
    assert not list(tmp_path.rglob("outside.png"))


def test_what_is_no_input_is_said(session: Session, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Open a photograph"):
        session.generate("cuboid")
    with pytest.raises(InputError, match="no scene yet"):
        session.export(".glb")
    with pytest.raises(InputError, match="is no capture"):
        session.open(tmp_path)


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_a_seed_that_no_run_takes_is_said(session: Session, picture: Path, seed: int) -> None:
    session.open(picture)
    with pytest.raises(InputError, match="Expected a seed from 0 to"):
        session.generate("cuboid", seed=seed)
    with pytest.raises(InputError, match="not known here"):
        session.open(Path("~nobody-of-that-name/room.jpg"))


def test_a_new_folder_is_never_one_that_is_there(session: Session) -> None:
    (session.folder / "scene_2").mkdir()
    assert session._fresh("scene").name == "scene_1"
    assert session._fresh("scene").name == "scene_3"


def test_a_system_without_masks_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="inspace reads no pictures with masks"),
        open_studio(tmp_path, system="inspace"),
    ):
        pass


def test_an_upload_that_takes_too_much_ends_its_own_process_alone(
    session: Session, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.open(picture)
    monkeypatch.setattr(session, "_reader", LimitedProcess("scenewright.studio.inputs", Limits(reading_s=0)))
    with pytest.raises(InputError, match="more memory or time"):
        session.take_upload(picture.read_bytes())
    assert session.source is not None
    assert session.source.path == picture  # what was open stays open
