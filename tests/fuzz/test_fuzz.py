"""A short run of the fuzzing, and every file known to have broken something; the long run is `python -m tests.fuzz`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAULTS = ROOT.parent / "shared" / "faults"


def test_damaged_files_raise_nothing_foreign_and_stay_within_their_budget(tmp_path: Path) -> None:
    """In a process without the type checker of the tests, whose errors would be taken for foreign ones."""
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "400", "--keep", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert " 0 distinct faults" in result.stdout


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the folder of known faults is not here")
def test_every_file_known_to_have_broken_something_is_read_or_refused_in_one_sentence() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.known", str(FAULTS)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    outcomes = json.loads(result.stdout)
    assert len(outcomes) > 60
    assert {name: fault for name, fault in outcomes.items() if fault is not None} == {}
