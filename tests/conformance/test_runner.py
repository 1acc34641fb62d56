"""The runner on folders that are not laid out as the public ones: other names, nested, with damaged files."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.conformance.__main__ import main
from tests.conformance.case import read_case
from tests.conformance.runner import golden_files, run_case

SHUFFLE = torch.arange(8.0).reshape(1, 8, 1, 1, 1)


def write_golden(path: Path, module: str = "pixel_shuffle_3d", source: str = "", **config: object) -> Path:
    """A golden of one voxel with 8 channels, which become its 8 children."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"in/x": SHUFFLE, "out/y": SHUFFLE.reshape(1, 1, 2, 2, 2).clone()}
    metadata = {"module": module, "config": json.dumps(config), "source": source, "tol": "0"}
    save_file(tensors, path, metadata)
    return path


@pytest.mark.parametrize("folder", ["trellis2", "trellis2/held", "held", "iscene"])
def test_a_case_is_found_in_any_folder(tmp_path: Path, folder: str) -> None:
    result = run_case(write_golden(tmp_path / folder / "a.safetensors", scale_factor=2))
    assert result.passed, str(result)


@pytest.mark.parametrize(
    ("source", "specs"),
    [
        ("microsoft/TRELLIS.2 : a.py", ("trellis2", "trellis1")),
        ("microsoft/TRELLIS : a.py", ("trellis1",)),
        ("LuLing06/I-Scene-project : a.py + microsoft/TRELLIS : b.py", ("iscene", "trellis1")),
        ("made for this project", ()),
    ],
)
def test_sheets_come_in_the_order_of_the_repositories_in_the_source(
    tmp_path: Path, source: str, specs: tuple[str, ...]
) -> None:
    case = read_case(write_golden(tmp_path / "a.safetensors", source=source))
    assert case.specs == specs


def test_a_module_that_the_first_named_sheet_lacks_is_looked_up_in_the_others(tmp_path: Path) -> None:
    path = write_golden(tmp_path / "a.safetensors", source="Mengmouxu/SceneGen : metrics.py", scale_factor=2)
    assert run_case(path).passed


def test_damaged_and_unknown_files_are_failed_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_golden(tmp_path / "good.safetensors", scale_factor=2)
    write_golden(tmp_path / "deep" / "no_config.safetensors")
    write_golden(tmp_path / "deep" / "unknown.safetensors", module="nothing_of_ours")
    (tmp_path / "damaged.safetensors").write_bytes(b"\x08\x00")
    save_file({"in/x": SHUFFLE}, tmp_path / "no_metadata.safetensors")
    monkeypatch.setattr("sys.argv", ["conformance", str(tmp_path)])
    assert main() == 1
    *lines, summary = capsys.readouterr().out.splitlines()
    assert summary == "1 passed, 4 failed"
    assert [line[:4] for line in lines] == ["FAIL", "FAIL", "FAIL", "ok  ", "FAIL"]
    assert "unknown module name" in lines[2]
    assert "KeyError: 'scale_factor'" in lines[1]


@pytest.mark.parametrize("outputs", [{}, {"out/y_published": SHUFFLE.clone()}])
def test_a_file_that_checks_nothing_is_a_failed_line(tmp_path: Path, outputs: dict[str, torch.Tensor]) -> None:
    metadata = {"module": "pixel_shuffle_3d", "config": '{"scale_factor": 2}', "tol": "0"}
    save_file({"in/x": SHUFFLE, **outputs}, tmp_path / "a.safetensors", metadata)
    result = run_case(tmp_path / "a.safetensors")
    assert not result.passed
    assert str(result).endswith("has no outputs")


def test_a_selection_by_module_keeps_damaged_files(tmp_path: Path) -> None:
    good = write_golden(tmp_path / "good.safetensors")
    write_golden(tmp_path / "other.safetensors", module="other")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"")
    assert list(golden_files(tmp_path, "pixel_shuffle_3d")) == [damaged, good]
