"""A place that weights are taken from."""

import json
from pathlib import Path

import pytest

from scenewright.errors import WeightsError
from scenewright.weights.record import WeightsRecord
from scenewright.weights.source import WeightsSource

RECORD = WeightsRecord("net", "someone/base", "ckpts/net.safetensors", "Net", "MIT", "", size_bytes=5, sha256="0" * 64)


def test_a_folder_gives_its_own_files_whatever_the_record_says(tmp_path: Path) -> None:
    (tmp_path / "ckpts").mkdir()
    (tmp_path / RECORD.file).write_bytes(b"other weights")
    source = WeightsSource(tmp_path)
    assert source.is_local
    assert source.fetch(RECORD) == tmp_path / RECORD.file
    assert source.holds(RECORD.file)
    assert not source.holds("ckpts/net.json")
    assert source.files() == [RECORD.file]


def test_a_repository_that_is_not_here_stays_away_offline() -> None:
    source = WeightsSource("someone/base", offline=True)
    assert not source.holds(RECORD.file)
    assert source.beside("net") is None
    with pytest.raises(WeightsError, match="downloading is off"):
        source.fetch(RECORD)


def test_what_is_stored_beside_comes_with_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "encoder.json").write_text(json.dumps({"name": "Encoder", "args": {"width": 8}}))
    source = WeightsSource(tmp_path)
    with pytest.raises(WeightsError, match=r"Expected 'encoder\.safetensors'"):
        source.beside("encoder")
    (tmp_path / "encoder.safetensors").write_bytes(b"")
    assert source.beside("encoder") == ({"width": 8}, tmp_path / "encoder.safetensors")
    assert source.beside("decoder") is None


def test_another_place_is_asked_under_the_same_conditions(tmp_path: Path) -> None:
    lines: list[str] = []
    source = WeightsSource("someone/base", offline=True, report=lines.append)
    other = source.at(tmp_path)
    other.report("Loading")
    assert (str(other), other.offline, lines) == (str(tmp_path), True, ["Loading"])
