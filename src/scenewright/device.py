"""Choices of device and precision that commands share."""

import torch

from scenewright.errors import InputError

__all__ = ["choose_device", "choose_dtype"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision of that name; "auto" is the published half precision on CUDA and float32 elsewhere.

    Raises:
        InputError: no such precision.
    """
    if name == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise InputError(f"Expected --dtype auto, {', '.join(_DTYPES)}; got '{name}'.")
    return _DTYPES[name]
