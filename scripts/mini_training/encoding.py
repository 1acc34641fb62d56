"""Tokens and structure latents of training examples, computed once and kept beside them.

    FOLDER/examples/scenes-*.npz -> FOLDER/{own,placed,scene}_tokens/scenes-*.npy    fp16 [rows, T, C]
                                    FOLDER/{own,placed,scene}_latents/scenes-*.npy   fp16 [rows, C, r, r, r]

Rows are objects, or scenes for "scene". Files that exist are left alone, so encoding goes on where it stopped.

Legend: B pictures, P picture side.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenewright.backbones.structure_vae import StructureEncoder
from scenewright.io.archives import read_npz_arrays
from scenewright.io.atomic import atomic_path, make_folder
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.pictures import relit
from scenewright.systems.mini.sizes import RESOLUTION
from scripts.mini_training.examples import example_files, first_scene

__all__ = ["encode_pictures", "encode_shapes", "fit_conditioner"]

_BATCH = 64
_PICTURES = {"own": "own_pictures", "placed": "placed_pictures", "scene": "scene_picture"}
Progress = Callable[[int, int], None]


def fit_conditioner(conditioner: PictureConditioner, folder: Path, *, num_files: int = 4) -> None:
    """Fits the conditioner's linear map to pictures of the first example files."""
    pictures = []
    for path in example_files(folder)[:num_files]:
        arrays = read_npz_arrays(path)
        pictures += [arrays["own_pictures"][::2], arrays["placed_pictures"][::5], arrays["scene_picture"][::4]]
    conditioner.fit(_batches(np.concatenate(pictures)))


def encode_pictures(
    conditioner: PictureConditioner,
    folder: Path,
    kind: Literal["own", "placed", "scene"] = "own",
    progress: Progress | None = None,
) -> None:
    """Condition tokens of all pictures of a kind; exposure and white balance vary from picture to picture."""

    def encoded(path: Path) -> np.ndarray:
        arrays = read_npz_arrays(path)
        pictures = arrays[_PICTURES[kind]]
        generator = torch.Generator().manual_seed(first_scene(path.stem))
        device = conditioner.mean.device
        tokens = [conditioner(relit(batch, generator).to(device)).half().cpu() for batch in _batches(pictures)]
        return torch.cat(tokens).numpy()

    _encode(folder, f"{kind}_tokens", encoded, progress)


@torch.no_grad()
def encode_shapes(
    encoder: StructureEncoder,
    folder: Path,
    kind: Literal["own", "placed", "scene"] = "own",
    progress: Progress | None = None,
) -> None:
    """Structure latents (means) of all objects, in their own cubes or in the scene's, or of whole scenes."""

    def encoded(path: Path) -> np.ndarray:
        arrays = read_npz_arrays(path)
        packed = arrays["own_occupancy" if kind == "own" else "placed_occupancy"]
        counts = arrays["counts"]
        if kind == "scene":
            packed = np.bitwise_or.reduceat(packed, np.cumsum(counts) - counts, axis=0)
        device = next(encoder.parameters()).device
        latents = []
        for start in range(0, len(packed), _BATCH):
            grids = np.unpackbits(packed[start : start + _BATCH], axis=1).reshape(-1, 1, *(RESOLUTION,) * 3)
            latents.append(encoder(torch.from_numpy(grids).float().to(device))[0].half().cpu())
        return torch.cat(latents).numpy()

    _encode(folder, f"{kind}_latents", encoded, progress)


def _encode(folder: Path, name: str, encoded: Callable[[Path], np.ndarray], progress: Progress | None) -> None:
    make_folder(folder / name)
    files = example_files(folder)
    for done, path in enumerate(files, 1):
        target = folder / name / f"{path.stem}.npy"
        if not target.exists():
            content = encoded(path)
            with atomic_path(target) as temporary, open(temporary, "wb") as file:
                np.save(file, content)
        if progress is not None:
            progress(done, len(files))


def _batches(pictures: UInt8[np.ndarray, "B P P 4"]) -> Iterator[Float[Tensor, "_ 4 P P"]]:
    for start in range(0, len(pictures), _BATCH):
        yield torch.from_numpy(pictures[start : start + _BATCH]).permute(0, 3, 1, 2).float() / 255
