"""This machine: its devices, cores, memory and versions, and the memory that this process uses.

Facts for people (`scenewright doctor`, records of measurements, manifests of runs) and figures that memory ceilings and
process pools are planned with. Everything that may change is read anew at each call.
"""

import mmap
import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from scenewright.errors import InputError

__all__ = [
    "Device",
    "available_cores",
    "cache_folder",
    "choose_device",
    "choose_dtype",
    "devices",
    "environment",
    "host_memory",
    "machine_facts",
    "machine_key",
    "memory_in_use",
    "peak_memory_bytes",
    "platform_name",
    "processor_flags",
    "processor_name",
]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "int8": torch.int8}


@dataclass(frozen=True)
class Device:
    """One device: torch's name of it ("cuda:0"), its maker's, and its memory, where known."""

    device: str
    name: str
    memory_bytes: int | None


def devices() -> list[Device]:
    """Every device that torch can use here, the CPU first."""
    present = [Device("cpu", processor_name(), host_memory()[0])]
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        present.append(Device(f"cuda:{index}", properties.name, properties.total_memory))
    if torch.backends.mps.is_available():
        present.append(Device("mps", "Apple GPU (MPS)", torch.mps.recommended_max_memory()))
    return present


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA, then MPS, then the CPU.

    Raises:
        InputError: there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"There is no device '{name}' here; use auto or cpu (`scenewright doctor` lists devices)."
        ) from error
    return device


def machine_key(device: torch.device) -> str:
    """Names what speed depends on: the device's name, cores, and torch."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return f"{name}, {available_cores()} cores, torch {torch.__version__}"


def cache_folder() -> Path:
    """Where facts of this machine are kept for a user: $SCENEWRIGHT_CACHE, or `scenewright` among the user's caches."""
    if own := os.environ.get("SCENEWRIGHT_CACHE"):
        return Path(own).expanduser()
    usual = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(usual).expanduser() / "scenewright"


def choose_dtype(name: str) -> torch.dtype:
    """The precision of that name.

    Raises:
        InputError: no such precision.
    """
    if name not in _DTYPES:
        raise InputError(f"Expected --dtype auto, {', '.join(_DTYPES)}; got '{name}'.")
    return _DTYPES[name]


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_name() -> str:
    """The processor's model name, or its architecture where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


@cache
def processor_flags() -> frozenset[str]:
    """The instruction sets of the processor by the names of Linux, such as "amx_bf16"; empty where it does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(flags, "").split())


def platform_name() -> str:
    """System, its release, architecture and C library, as `platform.platform` says, which runs `uname` to do so."""
    library = "".join(platform.libc_ver())
    return "-".join(
        (platform.system(), platform.release(), platform.machine(), *(["with", library] if library else ()))
    )


def machine_facts() -> dict[str, str | int | float]:
    """Processor, cores, memory, accelerator and versions of the machine a figure is measured on; plain JSON data."""
    cpu, *accelerators = devices()
    facts: dict[str, str | int | float] = {
        "processor": cpu.name,
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if cpu.memory_bytes:
        facts["memory_gb"] = round(cpu.memory_bytes / 2**30, 1)
    if accelerators:
        facts["gpu"] = accelerators[0].name
        facts["gpu_memory_gb"] = round((accelerators[0].memory_bytes or 0) / 2**30, 1)
    return facts


def environment(device: torch.device | str) -> dict[str, str | int]:
    """Versions, device and threads: what may change the bytes of a result besides its settings."""
    device = torch.device(device)
    return {
        "scenewright": version("scenewright"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform_name(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "mujoco": _version_of("mujoco"),
    }


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def host_memory() -> tuple[int | None, int | None]:
    """Total and available bytes, None where unknown; a container's limit counts as the total."""
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


def memory_in_use(device: torch.device | str) -> int:
    """Bytes that this process holds on the device now; on the CPU its resident memory."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.current_allocated_memory()
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * mmap.PAGESIZE
    # Elsewhere only a further dependency knows the present value: the peak so far is the safe answer.
    return peak_memory_bytes()


def peak_memory_bytes(device: torch.device | str = "cpu") -> int:
    """Most bytes in use so far: of the device if it is a CUDA one, else of this process; 0 where unknown (Windows)."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:
        return 0
    # Linux counts in kilobytes, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


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
