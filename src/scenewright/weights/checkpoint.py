"""Weight files opened lazily: names and shapes first, then one tensor at a time into memory the caller owns.

Safetensors headers are checked by the safetensors library; the bytes are then read with plain file reads instead of
through a memory map, because pages of a map that was touched count as resident memory (a load would peak at twice the
file) and because a file that shrinks under a map kills the process. Pickle files (`.pt`, `.pth`, `.bin`) are read
with `weights_only=True` only: they may hold tensors and nothing else. Which of both a file is, its content says.
"""

import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors import safe_open
from torch import Tensor

from scenewright.errors import InputError, WeightsError
from scenewright.files import refuse_stand_in

__all__ = ["Checkpoint", "PartOfCheckpoint", "TensorCheckpoint", "open_checkpoint", "read_metadata"]

_STAGING_BYTES = 4 << 20
_START_BYTES = 1024
# Archives of torch, and the pickles that it wrote before.
_PICKLE_STARTS = (b"PK\3\4", b"\x80")
_PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "BOOL": torch.bool,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}


@runtime_checkable
class Checkpoint(Protocol):
    """Names and shapes of a weight file; `read_into` fills a tensor the caller owns, converting its dtype."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    @property
    def dtypes(self) -> Mapping[str, torch.dtype]: ...

    def read_into(self, name: str, target: Tensor) -> None: ...


class TensorCheckpoint:
    """Tensors already in memory, seen as a checkpoint."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self.shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        self.dtypes = {name: tensor.dtype for name, tensor in tensors.items()}

    def read_into(self, name: str, target: Tensor) -> None:
        target.copy_(self._tensors[name])


class PartOfCheckpoint:
    """The tensors of a checkpoint whose names start with `prefix`, without it.

    Raises:
        WeightsError: there is none.
    """

    def __init__(self, checkpoint: Checkpoint, prefix: str) -> None:
        self._checkpoint, self._prefix = checkpoint, prefix
        names = [name for name in checkpoint.shapes if name.startswith(prefix)]
        if not names:
            raise WeightsError(f"The weights hold no tensor whose name starts with '{prefix}'; is it the right file?")
        self.shapes = {name.removeprefix(prefix): checkpoint.shapes[name] for name in names}
        self.dtypes = {name.removeprefix(prefix): checkpoint.dtypes[name] for name in names}

    def read_into(self, name: str, target: Tensor) -> None:
        self._checkpoint.read_into(self._prefix + name, target)


class _SafetensorsCheckpoint:
    def __init__(self, path: Path, file: FileIO) -> None:
        self._path, self._file = path, file
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, torch.dtype] = {}
        self._offsets: dict[str, int] = {}
        self._staging: Tensor | None = None
        # The format has no holes: tensors in the order of their offsets are contiguous, which safe_open verifies.
        with safe_open(path, framework="pt") as header:
            offset = 8 + struct.unpack("<Q", file.read(8))[0]
            for name in header.offset_keys():
                view = header.get_slice(name)
                if view.get_dtype() not in _DTYPES:
                    raise WeightsError(f"'{path}' stores '{name}' as {view.get_dtype()}, which is not supported.")
                self.shapes[name] = tuple(view.get_shape())
                self.dtypes[name] = _DTYPES[view.get_dtype()]
                self._offsets[name] = offset
                offset += self._num_bytes(name)

    def _num_bytes(self, name: str) -> int:
        return self.dtypes[name].itemsize * torch.Size(self.shapes[name]).numel()

    def read_into(self, name: str, target: Tensor) -> None:
        dtype, shape = self.dtypes[name], self.shapes[name]
        self._file.seek(self._offsets[name])
        if target.device.type == "cpu" and target.dtype == dtype and target.is_contiguous():
            self._read(name, target.detach().reshape(-1))
        elif target.is_contiguous():
            # Converted piece by piece in one buffer: copies as large as the tensors would fragment the heap.
            if self._staging is None:
                self._staging = torch.empty(_STAGING_BYTES, dtype=torch.uint8)
            staging = self._staging.view(dtype)
            for piece in target.detach().reshape(-1).split(len(staging)):
                self._read(name, staging[: len(piece)])
                piece.copy_(staging[: len(piece)])
        else:
            whole = torch.empty(shape, dtype=dtype)
            self._read(name, whole.reshape(-1))
            target.copy_(whole)

    def _read(self, name: str, flat: Tensor) -> None:
        """Fills a one-dimensional tensor from where the file stands."""
        if not flat.numel():
            return
        buffer = flat.view(torch.uint8).numpy().data
        done = 0
        while done < len(buffer):  # one read call returns at most 2 GiB
            count = self._file.readinto(buffer[done:])
            if not count:
                raise WeightsError(f"'{self._path}' ended inside '{name}'; it changed while it was read.")
            done += count


