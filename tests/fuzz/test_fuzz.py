"""A short run of the fuzzing, and every file known to have broken something; the long run is `python -m tests.fuzz`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAULTS = ROOT.parent / "shared" / "faults"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """A process without the type checker of the tests, whose errors would be taken for foreign ones."""
    words = ["--inputs", "400", "--keep", str(tmp_path_factory.mktemp("kept"))]
    command = [sys.executable, "-m", "tests.fuzz", *words, *(["--known", str(FAULTS)] if FAULTS.is_dir() else [])]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_damaged_files_raise_nothing_foreign_and_stay_within_their_budget(
    ended: subprocess.CompletedProcess[str],
) -> None:
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    assert " 0 distinct faults" in ended.stdout


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the folder of known faults is not here")
def test_every_file_known_to_have_broken_something_is_read_or_refused_in_one_sentence(
    ended: subprocess.CompletedProcess[str],
) -> None:
    found = re.search(r"(\d+) files that once broke something, (\d+) still do", ended.stdout)
    assert found is not None, ended.stdout[-6000:] + ended.stderr[-2000:]
    assert int(found[1]) > 60
    assert int(found[2]) == 0, ended.stdout[-6000:]
