"""Training sets over encoded examples (`scripts/mini_training/encoding.py`), read as memory maps.

Legend: B samples, T tokens, C channels, r latent resolution.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.rotation import compose_similarity
from scenewright.io.archives import map_npy, read_npz_arrays
from scenewright.systems.iscene.training import SlotSet
from scenewright.systems.scenegen.training import QuerySet
from scenewright.training.loading import TrainingSet

__all__ = [
    "EncodedObjects",
    "EncodedScenes",
    "EncodedShapes",
    "StoredRows",
    "open_iscene",
    "open_objects",
    "open_scenegen",
    "open_shapes",
    "split_files",
    "split_stems",
]


class StoredRows:
    """The rows of all `.npy` files of a folder as one array."""

    def __init__(self, folder: Path, stems: Sequence[str]) -> None:
        self.parts = [map_npy(folder / f"{stem}.npy") for stem in stems]
        self.starts = np.cumsum([0, *(len(part) for part in self.parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, indices: Sequence[int]) -> np.ndarray:
        files = np.searchsorted(self.starts, indices, side="right") - 1
        return np.stack([self.parts[f][i - self.starts[f]] for f, i in zip(files, indices, strict=True)])


class EncodedObjects(TrainingSet):
    """Single objects for `structure_flow`: `latent` `[B, C, r, r, r]` and `cond` `[B, T, Cc]`, fp16."""

    def __init__(self, folder: Path, stems: Sequence[str]) -> None:
        self._latents, self._tokens = (
            StoredRows(folder / "own_latents", stems),
            StoredRows(folder / "own_tokens", stems),
        )
        if len(self._latents) != len(self._tokens):
            raise InputError(
                f"'{folder}' holds {len(self._latents)} latents but {len(self._tokens)} sets of tokens; "
                "remove own_tokens and own_latents and encode the examples again."
            )

    def __len__(self) -> int:
        return len(self._latents)

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {name: tensor[0] for name, tensor in self.batch([index], [generator]).items()}

    def batch(self, indices: Sequence[int], generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """Rows as stored; nothing is random."""
        return {
            "latent": torch.from_numpy(self._latents.take(indices)),
            "cond": torch.from_numpy(self._tokens.take(indices)),
        }


class EncodedScenes(TrainingSet):
    """Whole scenes, with what the tasks of both systems take.

    `latent`, `own_latent` `[n, C, r, r, r]`, `cond`, `own_cond` `[n, T, Cc]` of every object in the scene's cube and
    crop and in its own, `scene_latent` and `scene_cond` without the first axis, `world_from_object` `[n, 4, 4]` from
    own cubes to the turned world.
    """

    def __init__(self, folder: Path, stems: Sequence[str]) -> None:
        def rows(name: str) -> StoredRows:
            return StoredRows(folder / name, stems)

        self._objects = {
            "latent": rows("placed_latents"),
            "cond": rows("placed_tokens"),
            "own_latent": rows("own_latents"),
            "own_cond": rows("own_tokens"),
        }
        self._scenes = {"scene_latent": rows("scene_latents"), "scene_cond": rows("scene_tokens")}
        counts, placements = [], []
        for stem in stems:
            arrays = read_npz_arrays(folder / "examples" / f"{stem}.npz")
            counts.append(arrays["counts"])
            placements.append(np.column_stack([arrays["centres"], arrays["sides"]]))
        self.counts = np.concatenate(counts)
        self._stops, self._placements = np.cumsum(self.counts), np.concatenate(placements)

    def __len__(self) -> int:
        return len(self.counts)

    def tensors(self, index: int) -> dict[str, Tensor]:
        """Scene `index`."""
        objects = range(int(self._stops[index] - self.counts[index]), int(self._stops[index]))
        found = {name: torch.from_numpy(rows.take(objects)) for name, rows in self._objects.items()}
        found |= {name: torch.from_numpy(rows.take([index])[0]) for name, rows in self._scenes.items()}
        placement = torch.from_numpy(self._placements[objects.start : objects.stop])
        turn = torch.eye(3).expand(len(objects), -1, -1)
        return found | {"world_from_object": compose_similarity(turn, placement[:, :3], placement[:, 3])}

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        return self.tensors(index)


class _SceneGenScenes:
    """Scenes as SceneGen's task takes them: objects in their own cubes, all condition tokens side by side."""

    def __init__(self, scenes: EncodedScenes) -> None:
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def tensors(self, index: int) -> dict[str, Tensor]:
        scene = self.scenes.tensors(index)
        shared = scene["scene_cond"].expand(len(scene["cond"]), -1, -1)
        return {
            "latent": scene["own_latent"],
            "world_from_object": scene["world_from_object"],
            "cond": torch.cat([scene["own_cond"], scene["cond"], shared], 1),
        }


