"""Every notebook runs from top to bottom, and is kept without outputs.

Their cells run here in one process; starting a kernel for each would take longer than they do.
"""

import contextlib
import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def code_of(notebook: Path) -> list[dict]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == ["evaluate", "fine_tune", "quick_start"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(notebook: Path, tmp_path: Path, capsys):
    names: dict[str, object] = {}
    with contextlib.chdir(tmp_path):
        for number, cell in enumerate(code_of(notebook), 1):
            exec(compile("".join(cell["source"]), f"{notebook.name}, cell {number}", "exec"), names)
    expected = {
        "quick_start": ["quick_start.glb", "quick_start.obj"],
        "evaluate": ["mine.json"],
        "fine_tune": ["tuned/encoder.safetensors", "tuned/decoder.safetensors"],
    }
    assert all((tmp_path / name).is_file() for name in expected[notebook.stem])
    assert capsys.readouterr().out


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(notebook: Path):
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code_of(notebook))
