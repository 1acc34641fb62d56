"""The precision that `auto` takes: measured once a machine, kept, and read again."""

import json

import pytest
import torch

from scenewright import machine
from scenewright.errors import InputError
from scenewright.systems import calibration
from scenewright.systems.calibration import BlockSeconds, chosen_dtype, measured

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SCENEWRIGHT_CACHE", str(tmp_path))
    return tmp_path / "machine.json"


def set_measured(monkeypatch, float32, bfloat16):
    calls = []
    monkeypatch.setattr(calibration, "_measure", lambda device: calls.append(device) or BlockSeconds(float32, bfloat16))
    return calls


@pytest.mark.parametrize(("bfloat16", "expected"), [(0.3, torch.bfloat16), (0.79, torch.bfloat16), (0.9, None)])
def test_auto_takes_bfloat16_only_where_it_is_a_fifth_faster(cache, monkeypatch, bfloat16, expected):
    set_measured(monkeypatch, 1.0, bfloat16)
    assert chosen_dtype("auto", CPU) is expected
    assert chosen_dtype("float32", CPU) is torch.float32


def test_it_is_measured_once_and_again_on_another_machine(cache, monkeypatch):
    calls = set_measured(monkeypatch, 1.0, 0.5)
    assert measured(CPU) == measured(CPU) == BlockSeconds(1.0, 0.5)
    assert len(calls) == 1
    monkeypatch.setattr(machine, "processor_name", lambda: "another one")
    measured(CPU)
    assert len(calls) == 2
    assert len(json.loads(cache.read_text())) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"x": {"float32": "fast"}}'])
def test_a_damaged_file_is_replaced(cache, monkeypatch, content):
    cache.write_text(content)
    set_measured(monkeypatch, 1.0, 0.5)
    assert measured(CPU) == BlockSeconds(1.0, 0.5)
    assert len(json.loads(cache.read_text())) == 1


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCENEWRIGHT_CACHE", str(tmp_path / "file"))
    set_measured(monkeypatch, 1.0, 0.5)
    assert measured(CPU) == BlockSeconds(1.0, 0.5)


def test_other_devices_take_what_is_published_and_unknown_names_are_refused(cache):
    assert chosen_dtype("auto", torch.device("cuda")) is None
    with pytest.raises(InputError, match="float64"):
        chosen_dtype("float64", CPU)


def test_a_small_block_is_really_timed_in_both_precisions(cache, monkeypatch):
    monkeypatch.setattr(calibration, "_WIDTH", 64)
    monkeypatch.setattr(calibration, "_TOKENS", 8)
    found = measured(CPU)
    assert 0 < found.float32 < 10
    assert 0 < found.bfloat16 < 10
