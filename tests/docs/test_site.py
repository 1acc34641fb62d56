"""The site builds without a warning, every page is in its navigation, links resolve, and it needs no other host."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, name_of

FROM_ELSEWHERE = re.compile(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="?(https?://[^" >]+)')
CLUSTERS = sorted((DOCS / "problems").glob("*.md"))


def pages_of(navigation: list) -> Iterator[str]:
    for entry in navigation:
        for value in [entry] if isinstance(entry, str) else entry.values():
            yield from [value] if isinstance(value, str) else pages_of(value)


def test_every_page_is_in_the_navigation_once():
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    assert sorted(pages_of(navigation)) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: missing pages, anchors and objects of the API are warnings, and those end it."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(DOCS, folder / "docs")
    for name in ("src", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "zensical.toml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    return folder / "site"


def test_pages_are_there_with_search_pictures_and_docstrings(site: Path):
    assert (site / "search.json").is_file()
    assert (site / "images/generate_comparison.jpg").is_file()
    assert "The scene in one picture" in (site / "api/index.html").read_text()


def test_nothing_is_fetched_from_another_host(site: Path):
    fetched = {url for page in site.rglob("*.html") for url in FROM_ELSEWHERE.findall(page.read_text())}
    assert fetched == set()


@pytest.mark.parametrize("page", CLUSTERS, ids=name_of)
def test_a_page_of_a_problem_ends_in_a_command(page: Path):
    assert page.read_text().rstrip().endswith("```")
    assert "scenewright " in page.read_text().rsplit("```sh\n", 1)[1]


@pytest.mark.parametrize("page", [page for page in PAGES if DOCS not in page.parents], ids=name_of)
def test_links_of_pages_outside_the_site_resolve(page: Path):
    """Links between pages of the site are checked when it is built."""
    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^)]+)\)", page.read_text())):
        if re.match(r"https?:", target):
            continue
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{target}#{anchor}"


def slug(heading: str) -> str:
    """The anchor that a forge makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
