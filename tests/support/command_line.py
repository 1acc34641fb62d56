"""The command line in the process of the tests, which has everything imported."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest

from scenewright import cli

__all__ = ["run_here"]


def run_here(words: Sequence[str]) -> tuple[int, str]:
    """Exit code and output of a command line in this process."""
    printed, before = StringIO(), sys.argv
    sys.argv = ["scenewright", *words]
    try:
        with redirect_stdout(printed), redirect_stderr(printed), pytest.raises(SystemExit) as end:
            cli.main()
    finally:
        sys.argv = before
    assert isinstance(end.value.code, int)
    return end.value.code, printed.getvalue()
