"""The studio in a browser: a photograph, clicks, a scene, a move, a download, and the scene opened again."""

import math
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.geometry.rotation import quaternion_wxyz_to_matrix
from scenewright.progress import SILENT, Progress
from scenewright.runs.job import Job, JobResult
from scenewright.studio.job_process import JobProcess
from scenewright.studio.page import Page
from scenewright.studio.server import StudioServer
from scenewright.studio.session import Session
from tests.studio.browser import opened_page
from tests.studio.conftest import BLUE, RED, SIZE, EvenColor
from tests.systems.genrecon.tiny_capture import write_capture

_ROOM = 1.15  # of the picture in the view


def ignore() -> None:
    """Nothing is cancelled here."""


class Prepared:
    """Notes jobs, and answers each with one scene that was made before: jobs of networks take minutes."""

    def __init__(self, scene: Path) -> None:
        self.scene, self.kinds = scene, list[str]()

    def run(self, job: Job, folder: Path, progress: Progress = SILENT) -> JobResult:
        self.kinds.append(job.kind)
        shutil.copy(self.scene, folder / "scene.glb")
        return JobResult("", ("scene.glb",))


@contextmanager
def served(session: Session, cancel: Callable[[], None] = ignore) -> Iterator[StudioServer]:
    """A studio that shows a session."""
    server = StudioServer(port=0, most_uploaded=1 << 24)
    Page(server, session, cancel, segmenter="even colours", system="cuboid")
    yield server
    server.stop()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[tuple[StudioServer, Session]]:
    jobs = JobProcess()
    session = Session(tmp_path / "work", segmenter=EvenColor(), jobs=jobs, device="cpu", offline=True)
    with served(session, jobs.cancel) as server:
        yield server, session
    jobs.close()


@pytest.fixture
def made(session: Session, picture: Path) -> Session:
    """A session with a scene of two boxes."""
    session.open(picture)
    assert session.board is not None
    session.board.click(*middle(RED))
    session.board.choose(None)
    session.board.click(*middle(BLUE))
    session.generate("cuboid")
    return session


def view(page: Any) -> tuple[float, float, float]:
    """Middle and height of the large view on the screen."""
    box = page.locator("canvas").first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["height"]


