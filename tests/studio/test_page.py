"""The studio in a browser: a photograph, clicks, a scene, a move, a download, and the scene opened again."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenewright.geometry.rotation import quaternion_wxyz_to_matrix
from scenewright.studio.job_process import JobProcess
from scenewright.studio.page import Page
from scenewright.studio.server import StudioServer
from scenewright.studio.session import Session
from tests.studio.browser import opened_page
from tests.studio.conftest import BLUE, RED, SIZE, EvenColor

_ROOM = 1.15  # of the picture in the view


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[tuple[StudioServer, Session]]:
    jobs = JobProcess()
    session = Session(tmp_path / "work", segmenter=EvenColor(), jobs=jobs, device="cpu", offline=True)
    server = StudioServer(port=0, most_uploaded=1 << 24)
    Page(server, session, jobs.cancel, segmenter="even colours", system="cuboid")
    yield server, session
    server.stop()
    jobs.close()


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
        page.mouse.move(*projected(page, server, foot + [0.5 * reach, 0, 0]))
        page.mouse.down()
        page.mouse.move(*projected(page, server, foot + [0.6 * reach, 0, 0]))
        page.mouse.move(*projected(page, server, foot + [0.9 * reach, 0, 0]))
        page.mouse.up()
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
