"""How long the studio's page takes to appear in Chromium, and a scene to be seen in it after it was made.

    uv run python -m benchmarks.studio            # needs playwright and Debian's chromium

First page: from the request to the panel being there, with the server running. Scene: from the moment at which the
generated scene is in the session to the first picture that the browser itself draws of it, asked for by viser.
"""

import shutil
import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import sync_playwright

from scenewright.runs.edit import open_edit
from scenewright.runs.job import GenerateJob, run_job
from scenewright.runs.manifest import GenerateSettings
from scenewright.studio.canvas import Canvas
from scenewright.studio.opening import open_studio

ROUNDS = 5
OPTIONS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def ignore(*values: object) -> None:
    """The canvas of this measurement is only looked at."""


def main() -> None:
    """Prints the median and the slowest of some rounds."""
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("needs Chromium: apt-get install chromium")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, as_file(files("scenewright") / "assets" / "living_room") as example:
        settings = GenerateSettings(
            str(example / "rgb.jpg"),
            (str(example / "instances.png"),),
            "scenegen",
            weights="mini",
            camera=str(example / "scene.json"),
        )
        run_job(GenerateJob(settings), Path(name) / "made")
        scene = open_edit(Path(name) / "made" / "scene.glb").scene
        with open_studio(Path(name) / "work", port=0) as server, sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=program, args=OPTIONS)
            page = browser.new_page(viewport={"width": 1100, "height": 640})
            pages, shown = [], []
            for _ in range(ROUNDS):
                begin = time.perf_counter()
                page.goto(server.url)
                page.get_by_text("to begin").wait_for()
                pages.append(time.perf_counter() - begin)
            canvas = Canvas(server, clicked=ignore, boxed=ignore, chosen=ignore, changed=ignore)
            for _ in range(ROUNDS):
                canvas.clear()
                page.wait_for_timeout(500)
                (client,) = server.get_clients().values()
                begin = time.perf_counter()
                canvas.show_scene(scene)
                while np.ptp(client.get_render(height=120, width=200).astype(int)) < 20:
                    pass
                shown.append(time.perf_counter() - begin)
            browser.close()
    for what, seconds in (("first page", pages), ("scene seen", shown)):
        print(f"{what}: median {np.median(seconds):.2f} s, slowest {max(seconds):.2f} s of {len(seconds)}")


if __name__ == "__main__":
    main()
