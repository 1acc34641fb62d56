"""Loading holds the module and one tensor, never the file and the module."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

NUM_LAYERS, WIDTH = 48, 1448
MEGABYTE = 1 << 20

# In a process of its own: what other tests left behind may be paged out and in again while the peak is counted.
LOADING = f"""
import sys
from pathlib import Path
import torch
from torch import nn
from scenewright.weights.load import load_weights

def resident(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))

def build():
    return nn.Sequential(*(nn.Linear({WIDTH}, {WIDTH}, bias=False) for _ in range({NUM_LAYERS})))

before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
layers = load_weights(build, sys.argv[1], dtype=getattr(torch, sys.argv[2]))
assert layers[0].weight.dtype == getattr(torch, sys.argv[2])
print(resident("VmHWM") - before)
"""


def can_reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


@pytest.mark.skipif(not can_reset_peak(), reason="this system does not let a process reset its memory peak")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_peak_stays_under_1_2_times_the_file(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "net.safetensors"
    save_file({f"{i}.weight": torch.zeros(WIDTH, WIDTH, dtype=torch.float16) for i in range(NUM_LAYERS)}, path)
    assert path.stat().st_size > 180 * MEGABYTE
    command = [sys.executable, "-c", LOADING, str(path), dtype]
    peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert 0.9 * path.stat().st_size < peak < 1.2 * path.stat().st_size
