"""Facts of the machine agree with each other; memory in use stays below its peak."""

import json
import platform
import subprocess

import pytest
import torch

from scenewright.machine import (
    available_cores,
    devices,
    environment,
    host_memory,
    machine_facts,
    memory_in_use,
    peak_memory_bytes,
    platform_name,
)


def test_memory_in_use_lies_between_nothing_and_the_peak() -> None:
    held = torch.ones(50_000_000, dtype=torch.uint8)
    in_use, peak = memory_in_use("cpu"), peak_memory_bytes("cpu")
    assert len(held) < in_use <= peak * 1.01  # the system counts both in pages, at different times


def test_facts_agree() -> None:
    total, available = host_memory()
    assert total is not None
    assert available is not None
    assert 0 < available <= total
    assert (devices()[0].device, devices()[0].memory_bytes) == ("cpu", total)
    facts = machine_facts()
    assert (facts["processor"], facts["cores"]) == (devices()[0].name, available_cores())
    assert json.loads(json.dumps(facts)) == facts
    assert environment("cpu")["torch"] == facts["torch"]
    assert environment("cpu")["device"] == "cpu"


def test_the_platform_is_told_without_starting_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    known = platform.platform()
    monkeypatch.setattr(platform, "_uname_cache", None)
    monkeypatch.setattr(platform, "_platform_cache", {})
    monkeypatch.setattr(subprocess, "Popen", None)  # which would be called
    assert environment("cpu")["platform"] == platform_name()
    if platform.system() == "Linux":
        assert platform_name() == known
