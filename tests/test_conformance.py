"""Every public golden of a published implementation, reproduced by our modules."""

from pathlib import Path

import pytest
import torch

from tests.conformance.runner import golden_files, run_case

GOLDENS = Path(__file__).parent / "goldens"


@pytest.mark.parametrize("path", list(golden_files(GOLDENS)), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path) -> None:
    result = run_case(path)
    assert result.passed, str(result)


# Flows and their blocks: those that `--dtype auto` may compute in bfloat16.
FLOWS = [path for path in golden_files(GOLDENS) if any(part in path.stem for part in ("flow", "block", "transformer"))]
# Autocast, which stands for the cast weights here, also takes what they do not: the projection of points into the
# pictures (which then hit another patch), and inputs that are in float16 themselves.
NOT_BY_AUTOCAST = {"ss_flow_lora", "ss_flow_nolora", "flow_n2_fp16"}


@pytest.mark.parametrize(
    "path",
    [path for path in FLOWS if path.stem not in NOT_BY_AUTOCAST],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_golden_of_a_flow_in_bfloat16(path: Path) -> None:
    """Within 5 % of the largest value of each output."""
    result = run_case(path, dtype=torch.bfloat16)
    assert result.passed, str(result)
