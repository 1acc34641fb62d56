"""Strict loading of weights into modules, straight to their device and dtype, one tensor at a time.

    network = load_weights(lambda: StructureFlow(config), path, device="cuda", dtype=torch.bfloat16)
    load_state(module, tensors)             # tensors already in memory, published names

A network is built on the meta device (no memory, no initialisation), each tensor is allocated once where it is to
live, and the file is read into it. Host memory peaks at the module (when it lives on the host) plus one tensor.

What a network must do for this:
* Parameters and buffers carry the published names, or names that its `KeyMap` gives them. A module that wraps another
  library's network may translate names in hooks of its state dict instead; its tensors are then read as a whole.
* The constructor makes no decision from tensor values (they are meta tensors); plain Python numbers are fine.
* Constants are computed in `forward` or from Python numbers. Non-persistent buffers are in no file: a module that
  registers one (or a module around it) must have `reset_buffers(device)`, which assigns them anew; without it loading
  refuses.
* A module that keeps a tensor in another form than the file (eight bits, `nn.precision`) has `after_fill(attribute)`,
  which is called as soon as that tensor is there.
* `dtype=None` keeps the dtype of each parameter as the constructor made it: this is how a network mixes a half
  precision torso with fp32 norms. A given `dtype` applies to every floating-point parameter and buffer.
"""

from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from scenewright.errors import WeightsError
from scenewright.weights.checkpoint import Checkpoint, PartOfCheckpoint, TensorCheckpoint, open_checkpoint
from scenewright.weights.keymap import IDENTITY, KeyMap

__all__ = [
    "load_state",
    "load_weights",
]

M = TypeVar("M", bound=nn.Module)
View = Callable[[Checkpoint], Checkpoint]
_NAMES_SHOWN = 4
# What parallel and compiled networks, and those inside a trainer, have before each of their names.
_WRAPPERS = ("module.", "_orig_mod.", "model.")


def _as_it_is(checkpoint: Checkpoint) -> Checkpoint:
    return checkpoint


def load_weights(
    build: Callable[[], M],
    path: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    keymap: KeyMap = IDENTITY,
    ignore: Collection[str] = (),
    view: View = _as_it_is,
) -> M:
    """The module made by `build` with the weights of `path`, in evaluation mode and without gradients.

    Args:
        build: called once under the meta device.
        path: a `.safetensors` file, or a `.pt` state dict that holds tensors only.
        dtype: floating-point dtype of the result; None keeps what the constructor chose.
        keymap: published names -> names in the module.
        ignore: published names (with `*` wildcards) that the file may hold and the module does not need.
        view: what to see in place of the file's own names and tensors, such as adapters merged (`MergedLora`).

    Raises:
        WeightsError: the file cannot be read, or its names or shapes differ from the module's.
    """
    with torch.device("meta"), _WithoutValues():
        module = build()
    with open_checkpoint(path) as checkpoint:
        _fill(module, view(checkpoint), str(path), torch.device(device), dtype, keymap, ignore)
    return module.eval().requires_grad_(False)


def load_state(
    module: M,
    tensors: Mapping[str, Tensor],
    *,
    keymap: KeyMap = IDENTITY,
    ignore: Collection[str] = (),
    view: View = _as_it_is,
    source: str = "the state dict",
) -> M:
    """`module` with its parameters and persistent buffers replaced by `tensors` (published names), strictly.

    Parameters keep their device and dtype; those still on the meta device go to the host.

    Raises:
        WeightsError: names or shapes differ; the message lists them.
    """
    _fill(module, view(TensorCheckpoint(tensors)), source, None, None, keymap, ignore)
    return module


