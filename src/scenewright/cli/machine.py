"""What this machine has: devices, memory, threads, optional parts, weights. Read by `scenewright doctor`."""

import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Any

__all__ = ["describe_machine"]

# Optional part -> (module that shows it is there, what it is for, the extra that installs it).
_OPTIONAL_PARTS = {
    "rembg": ("removes the background of pictures without transparency", "background"),
    "mitsuba": ("path-traced pictures of results", "mitsuba"),
    "lpips": ("perceptual image metrics", "perceptual"),
    "torchmetrics": ("image metrics", "perceptual"),
    "accelerate": ("training on several devices", "train"),
    "tensorboard": ("training curves", "train"),
}


def describe_machine() -> dict[str, Any]:
    """Plain JSON data: software, memory, devices, optional parts, weights, and what each system needs."""
    import torch

    from scenewright import __version__

    total, available = _host_memory()
    devices = _devices(torch, total)
    return {
        "scenewright": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "cpu_threads": torch.get_num_threads(),
        "memory_bytes": {"total": total, "available": available},
        "devices": devices,
        "parts": [
            {
                "name": name,
                "purpose": purpose,
                "present": importlib.util.find_spec(name) is not None,
                "install": f"pip install 'scenewright[{extra}]'",
            }
            for name, (purpose, extra) in _OPTIONAL_PARTS.items()
        ],
        "weights": _weights(),
        "systems": _systems(devices),
    }


def _devices(torch: Any, host_memory: int | None) -> list[dict[str, Any]]:
    devices = [{"device": "cpu", "name": platform.processor() or platform.machine(), "memory_bytes": host_memory}]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            devices.append(
                {"device": f"cuda:{index}", "name": properties.name, "memory_bytes": properties.total_memory}
            )
    if torch.backends.mps.is_available():
        memory = torch.mps.recommended_max_memory()
        devices.append({"device": "mps", "name": "Apple GPU", "memory_bytes": memory})
    return devices


def _host_memory() -> tuple[int | None, int | None]:
    """Total and available bytes; a container's limit counts as the total."""
    total = available = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    elif sys.platform == "win32":
        total, available = _windows_memory()
    limit = _number_in(Path("/sys/fs/cgroup/memory.max"))
    if total is not None and limit is not None:
        total = min(total, limit)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    if limit is not None and available is not None:
        used = _number_in(Path("/sys/fs/cgroup/memory.current")) or 0
        available = min(available, max(limit - used, 0))
    return total, available


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _windows_memory() -> tuple[int | None, int | None]:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "available", "a", "b", "c", "d", "e")),
        )

    status = Status(length=ctypes.sizeof(Status))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # type: ignore[attr-defined]
        return None, None
    return int(status.total), int(status.available)


def _weights() -> dict[str, Any]:
    import scenewright
    from scenewright.cli.catalogue import RECORDS
    from scenewright.weights.hub import cached_file

    found = {}
    for record in RECORDS.values():
        if path := cached_file(record.repository, record.file, revision=record.revision):
            found[record.name] = str(path)
    package = Path(scenewright.__file__).parent
    mini = sorted(str(path.relative_to(package)) for path in package.rglob("*.safetensors"))
    return {"published": found, "mini": mini}


def _systems(devices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per system: its networks that are here or missing, and the memory of its weights on each device."""
    from scenewright.cli.catalogue import SYSTEMS

    present = _weights()["published"]
    rows = []
    for system in SYSTEMS:
        parameters = system.num_parameters
        fits = {}
        for device in devices:
            # Half precision on accelerators, single on the host, which computes halves slowly.
            need = None if parameters is None else parameters * (4 if device["device"] == "cpu" else 2)
            memory = device["memory_bytes"]
            fits[device["device"]] = None if need is None or memory is None else need < memory
        rows.append(
            {
                "name": system.name,
                "purpose": system.purpose,
                "missing_weights": [name for name in system.networks if name not in present],
                "weights_bytes": None if parameters is None else {"fp32": parameters * 4, "half": parameters * 2},
                "weights_fit": fits,
            }
        )
    return rows
