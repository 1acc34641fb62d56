"""Debian's Chromium without a window, by Playwright; both are optional."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

__all__ = ["opened_page"]

SIZE = {"width": 1100, "height": 640}
# WebGL on the processor, as machines that test have no graphics card.
_OPTIONS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@contextmanager
def opened_page(url: str) -> Iterator[Any]:
    """A tab that shows the page; skips the test where there is no browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: uv sync")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=_OPTIONS)
        page = browser.new_page(viewport=SIZE, accept_downloads=True)
        page.set_default_timeout(120_000)
        page.goto(url)
        yield page
        browser.close()
