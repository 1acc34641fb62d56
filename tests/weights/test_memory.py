"""Loading holds the module and one tensor, never the file and the module."""

import gc
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from scenewright.weights import load_weights

MEGABYTE = 1 << 20


def resident(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_peak_stays_under_1_2_times_the_file(tmp_path, dtype):
    path, num_layers, width = tmp_path / "net.safetensors", 48, 1448
    save_file({f"{i}.weight": torch.zeros(width, width, dtype=torch.float16) for i in range(num_layers)}, path)
    gc.collect()
    try:
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    except OSError:
        pytest.skip("this system does not let a process reset its memory peak")
    layers = load_weights(
        lambda: nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(num_layers))), path, dtype=dtype
    )
    assert path.stat().st_size > 180 * MEGABYTE
    assert resident("VmHWM") - before < 1.2 * path.stat().st_size
    assert layers[0].weight.dtype == dtype