class EncodedShapes(TrainingSet):
    """Occupancies for `structure_vae`: crops of `crop` voxels a side, turned about the vertical and mirrored at random.

    Crops cost less and see as much of the surface: they are taken round occupied voxels, on multiples of 4.
    """

    def __init__(self, files: Sequence[Path], crop: int = 32) -> None:
        packed = []
        for path in files:
            arrays = read_npz_arrays(path)
            packed += [arrays["own_occupancy"], arrays["placed_occupancy"][::2]]
        self._packed, self._crop = np.concatenate(packed), crop
        self._side = round((self._packed.shape[1] * 8) ** (1 / 3))

    def __len__(self) -> int:
        return len(self._packed)

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        side, crop = self._side, self._crop
        grid = np.unpackbits(self._packed[index]).reshape(side, side, side)
        turns, mirror, place, *shift = torch.rand(6, generator=generator).tolist()
        grid = np.rot90(grid, int(4 * turns))
        grid = grid[::-1] if mirror < 0.5 else grid
        if crop < side:
            occupied = np.argwhere(grid)
            middle = occupied[int(place * len(occupied))] if len(occupied) else np.full(3, side // 2)
            low = np.clip(middle - (np.array(shift) * crop).astype(int), 0, side - crop) // 4 * 4
            x, y, z = low.tolist()
            grid = grid[x : x + crop, y : y + crop, z : z + crop]
        return {"occupancy": torch.from_numpy(np.ascontiguousarray(grid))[None]}


def open_objects(folder: Path, num_validation_files: int = 1) -> tuple[EncodedObjects, EncodedObjects | None]:
    """The encoded objects of a folder; the first files are kept for validation.

    Raises:
        InputError: nothing is encoded there.
    """
    stems = sorted({path.stem for path in (folder / "own_tokens").glob("scenes-*.npy")})
    stems = [stem for stem in stems if (folder / "own_latents" / f"{stem}.npy").exists()]
    train, validation = split_stems(stems, folder, num_validation_files)
    return EncodedObjects(folder, train), EncodedObjects(folder, validation) if validation else None


def open_scenegen(folder: Path, num_validation_files: int = 1) -> tuple[QuerySet, QuerySet | None]:
    """The encoded scenes of a folder for SceneGen's task.

    Raises:
        InputError: nothing is encoded there.
    """

    def queries(scenes: EncodedScenes) -> QuerySet:
        return QuerySet(_SceneGenScenes(scenes), num_assets=scenes.counts.tolist())

    train, validation = _open_scenes(folder, num_validation_files)
    return queries(train), None if validation is None else queries(validation)


def open_iscene(
    folder: Path, num_validation_files: int = 1, single_object_share: float = 0.0
) -> tuple[SlotSet, SlotSet | None]:
    """The encoded scenes of a folder for I-Scene's task with three slots.

    Raises:
        InputError: nothing is encoded there.
    """
    train, validation = _open_scenes(folder, num_validation_files)
    return (
        SlotSet(train, with_canonical=True, single_object_share=single_object_share),
        None if validation is None else SlotSet(validation, with_canonical=True),
    )


def _open_scenes(folder: Path, num_validation_files: int) -> tuple[EncodedScenes, EncodedScenes | None]:
    names = [f"{kind}_{what}" for kind in ("own", "placed", "scene") for what in ("tokens", "latents")]
    stems = sorted(path.stem for path in (folder / names[0]).glob("scenes-*.npy"))
    stems = [stem for stem in stems if all((folder / name / f"{stem}.npy").exists() for name in names)]
    train, validation = split_stems(stems, folder, num_validation_files)
    return EncodedScenes(folder, train), EncodedScenes(folder, validation) if validation else None


def open_shapes(
    folder: Path, crop: int = 32, num_validation_files: int = 1
) -> tuple[EncodedShapes, EncodedShapes | None]:
    """The occupancies of a folder's examples; the first files are kept for validation, uncropped.

    Raises:
        InputError: there are no examples.
    """
    stems = sorted(path.stem for path in (folder / "examples").glob("scenes-*.npz"))
    train, validation = split_stems(stems, folder, num_validation_files)

    def files(chosen: Sequence[str]) -> list[Path]:
        return [folder / "examples" / f"{stem}.npz" for stem in chosen]

    return EncodedShapes(files(train), crop), EncodedShapes(files(validation)) if validation else None


def split_stems(stems: Sequence[str], folder: Path, num_validation_files: int) -> tuple[list[str], list[str]]:
    """Files for training and for validation.

    Raises:
        InputError: there are none.
    """
    if not stems:
        raise InputError(f"'{folder}' holds no encoded examples; make and encode them first (docs/mini.md).")
    # The first files, so that a set that grows keeps them.
    held_out = num_validation_files if len(stems) > num_validation_files else 0
    return list(stems[held_out:]), list(stems[:held_out])


def split_files(folder: Path, pattern: str, num_validation_files: int) -> tuple[list[Path], list[Path]]:
    """The files of a folder that match, for training and for validation.

    Raises:
        InputError: there are none.
    """
    parts = split_stems(sorted(path.name for path in folder.glob(pattern)), folder, num_validation_files)
    train, held_out = ([folder / name for name in names] for names in parts)
    return train, held_out
