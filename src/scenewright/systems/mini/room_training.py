"""Training mini's room network: windows of made rooms, mirrored and turned by quarters at random.

Loss: mean absolute error of the distance, more near the surface.

Legend: B windows, X/Y/Z cells, C channels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scenewright.io.archives import read_npz_arrays
from scenewright.systems.mini.room_network import FAR_CELLS, RoomNetwork, RoomNetworkConfig
from scenewright.systems.mini.training_sets import split_files
from scenewright.systems.single_object.structure_training import silhouettes
from scenewright.training.loading import TrainingSet
from scenewright.training.task import Task

__all__ = ["RoomTask", "RoomWindows", "open_rooms"]

_SURFACE_WEIGHT = 4.0
_WINDOWS_PER_ROOM = 8
_SCALE = 127.0
# Channels of the fine evidence that hold the x and y part of a vector.
_VECTOR_X, _VECTOR_Y = 2, 3


class RoomTask(Task[Mapping[str, Tensor]]):
    """Signed distances of windows; batches as `RoomWindows` gives them."""

    def __init__(self, config: RoomNetworkConfig) -> None:
        self.network = RoomNetwork(config)

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        target = batch["distance"].float()
        found = self.network(batch["fine"].float(), batch["coarse"].float()).float()
        weight = 1 + _SURFACE_WEIGHT * (-(FAR_CELLS * target).abs()).exp()
        error = (found - target).abs()
        solid, true = found.detach() < 0, target < 0
        near = target.abs() < 1 / FAR_CELLS
        return {
            "loss": (weight * error).sum() / weight.sum(),
            "cells_near": FAR_CELLS * (error.detach() * near).sum() / near.sum().clamp(min=1),
            "iou": (solid & true).sum() / (solid | true).sum().clamp(min=1),
        }

    def sheet(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Truth and what the network says, each seen along the three axes."""
        found = self.network(batch["fine"].float(), batch["coarse"].float())
        return silhouettes([batch["distance"].abs() < 0.2, found.abs() < 0.2])


class RoomWindows(TrainingSet):
    """Windows of `side` cells a side and `height` cells high (multiples of 8).

    Args:
        is_fixed: the middle of each room, unturned (for validation).
    """

    def __init__(self, files: Sequence[Path], side: int = 48, height: int = 64, *, is_fixed: bool = False) -> None:
        self._files, self._side, self._height, self._is_fixed = tuple(files), side, height, is_fixed

    def __len__(self) -> int:
        return len(self._files) * (1 if self._is_fixed else _WINDOWS_PER_ROOM)

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        arrays = read_npz_arrays(self._files[index % len(self._files)])
        fine, coarse, distance = arrays["fine"], arrays["coarse"], arrays["distance"]
        draw = [0.5, 0.5, 0.5, 0.0, 0.0, 0.0] if self._is_fixed else torch.rand(6, generator=generator).tolist()
        wanted = (self._side, self._side, self._height)
        low = [
            int(share * ((have - want) // 2 + 1))
            for share, have, want in zip(draw[:3], distance.shape, wanted, strict=True)
        ]
        half = tuple(slice(start, start + want // 2) for start, want in zip(low, wanted, strict=True))
        full = tuple(slice(2 * part.start, 2 * part.stop) for part in half)
        window = {
            "fine": torch.from_numpy(fine[(slice(None), *full)].astype(np.float32) / _SCALE),
            "coarse": torch.from_numpy(coarse[(slice(None), *half)].astype(np.float32) / _SCALE),
            "distance": torch.from_numpy(distance[full].astype(np.float32) / _SCALE),
        }
        return _turned(window, *(value >= 0.5 for value in draw[3:]))


def _turned(window: dict[str, Tensor], swaps: bool, flips_x: bool, flips_y: bool) -> dict[str, Tensor]:
    """The window with x and y exchanged, then mirrored."""
    fine = window["fine"].clone()
    if swaps:
        window = {name: values.transpose(-3, -2) for name, values in window.items()}
        fine = fine.transpose(-3, -2).clone()
        fine[[_VECTOR_X, _VECTOR_Y]] = fine[[_VECTOR_Y, _VECTOR_X]]
    window = {**window, "fine": fine}
    for is_flipped, axis, vector in ((flips_x, -3, _VECTOR_X), (flips_y, -2, _VECTOR_Y)):
        if is_flipped:
            window = {name: values.flip(axis) for name, values in window.items()}
            window["fine"][vector] *= -1
    return {name: values.contiguous() for name, values in window.items()}


def open_rooms(
    folder: Path, side: int = 48, height: int = 64, num_validation_files: int = 8
) -> tuple[RoomWindows, RoomWindows | None]:
    """The rooms of a folder; the first files are kept for validation.

    Raises:
        InputError: there are none.
    """
    train, held_out = split_files(folder, "room-*.npz", num_validation_files)
    validation = RoomWindows(held_out, side, height, is_fixed=True) if held_out else None
    return RoomWindows(train, side, height), validation