def on_screen(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the picture is, which is wider than it is high and fits the view in height or width."""
    box = page.locator("canvas").first.bounding_box()
    middle_x, middle_y, height = view(page)
    shown = height / _ROOM / max(SIZE[1], SIZE[0] * box["height"] / box["width"])
    return middle_x + (x - SIZE[0] / 2) * shown, middle_y + (y - SIZE[1] / 2) * shown


def projected(page: Any, server: StudioServer, point: np.ndarray) -> tuple[float, float]:
    """Where a point of the world is on the screen, by the camera that the browser reports."""
    (client,) = server.get_clients().values()
    camera = client.camera
    rotation = quaternion_wxyz_to_matrix(torch.from_numpy(np.array(camera.wxyz, dtype=np.float64))).numpy()
    seen = rotation.T @ (point - np.asarray(camera.position))
    x, y, height = view(page)
    shown = height / 2 / math.tan(camera.fov / 2) / seen[2]
    return x + shown * seen[0], y + shown * seen[1]


def middle(box: tuple[int, int, int, int]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def drag(page: Any, *places: tuple[float, float]) -> None:
    """Presses at the first place and lets go at the last, slowly enough for a page that draws few frames a second."""
    for place in places:
        page.mouse.move(*place)
        page.wait_for_timeout(300)
        if place == places[0]:
            page.mouse.down()
            page.wait_for_timeout(300)
    page.mouse.up()


def steps(session: Session) -> list[tuple[str, str]]:
    assert session.result is not None
    return [(step.action, step.name) for step in session.result.steps]


def names(session: Session) -> list[str]:
    assert session.result is not None
    return [item.name for item in session.result.scene.objects]


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def field(page: Any, label: str) -> Any:
    """The input that follows its label."""
    return page.locator(f"xpath=//*[normalize-space(text())='{label}']/following::input[1]")


def shows_a_scene(server: StudioServer) -> bool:
    """Whether the browser draws something."""
    (client,) = server.get_clients().values()
    return np.ptp(client.get_render(height=60, width=100).astype(int)) > 20


def until(page: Any, is_so: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_so():
            return
        page.wait_for_timeout(100)
    pytest.fail("what was waited for did not happen")


def test_from_photograph_to_scene_and_back(studio: tuple[StudioServer, Session], picture: Path, tmp_path: Path) -> None:
    server, session = studio
    with opened_page(server.url) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.get_by_text("to begin").wait_for()
        page.set_input_files("input[type=file]", str(picture))
        page.get_by_text("then generate").wait_for()
        page.wait_for_timeout(1000)  # the view has its new camera a few frames later

        # Click one object; draw a box around the other.
        page.mouse.click(*on_screen(page, *middle(RED)))
        until(page, lambda: session.board is not None and len(session.board.masks) == 1)
        page.keyboard.down("Control")
        page.mouse.move(*on_screen(page, BLUE[0] - 5, BLUE[1] - 5))
        page.mouse.down()
        page.mouse.move(*on_screen(page, *middle(BLUE)))
        page.mouse.move(*on_screen(page, BLUE[2] + 5, BLUE[3] + 5))
        page.mouse.up()
        page.keyboard.up("Control")
        until(page, lambda: session.board is not None and len(session.board.masks) == 2)
        assert session.board is not None
        areas = [mask.area for mask in session.board.masks.regions]
        assert areas == [(box[2] - box[0]) * (box[3] - box[1]) for box in (RED, BLUE)]

        page.get_by_role("button", name="Generate").click()
        page.get_by_text("Click one to move it").wait_for()
        page.get_by_text("Photograph and scene").wait_for()
        until(page, lambda: session.result is not None)
        page.wait_for_timeout(1500)
        result = session.result
        assert result is not None

        # Click the blue object in the view and drag the arrow of its handle along x.
        item = next(item for item in result.scene.objects if item.name == "object_2")
        bounds = item.world_bounds().double().numpy()
        page.mouse.click(*projected(page, server, bounds.mean(0)))
        until(page, lambda: page.locator("input").evaluate_all("all => all.some(one => one.value == 'object_2')"))
        page.wait_for_timeout(1000)
        foot = np.array([*bounds.mean(0)[:2], bounds[0, 2]])
        reach = 0.75 * (bounds[1] - bounds[0]).max()
        drag(page, *(projected(page, server, foot + [share * reach, 0, 0]) for share in (0.5, 0.6, 0.9)))
        until(page, lambda: session.result is not None and len(session.result.steps) == 1)
        assert session.result is not None
        (step,) = session.result.steps
        assert (step.action, step.name) == ("move", "object_2")
        assert step.values[0] == pytest.approx(0.4 * reach, rel=0.4)

        page.get_by_role("button", name="Cancel").wait_for(state="hidden")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download", exact=True).click()
        assert Path(download.value.path()).read_bytes()[:4] == b"glTF"
        with page.expect_download() as download:
            page.get_by_role("button", name="Download scene and manifest").click()
        package = tmp_path / "package.zip"
        download.value.save_as(package)

        page.set_input_files("input[type=file]", str(package))
        until(page, lambda: session.result is not None and "unpacked" in str(session.result.path))
        assert session.result is not None
        assert [step.action for step in session.result.steps] == ["move"]
        assert all(url.startswith((server.url, "blob:" + server.url, "data:")) for url in asked)


def test_objects_are_changed_by_handle_and_buttons_and_changes_taken_back(made: Session) -> None:
    with served(made) as server, opened_page(server.url) as page:
        page.get_by_text("Click one to move it").wait_for()
        page.wait_for_timeout(1000)
        assert made.result is not None
        bounds = made.result.scene.objects[1].world_bounds().double().numpy()
        page.mouse.click(*projected(page, server, bounds.mean(0)))
        until(page, lambda: field(page, "Object").input_value() == "object_2")
        page.wait_for_timeout(1000)

        # The ring of the handle is an arc from x to y.
        foot, reach = np.array([*bounds.mean(0)[:2], bounds[0, 2]]), 0.75 * (bounds[1] - bounds[0]).max()

        def on_ring(degrees: float) -> tuple[float, float]:
            angle = math.radians(degrees)
            return projected(page, server, foot + 0.65 * reach * np.array([math.cos(angle), math.sin(angle), 0]))

        drag(page, on_ring(45), on_ring(55), on_ring(75))
        until(page, lambda: steps(made) == [("rotate", "object_2")])
        assert made.result.steps[0].values[0] == pytest.approx(30, abs=12)

        field(page, "Raise by").fill("0.25")
        field(page, "Scale by").fill("1.5")
        page.wait_for_timeout(300)
        press(page, "Raise and scale")
        until(page, lambda: [action for action, _ in steps(made)[1:]] == ["scale", "move"])
        assert [step.values for step in made.result.steps[1:]] == [(1.5,), (0.0, 0.0, 0.25)]

        press(page, "Lock")
        page.get_by_role("button", name="Unlock").wait_for()
        press(page, "Delete")
        page.get_by_text("is locked").wait_for()
        press(page, "Unlock")
        page.get_by_role("button", name="Lock", exact=True).wait_for()
        press(page, "Duplicate")
        until(page, lambda: len(names(made)) == 3)
        press(page, "Delete")
        until(page, lambda: names(made) == ["object_1", "object_2_2"])
        press(page, "Undo")
        until(page, lambda: names(made) == ["object_1", "object_2", "object_2_2"])


def test_panoramas_captures_and_manifests_are_opened_and_their_scenes_seen(made: Session, tmp_path: Path) -> None:
    assert made.result is not None
    manifest = made.result.path.with_suffix(".json")
    made.jobs = jobs = Prepared(made.result.path)
    panorama, capture = tmp_path / "panorama.png", tmp_path / "capture.zip"
    Image.new("RGB", (128, 64), "grey").save(panorama)
    with zipfile.ZipFile(capture, "w") as archive:
        folder = write_capture(tmp_path / "capture", count=4)
        for file in (file for file in folder.rglob("*") if file.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())
    with served(made) as server, opened_page(server.url) as page:
        # One is dropped on the page, the other one chosen.
        page.get_by_text("Click one to move it").wait_for()
        dropped = page.evaluate_handle(
            """async (bytes) => {
                const items = new DataTransfer();
                items.items.add(new File([new Uint8Array(bytes)], "panorama.png", {type: "image/png"}));
                return items;
            }""",
            list(panorama.read_bytes()),
        )
        page.get_by_text("Drop a photograph").dispatch_event("drop", {"dataTransfer": dropped})
        page.get_by_text("A panorama", exact=True).wait_for()
        press(page, "Generate")
        page.get_by_text("Click one to move it").wait_for()
        until(page, lambda: shows_a_scene(server))
        with page.expect_file_chooser() as chooser:
            press(page, "Choose a file")
        chooser.value.set_files(str(capture))
        page.get_by_text("A capture", exact=True).wait_for()
        press(page, "Generate")
        page.get_by_text("Click one to move it").wait_for()
        until(page, lambda: shows_a_scene(server))
        assert jobs.kinds == ["generate", "capture"]

        field(page, "Path").fill(str(manifest))
        page.wait_for_timeout(300)
        press(page, "Open the path")
        until(page, lambda: made.result is not None and made.result.path == manifest.with_suffix(".glb"))
        assert made.source is not None
        assert made.source.kind == "picture"
        assert names(made) == ["object_1", "object_2"]
        until(page, lambda: shows_a_scene(server))
