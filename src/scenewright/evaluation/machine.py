"""The machine a number was measured on, in words and figures."""

import os
import platform
import sys
from pathlib import Path

import torch

__all__ = ["machine_facts", "peak_memory_mb"]


def machine_facts() -> dict[str, str | int | float]:
    """Processor, cores usable by this process, memory, accelerator and versions; plain JSON data."""
    facts: dict[str, str | int | float] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    memory = _memory_gb()
    if memory:
        facts["memory_gb"] = round(memory, 1)
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
        facts["gpu_memory_gb"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    elif torch.backends.mps.is_available():
        facts["gpu"] = "Apple GPU (MPS)"
    return facts


def peak_memory_mb() -> dict[str, float]:
    """Largest resident memory of this process so far and, where there is one, the largest GPU memory allocated."""
    try:
        import resource
    except ImportError:  # Windows
        return {}
    # Linux counts in kilobytes, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peaks = {"cpu": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)}
    if torch.cuda.is_available():
        peaks["gpu"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return peaks


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        return None
