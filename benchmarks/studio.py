"""How long the studio's page takes to appear in Chromium, and a scene to be seen in it after it was made.

    uv run python -m benchmarks studio            # needs playwright and Debian's chromium

The browser measures by its own clock. First page: from the navigation to the panel being there, with the server
running; each round is a new tab. Scene: from the moment at which the generated scene is written to the first frame of
the large view that looks like its last one, every object there; the button is clicked in the page and the job runs in
its own process, as for a person.

Beside each, the processor seconds of browser, studio and job process together in that time (Linux): on a machine with
other work these say more than the clock does, which can be no less than they are, divided by the processors.
"""

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import MissingError, Report
from scenewright.studio.opening import open_studio

PATIENCE_MS = 120_000
QUICK = {"rounds": 1}
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


def section(report: Report, *, rounds: int = 5) -> None:
    """Prints the median and the slowest of some rounds."""
    program = shutil.which("chromium")
    if program is None:
        raise MissingError("Chromium (apt-get install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise MissingError("playwright") from error
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        work = Path(name)
        with open_studio(work, port=0) as server:
            browser = driver.chromium.launch(executable_path=program, args=OPTIONS)
            spent = Spent()
            pages, shown = [], []
            for _ in range(rounds):
                page = browser.new_page(viewport={"width": 1100, "height": 640})
                page.set_default_timeout(PATIENCE_MS)
                page.add_init_script(WATCH)
                page.goto(server.url)
                page.wait_for_function("window.firstPage !== undefined", polling=200)
                begin, there = page.evaluate("[performance.timeOrigin / 1000, window.firstPage / 1000]")
                pages.append((there, spent.between(begin, begin + there)))
                if len(pages) < rounds:
                    page.close()
            page.get_by_role("button", name="Try the example").click()
            for number in range(1, rounds + 1):
                page.get_by_role("button", name="Generate").wait_for()
                page.wait_for_timeout(1000)
                page.evaluate("window.frames_ = []; window.watch()")
                page.get_by_role("button", name="Generate").click()
                page.get_by_text("Click one to move it").wait_for()
                page.wait_for_timeout(4000)
                page.evaluate("clearTimeout(window.watching)")
                made = (work / f"scene_{number}" / "scene.json").stat().st_mtime
                seen = seen_at(page)
                shown.append((seen - made, spent.between(made, seen)))
                page.get_by_role("button", name="Try the example").click()
            browser.close()
    report.table("what", "target s", "median s", "slowest s", "median CPU s", "slowest CPU s")
    for what, target, found in (("first page", 2, pages), ("scene seen", 1, shown)):
        clock, processor = np.array(found).T
        figures = (f"{take(values):.2f}" for values in (clock, processor) for take in (np.median, np.max))
        report.row(what, target, *figures)
        report.ratio(f"{what}: CPU s / {target}", float(np.median(processor)) / target)


class Spent:
    """Notes the processor seconds of this process and all that it started, ten times a second."""

    def __init__(self) -> None:
        self._noted: list[tuple[float, float]] = []
        threading.Thread(target=self._note, daemon=True).start()

    def between(self, begin: float, end: float) -> float:
        """Processor seconds between two moments, in seconds since the epoch."""
        times, seconds = np.array(self._noted).T
        first, last = np.interp([begin, end], times, seconds)
        return float(last - first)

    def _note(self) -> None:
        # The seconds of processes that ended stay in the sum.
        latest: dict[int, float] = {}
        while True:
            found = processes()
            family = {os.getpid()}
            while more := {child for child, (parent, _) in found.items() if parent in family} - family:
                family |= more
            latest |= {process: found[process][1] for process in family if process in found}
            self._noted.append((time.time(), sum(latest.values())))
            time.sleep(0.1)


def processes() -> dict[int, tuple[int, float]]:
    """Parent and processor seconds of every process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parts = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        found[int(path.parent.name)] = int(parts[1]), (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")
    return found


def seen_at(page: Any) -> float:
    """Seconds since the epoch of the first of the frames that look like the last one."""
    noted = page.evaluate("window.frames_")
    frames = np.array([frame for _, frame in noted], dtype=float)
    differs = np.flatnonzero(np.abs(frames - frames[-1]).mean(1) > SAME)
    if not len(differs) or np.ptp(frames[-1]) < 20:
        raise RuntimeError("The view did not change, or is empty.")
    return float(noted[differs[-1] + 1][0]) / 1000
