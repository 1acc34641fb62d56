"""A run of a capture that kills its own process, the hard way, round a chosen write of a file."""

import os
import signal
from pathlib import Path
from typing import Literal

import torch

from scenewright.runs.captures import CaptureSettings, run_capture
from scenewright.systems.genrecon.system import GenReconSystem
from tests.systems.genrecon.test_pipeline import OPTIONS
from tests.systems.genrecon.tiny import TinyNetworks

When = Literal["before", "after", "never"]


def run(folder: Path, out: Path, count: int, when: When) -> None:
    """Makes the scene with tiny networks, going on from what is kept; killed at the `count`-th file that appears.

    Files appear by a rename: "before" leaves the temporary file alone, "after" the file without what follows it.
    """
    torch.set_num_threads(1)
    replace, done = os.replace, 0

    def counted(source: Path, target: Path) -> None:
        nonlocal done
        done += 1
        if done == count and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if done == count and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = counted
    run_capture(
        CaptureSettings(folder, metres_per_unit=2.0), out, system=GenReconSystem(TinyNetworks(), OPTIONS), resume=True
    )
