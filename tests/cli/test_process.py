"""The command as a process: signals, streams and errors of the system end it in one line."""

import os
import signal
import subprocess
import sys
from functools import partial

import pytest

from scenewright.cli.process import prepare_kernel_cache

# `main` with an action in the place of the commands, so that nothing else is imported.
MAIN = """
import sys, time, types
from scenewright import cli
commands = types.ModuleType("scenewright.cli.app")
commands.app = lambda: exec({action!r})
sys.modules[commands.__name__] = commands
cli.main()
"""


def start(action: str, **options: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", MAIN.format(action=action)]
    # Whoever runs the tests in the background has taken this signal from them.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=heard, **options)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "wait",
    [
        "time.sleep(60)",
        # As a compiled kernel does with an error of a signal's handler, and whoever calls it.
        "try:\n time.sleep(60)\nexcept BaseException:\n raise SystemError('wrapped')",
        "try:\n time.sleep(60)\nexcept BaseException:\n pass\ntime.sleep(60)",
    ],
    ids=["plain", "wrapped", "swallowed"],
)
@pytest.mark.parametrize(("number", "line"), [(signal.SIGINT, "Interrupted."), (signal.SIGTERM, "Terminated.")])
def test_signals_end_it_in_one_line(number: int, line: str, wait: str) -> None:
    process = start(f"print('ready', flush=True)\n{wait}", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, printed = process.communicate(timeout=120)
    assert (process.returncode, printed) == (128 + number, f"scenewright: {line}\n")


@pytest.mark.parametrize(
    ("action", "code", "line"),
    [
        ("print('x')", 2, "scenewright: The system refuses: No space left on device.\n"),
        ("print('x', flush=True)", 2, "scenewright: The system refuses: No space left on device.\n"),
        ("open('/nowhere/x')", 2, "scenewright: Cannot use '/nowhere/x': No such file or directory.\n"),
        (
            "raise RuntimeError('unable to mmap 9 bytes: Cannot allocate memory (12)')",
            2,
            "scenewright: Not enough memory",
        ),
    ],
)
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux")
def test_what_the_system_refuses_is_one_sentence(action: str, code: int, line: str) -> None:
    with open("/dev/full", "w") as full:
        process = start(action, stdout=full)
    _, printed = process.communicate(timeout=120)
    assert (process.returncode, printed[: len(line)], printed.count("\n")) == (code, line, 1)


def test_closed_streams_and_foreign_characters_do_no_harm() -> None:
    action = "print('\\udcff \\u2192')\nassert open('/dev/null').fileno() > 2"
    words = """PYTHONIOENCODING=ascii exec "$0" -c "$1" """
    for redirection in ("", "<&-", ">&-", "<&- >&- 2>&-"):
        command = ["bash", "-c", words + redirection, sys.executable, MAIN.format(action=action)]
        assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0


@pytest.mark.parametrize("setting", ["LANG=C LC_ALL=C", "PYTHONUTF8=0 LC_ALL=POSIX", "HOME=/proc", "HOME= TERM=dumb"])
def test_plain_locales_and_homes_that_cannot_be_written_do_no_harm(setting: str) -> None:
    action = "print('caf\\u00e9 \\u2192 \\udcff')"
    command = ["bash", "-c", f'{setting} exec "$0" -c "$1"', sys.executable, MAIN.format(action=action)]
    result = subprocess.run(command, capture_output=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.count(b"\n") == 1


def test_where_nothing_can_be_kept_kernels_are_kept_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As numba refuses to load a kernel that it cannot keep."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")  # so that it is put back
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    prepare_kernel_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ
    monkeypatch.setattr("scenewright.cli.process._is_writable", lambda folder: False)
    prepare_kernel_cache()
    assert os.stat(os.environ["NUMBA_CACHE_DIR"]).st_mode & 0o777 == 0o700
