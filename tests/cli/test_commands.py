import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from scenewright import cli
from scenewright.cli import app as app_module
from scenewright.cli.machine import describe_machine
from scenewright.errors import EmptyStructureError, InputError, MissingExtraError, WeightsError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from scenewright.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )


def main_with(monkeypatch, capsys, action) -> tuple[int, str]:
    """Exit code and stderr of `main` when the only command does `action`."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(action)
    monkeypatch.setattr(app_module, "app", app)
    monkeypatch.setattr(sys, "argv", ["scenewright"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [InputError("A sentence."), WeightsError("A sentence."), EmptyStructureError("A sentence.")],
    ids=lambda error: type(error).__name__,
)
def test_our_errors_are_one_sentence_and_exit_code_2(monkeypatch, capsys, error):
    def action() -> None:
        raise error

    assert main_with(monkeypatch, capsys, action) == (2, "scenewright: A sentence.\n")


def test_missing_extras_name_the_install_command(monkeypatch, capsys):
    def action() -> None:
        raise MissingExtraError("Background removal", "background")

    code, message = main_with(monkeypatch, capsys, action)
    assert code == 2
    assert "pip install 'scenewright[background]'" in message


def test_running_out_of_memory_is_a_sentence(monkeypatch, capsys):
    import torch

    def action() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\nmore")

    code, message = main_with(monkeypatch, capsys, action)
    assert code == 2
    assert message.startswith("scenewright: Not enough memory (CUDA out of memory.")
    assert message.count("\n") == 1


def test_bugs_are_not_hidden(monkeypatch):
    def action() -> None:
        raise RuntimeError("a bug")

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(action)
    monkeypatch.setattr(app_module, "app", app)
    monkeypatch.setattr(sys, "argv", ["scenewright"])
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main()


def test_an_interrupt_exits_with_130(monkeypatch, capsys):
    def action() -> None:
        raise KeyboardInterrupt

    assert main_with(monkeypatch, capsys, action)[0] == 130


def test_wrong_usage_exits_with_2():
    result = run("no-such-command")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_a_reader_that_stops_listening_ends_it_quietly():
    command = f"{sys.executable} -c 'from scenewright.cli import main; main()' list | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in result.stderr


def test_list_names_every_record_and_its_licence(capsys):
    from scenewright.cli.list_weights import list_weights
    from scenewright.systems.catalogue import all_records

    list_weights()
    printed = capsys.readouterr().out
    assert all(name in printed for name in all_records())
    assert "CC-BY-NC-4.0 (non-commercial)" in printed
    list_weights(json=Path("-"))
    described = json.loads(capsys.readouterr().out)
    assert [record["name"] for record in described] == list(all_records())
    assert [record["sha256"] for record in described] == [record.sha256 for record in all_records().values()]


def test_doctor_tells_devices_parts_weights_and_systems(capsys):
    from scenewright.cli.doctor import doctor

    doctor()
    printed = capsys.readouterr().out
    for word in (
        "device      cpu",
        "part        rembg",
        "weights     mini",
        "system      scenegen",
        "no known revision",
    ):
        assert word in printed
    doctor(json=Path("-"))
    assert json.loads(capsys.readouterr().out)["torch"]


def test_doctor_lists_files_that_were_trusted_when_first_seen_and_counts_known_hashes(capsys, tmp_path, monkeypatch):
    from scenewright.cli.doctor import doctor
    from scenewright.systems.catalogue import all_records

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    name = "GwanHyeong/InSpace@main/ckpts/flow_ema0.9999_step0000500.pt"
    (tmp_path / "scenewright_hashes.json").write_text(json.dumps({"sha256": {name: "ab" * 32}}))
    doctor()
    printed = capsys.readouterr().out
    assert (
        f"unverified: {name}, no published hash is known; trusted since first use, SHA-256 abababababab..." in printed
    )
    hashed = sum(record.sha256 is not None for record in all_records().values())
    assert f"of {len(all_records())} published files the SHA-256 of {hashed} is known and checked" in printed


def test_doctor_compares_weights_with_the_memory_of_each_device():
    facts = describe_machine()
    assert facts["memory_bytes"]["total"] > 0
    trellis = next(system for system in facts["systems"] if system["name"] == "trellis1")
    assert trellis["weights_bytes"]["half"] * 2 == trellis["weights_bytes"]["fp32"]
    assert set(trellis["weights_fit"]) == {device["device"] for device in facts["devices"]}
