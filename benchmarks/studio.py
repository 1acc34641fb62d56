"""How long the studio's page takes to appear in Chromium, and a scene to be seen in it after it was made.

    uv run python -m benchmarks.studio            # needs playwright and Debian's chromium

The browser measures by its own clock. First page: from the navigation to the panel being there, with the server
running; each round is a new tab. Scene: from the moment at which the generated scene is written to the first frame of
the large view that looks like its last one, every object there; the button is clicked in the page and the job runs in
its own process, as for a person.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from scenewright.studio.opening import open_studio

ROUNDS, PATIENCE_MS = 5, 120_000
OPTIONS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SAME = 2.0  # of 255, in the mean over a small frame
# Notes when the panel is there, and small frames of the large view with the time.
WATCH = """(() => {
  const begin = new MutationObserver(() => {
    if (document.body && document.body.innerText.includes('to begin')) {
      window.firstPage ??= performance.now();
      begin.disconnect();
    }
  });
  begin.observe(document, {childList: true, subtree: true, characterData: true});
  const small = new OffscreenCanvas(48, 32).getContext('2d', {willReadFrequently: true});
  window.frames_ = [];
  window.watch = () => {
    const view = [...document.querySelectorAll('canvas')].find(canvas => canvas.width > 300 && canvas.height);
    if (view) {
      small.clearRect(0, 0, 48, 32);
      small.drawImage(view, 0, 0, 48, 32);
      window.frames_.push([performance.timeOrigin + performance.now(), [...small.getImageData(0, 0, 48, 32).data]]);
    }
    window.watching = setTimeout(window.watch, 60);
  };
})()"""


def main() -> None:
    """Prints the median and the slowest of some rounds."""
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        work = Path(name)
        with open_studio(work, port=0) as server:
            browser = driver.chromium.launch(executable_path=program, args=OPTIONS)
            pages, shown = [], []
            for _ in range(ROUNDS):
                page = browser.new_page(viewport={"width": 1100, "height": 640})
                page.set_default_timeout(PATIENCE_MS)
                page.add_init_script(WATCH)
                page.goto(server.url)
                page.wait_for_function("window.firstPage !== undefined")
                pages.append(page.evaluate("window.firstPage") / 1000)
                if len(pages) < ROUNDS:
                    page.close()
            page.get_by_role("button", name="Try the example").click()
            for number in range(1, ROUNDS + 1):
                page.get_by_role("button", name="Generate").wait_for()
                page.wait_for_timeout(1000)
                page.evaluate("window.frames_ = []; window.watch()")
                page.get_by_role("button", name="Generate").click()
                page.get_by_text("Click one to move it").wait_for()
                page.wait_for_timeout(4000)
                page.evaluate("clearTimeout(window.watching)")
                shown.append(seen_after(page, made_at(work / f"scene_{number}" / "scene.json")))
                page.get_by_role("button", name="Try the example").click()
            browser.close()
    for what, seconds in (("first page", pages), ("scene seen", shown)):
        rounds = " ".join(f"{value:.2f}" for value in seconds)
        print(f"{what}: median {np.median(seconds):.2f} s, slowest {max(seconds):.2f} s of {rounds}")


def made_at(path: Path) -> float:
    """Seconds since the epoch at which a file was written."""
    return path.stat().st_mtime


def seen_after(page: Any, made: float) -> float:
    """Seconds from a moment to the first of the frames that look like the last one."""
    noted = page.evaluate("window.frames_")
    frames = np.array([frame for _, frame in noted], dtype=float)
    differs = np.flatnonzero(np.abs(frames - frames[-1]).mean(1) > SAME)
    if not len(differs) or np.ptp(frames[-1]) < 20:
        raise SystemExit("The view did not change, or is empty.")
    return float(noted[differs[-1] + 1][0]) / 1000 - made


if __name__ == "__main__":
    main()
