"""Every public golden of a published implementation, reproduced by our modules."""

from pathlib import Path

import pytest

from tests.conformance.runner import golden_files, run_case

GOLDENS = Path(__file__).parent / "goldens"


@pytest.mark.parametrize("path", golden_files(GOLDENS), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path) -> None:
    result = run_case(path)
    assert result.passed, str(result)
