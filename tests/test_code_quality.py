"""The checks a reviewer would run first: format, lint, types, import layers, exported names, a quiet import."""

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scenewright

ROOT = Path(__file__).parent.parent
TOOLS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "layers": ["importlinter.cli", "--no-cache"],
}


@pytest.mark.parametrize("name", TOOLS)
def test_tool_is_satisfied(name: str) -> None:
    module, *arguments = TOOLS[name]
    if name == "layers":
        code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
        command = [sys.executable, "-c", code, *arguments]
    else:
        command = [sys.executable, "-m", module, *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]


def test_exported_names_exist() -> None:
    names = ["scenewright", *(module.name for module in pkgutil.walk_packages(scenewright.__path__, "scenewright."))]
    modules = [importlib.import_module(name) for name in names]
    exported = [(module, public) for module in modules for public in getattr(module, "__all__", [])]
    assert len(exported) > 1000
    assert [f"{module.__name__}.{public}" for module, public in exported if not hasattr(module, public)] == []


def test_importing_prints_nothing_and_makes_nothing(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import scenewright"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_picture_of_the_house_is_what_the_sources_say() -> None:
    command = [sys.executable, "scripts/draw_architecture.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_docstrings_name_the_thing_and_sources_can_be_opened() -> None:
    """Docstrings say what a thing is, not what one asks about it; a source is a paper or an upstream file."""
    stilted = re.compile(r'"""(Of|What|Who|How) |sheet,? sections? \d|spec sheet')
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        for match in stilted.finditer(path.read_text())
    ]
    assert found == []