class _WithoutValues(TorchFunctionMode):
    """Draws no random numbers: the file replaces them, and on the meta device drawing imports torch's compiler, which
    takes seconds."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in (torch.rand, torch.randn):
            return torch.empty(*args, **(kwargs or {}))
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def _fill(
    module: nn.Module,
    checkpoint: Checkpoint,
    source: str,
    device: torch.device | None,
    dtype: torch.dtype | None,
    keymap: KeyMap,
    ignore: Collection[str],
) -> None:
    checkpoint = _unwrapped(checkpoint, module)
    published_of = {
        ours: name
        for ours, name in keymap.rename_all(checkpoint.shapes).items()
        if not any(fnmatchcase(name, pattern) for pattern in ignore)
    }
    _check_names_and_shapes(module, checkpoint, published_of, source)
    slots, translated = _slots(module), dict[str, Tensor]()
    current = module.state_dict(keep_vars=True)
    for ours, name in published_of.items():
        if ours in slots:
            _fill_slot(*slots[ours], checkpoint, name, source, device, dtype)
        else:
            translated[ours] = _read(current[ours], checkpoint, name, device, dtype)
            _check_finite(translated[ours], current[ours], name, source)
    if translated:
        is_meta = any(current[name].is_meta for name in translated)
        module.load_state_dict(translated, strict=False, assign=is_meta)  # names are checked above
    _reset_missing_buffers(module, device)


def _unwrapped(checkpoint: Checkpoint, module: nn.Module) -> Checkpoint:
    """The checkpoint without what a wrapper put before all of its names."""
    own = list(module.state_dict(keep_vars=True))
    while prefix := next((wrapper for wrapper in _WRAPPERS if _is_before(wrapper, checkpoint.shapes)), ""):
        if not own or _is_before(prefix, own):
            break
        checkpoint = PartOfCheckpoint(checkpoint, prefix)
    return checkpoint


def _is_before(prefix: str, names: Collection[str]) -> bool:
    return bool(names) and all(name.startswith(prefix) for name in names)


def _check_names_and_shapes(
    module: nn.Module, checkpoint: Checkpoint, published_of: Mapping[str, str], source: str
) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict(keep_vars=True).items()}
    missing = [name for name in expected if name not in published_of]
    unexpected = [published_of[name] for name in published_of if name not in expected]
    if missing or unexpected:
        raise WeightsError(
            f"Weights in {source} do not fit {type(module).__name__}: "
            f"{_listed('missing', missing)}, {_listed('unexpected', unexpected)}; were they saved for another network?"
        )
    wrong = [
        f"{name} is {checkpoint.shapes[published_of[name]]} instead of {shape}"
        for name, shape in expected.items()
        if checkpoint.shapes[published_of[name]] != shape
    ]
    if wrong:
        raise WeightsError(
            f"Weights in {source}, for {type(module).__name__}: {_listed('of the wrong shape', wrong)}; "
            "does the configuration belong to these weights?"
        )
    current = module.state_dict(keep_vars=True)
    whole = [
        f"{published_of[name]} as {str(checkpoint.dtypes[published_of[name]]).removeprefix('torch.')}"
        for name in expected
        if current[name].is_floating_point() and not checkpoint.dtypes[published_of[name]].is_floating_point
    ]
    if whole:
        raise WeightsError(
            f"Weights in {source}, for {type(module).__name__}: {_listed('stored in another way', whole)}; "
            "give the weights before they were quantised, in floating point."
        )


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return f"0 {what}"
    more = f", and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:_NAMES_SHOWN])}{more})"


def _slots(module: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Owner and attribute of every parameter and buffer, by full name (shared ones under each of their names)."""
    return {
        f"{prefix}.{name}" if prefix else name: (owner, name)
        for prefix, owner in module.named_modules(remove_duplicate=False)
        for table in (owner._parameters, owner._buffers)
        for name, tensor in table.items()
        if tensor is not None
    }


def _fill_slot(
    owner: nn.Module,
    attribute: str,
    checkpoint: Checkpoint,
    name: str,
    source: str,
    device: torch.device | None,
    dtype: torch.dtype | None,
) -> None:
    current = getattr(owner, attribute)
    if current.device == (device or current.device) and current.dtype == _dtype(current, dtype) and not current.is_meta:
        checkpoint.read_into(name, current.detach())
        _check_finite(current, current, name, source)
    else:
        filled = _read(current, checkpoint, name, device, dtype)
        _check_finite(filled, current, name, source)
        if isinstance(current, nn.Parameter):
            filled = nn.Parameter(filled, requires_grad=current.requires_grad)
        setattr(owner, attribute, filled)
    if (after_fill := getattr(owner, "after_fill", None)) is not None:
        after_fill(attribute)


def _read(
    current: Tensor, checkpoint: Checkpoint, name: str, device: torch.device | None, dtype: torch.dtype | None
) -> Tensor:
    """A tensor of the file in the place of `current`."""
    target_device = device or (torch.device("cpu") if current.is_meta else current.device)
    filled = torch.empty(current.shape, dtype=_dtype(current, dtype), device=target_device)
    checkpoint.read_into(name, filled)
    return filled


def _check_finite(filled: Tensor, current: Tensor, name: str, source: str) -> None:
    """Refuses parameters with NaN or infinity; buffers may hold them, as masks do."""
    if not isinstance(current, nn.Parameter) or not filled.numel() or filled.itemsize < 2:
        return
    if filled.is_floating_point() and not all(bool(bound.isfinite()) for bound in filled.detach().aminmax()):
        raise WeightsError(
            f"Weights in {source}: '{name}' holds numbers that are not finite as {str(filled.dtype)[6:]}; "
            "fetch the file again, or ask its publisher."
        )


def _dtype(current: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype is not None and current.is_floating_point() else current.dtype


def _reset_missing_buffers(module: nn.Module, device: torch.device | None) -> None:
    for owner in module.modules():
        reset = getattr(owner, "reset_buffers", None)
        if reset is not None and any(buffer.is_meta for buffer in owner.buffers()):
            reset(device or torch.device("cpu"))  # of its parts too, or they do so themselves
    for prefix, owner in module.named_modules():
        if any(buffer is not None and buffer.is_meta for buffer in owner._buffers.values()):
            raise TypeError(
                f"{type(owner).__name__} '{prefix}' has a non-persistent buffer and no reset_buffers(device); "
                "see scenewright.weights.load."
            )
