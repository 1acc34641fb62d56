"""Facts of this machine: devices, memory, threads, optional parts, weights. Read by `scenewright doctor`."""

import importlib.util
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

__all__ = ["describe_machine"]

# Optional part -> (module that shows it is there, what it is for, the extra that installs it).
_OPTIONAL_PARTS = {
    "rembg": ("removes the background of pictures without transparency", "background"),
    "OpenImageIO": ("reads OpenEXR and Radiance pictures", "hdr"),
    "lpips": ("perceptual image metrics", "perceptual"),
    "torchmetrics": ("image metrics", "perceptual"),
    "accelerate": ("training on several devices", "train"),
    "tensorboard": ("training curves", "train"),
}


def describe_machine() -> dict[str, Any]:
    """Plain JSON data: software, memory, devices, optional parts, weights, and what each system needs."""
    import torch

    from scenewright import __version__
    from scenewright.machine import devices, host_memory, platform_name

    total, available = host_memory()
    present = [asdict(device) for device in devices()]
    return {
        "scenewright": __version__,
        "python": platform.python_version(),
        "platform": platform_name(),
        "torch": torch.__version__,
        "cpu_threads": torch.get_num_threads(),
        "memory_bytes": {"total": total, "available": available},
        "devices": present,
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
        "systems": _systems(present),
    }


def _weights() -> dict[str, Any]:
    import scenewright
    from scenewright.systems.catalogue import all_records
    from scenewright.weights.hub import cached_file, hub_cache
    from scenewright.weights.trust import trusted_hashes

    published, unverified = {}, {}
    trusted = trusted_hashes(hub_cache())
    records = all_records().values()
    for record in records:
        if path := cached_file(record.repository, record.file, revision=record.revision):
            published[record.name] = str(path)
            if record.sha256 is None:
                unverified[record.name] = trusted.pop(f"{record.repository}@{record.revision}/{record.file}", None)
    package = Path(scenewright.__file__).parent
    return {
        "published": published,
        "recorded": len(records),
        "hashed": sum(record.sha256 is not None for record in records),
        "unpinned": sum(record.revision == "main" for record in records),
        # Files whose record does not know their whole name, and those of no record, stand in the note alone.
        "unverified": unverified | trusted,
        "mini": sorted(str(path.relative_to(package)) for path in package.rglob("*.safetensors")),
    }


def _systems(devices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per system: its networks that are here or missing, and the memory of its weights on each device."""
    from scenewright.systems.catalogue import needs

    present = _weights()["published"]
    rows = []
    for system in needs():
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
                "can_run": system.can_run,
                "missing_weights": [record.name for record in system.networks if record.name not in present],
                "weights_bytes": None if parameters is None else {"fp32": parameters * 4, "half": parameters * 2},
                "weights_fit": fits,
            }
        )
    return rows