@contextmanager
def open_checkpoint(path: str | Path) -> Iterator[Checkpoint]:
    """The weight file at `path`, opened for reading one tensor at a time.

    Raises:
        WeightsError: the file is missing, truncated, damaged, holds code, or is of an unknown kind.
    """
    path = Path(path)
    if path.is_dir():
        raise WeightsError(f"Weights '{path}' are a folder; give a .safetensors file, such as one in it.")
    if not path.is_file():
        raise WeightsError(f"Weights '{path}' were not found; give a .safetensors file or fetch them first.")
    suffix = path.suffix.lower()
    if suffix not in (".safetensors", *_PICKLE_SUFFIXES):
        raise WeightsError(f"Expected weights as .safetensors or .pt, got '{path.name}'.")
    with path.open("rb", buffering=0) as file:
        start = file.read(_START_BYTES)
        file.seek(0)
        try:
            refuse_stand_in(start, path)
        except InputError as error:
            raise WeightsError(str(error)) from error
        if not _is_safetensors(start, suffix):
            if not start.startswith(_PICKLE_STARTS):
                raise WeightsError(f"'{path}' holds no weights, or is damaged; delete the file and fetch it again.")
            if suffix == ".safetensors":  # torch itself goes by the name
                raise WeightsError(f"'{path}' is a file of torch.save; rename it to end in .pt.")
            yield TensorCheckpoint(_read_pickle(path))
            return
        try:
            checkpoint = _SafetensorsCheckpoint(path, file)
        except WeightsError:
            raise
        except Exception as error:
            message = f"Weights '{path}' are truncated or damaged ({error}); delete the file and fetch it again."
            raise WeightsError(message) from error
        yield checkpoint


def _is_safetensors(start: bytes, suffix: str) -> bool:
    """Whether a file holds safetensors: the length of a JSON object comes first; names are not always right."""
    return start[8:9] == b"{" or (suffix == ".safetensors" and not start.startswith(_PICKLE_STARTS))


def read_metadata(path: str | Path) -> dict[str, str]:
    """The string metadata of a safetensors file.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    with open_checkpoint(path) as checkpoint:
        if not isinstance(checkpoint, _SafetensorsCheckpoint):
            return {}
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """The flat state dict of a pickle file, memory-mapped where its format allows; nothing in it is executed."""
    try:
        _refuse_unusual_packing(path)
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            content = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"'{path}' holds more than tensors (it could run code), so it was not opened; "
            "ask its publisher for a .safetensors file."
        ) from error
    except Exception as error:  # torch raises many kinds for damaged archives
        # What torch says further is how to load files that could run code.
        first_line = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0].rstrip(".")
        message = f"Weights '{path}' are truncated or damaged ({first_line}); delete the file and fetch it again."
        raise WeightsError(message) from error
    if not _is_state(content):
        kind = f"a dict with keys {list(content)[:5]}" if isinstance(content, dict) else type(content).__name__
        inner = [key for key, value in content.items() if _is_state(value)] if isinstance(content, dict) else []
        own = " or ".join(f"its {key!r}" for key in inner[:5]) or "a network's state dict"
        raise WeightsError(f"Expected a flat dict of tensors in '{path}', got {kind}; save {own} alone.")
    for name, tensor in content.items():
        if tensor.is_meta or tensor.is_quantized or tensor.dtype not in _DTYPES.values():
            how = "without its numbers" if tensor.is_meta else f"as {tensor.dtype}"
            raise WeightsError(f"'{path}' stores '{name}' {how}, which is not supported; save it as numbers.")
        # A view that repeats few bytes would become as large as it claims to be.
        if tensor.layout != torch.strided or tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
            raise WeightsError(f"'{path}' stores '{name}' as less than its {tensor.numel():,} numbers; save it whole.")
    return {str(name): tensor for name, tensor in content.items()}


def _is_state(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, Tensor) for entry in value.values())


def _refuse_unusual_packing(path: Path) -> None:
    """Torch maps records as if they were stored; a packed one would be read as wrong numbers.

    Raises:
        WeightsError: the file is a zip with packed records.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise WeightsError(f"'{path}' holds compressed records, which torch does not write; save it again.")
