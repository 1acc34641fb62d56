"""Chunks of SAGE-10k rooms, as GenRecon's data toolkit leaves them, as shards for the tasks of its flows.

| below the root | holds |
|---|---|
| `crops/ROOM.json` | the room's chunks: `index` and `M_original_to_chunk`, room to the cube [-0.5, 0.5]^3 |
| `renders_room/ROOM/transforms.json` | its pictures, square, transparent where nothing is, with cameras |
| `ss_latents/*_64/ROOM_0000.npz` | `z` [8, 16, 16, 16] of chunk 0 |
| `shape_latents/*_512/ROOM_0000.npz`, `pbr_latents/*_512/...` | `coords` [N, 3], `feats` [N, 32] |

A sample is one chunk with its latent and up to `max_views` encoded pictures that see it, in random order; where fewer
do, the rest is zero. Each picture is cut to the square round what it shows.
Source: GenRecon, `data_toolkit_scenes` and `genrecon/datasets`. Not checked against the files themselves: the layout is
the one that the published code writes and reads.

Legend: N views, T tokens, D channels. Frame: a chunk's cube, z up; cameras OpenCV, with the chunk's scale.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenewright.data.shards import is_whole
from scenewright.data.tensor_shards import write_tensor_shard
from scenewright.errors import InputError
from scenewright.files import Matrix4, inside, read_json, reading
from scenewright.io.archives import read_npz_arrays
from scenewright.io.images import load_unturned_image
from scenewright.io.transforms_json import TransformsFrame, read_transforms_json
from scenewright.progress import Advance, ignore
from scenewright.systems.genrecon.square_views import SquareCrop, crop_intrinsics, square_pixels
from scenewright.systems.genrecon.view_choice import MIN_AREA, chunk_areas
from scenewright.weights.record import LatentStatistics

__all__ = ["Encode", "SageChunk", "SageSet", "find_sage_chunks", "write_sage_shards"]

Encode = Callable[[Float[Tensor, "N 3 S S"]], Float[Tensor, "N T D"]]
SageSet = Literal["structure", "shape", "texture"]
MAX_VIEWS = 16
MIN_TOKENS = 3000
"""Chunks with fewer latent tokens hold next to nothing; published."""
IMAGE_SIZE = 512
_FOLDERS = {"structure": "ss_latents/*_64", "shape": "shape_latents/*_512", "texture": "pbr_latents/*_512"}
_CHUNKS_PER_SHARD = 16


@dataclass(frozen=True)
class _Entry:
    index: int
    M_original_to_chunk: Matrix4


@dataclass(frozen=True)
class _Room:
    chunks: tuple[_Entry, ...]


@dataclass(frozen=True)
class SageChunk:
    """One chunk of a room, and the files about it below `root`."""

    root: Path
    room: str
    index: int
    chunk_from_room: Float[np.ndarray, "4 4"]

    @property
    def name(self) -> str:
        return f"{self.room}_{self.index:04d}"

    def latent(self, kind: SageSet) -> dict[str, np.ndarray] | None:
        """Arrays of one encoder's latent; None where it was not encoded.

        Raises:
            InputError: the file is damaged, or several encoders' latents are there.
        """
        found = sorted(self.root.glob(f"{_FOLDERS[kind]}/{self.name}.npz"))
        if len(found) > 1:
            raise InputError(f"'{found[0]}' and '{found[1]}' are latents of one chunk; keep those of one encoder.")
        return read_npz_arrays(found[0]) if found else None

    def views(self, order: np.random.Generator, max_views: int) -> list[tuple[Image.Image, SquareCrop, Tensor, Tensor]]:
        """Pictures that see the chunk with their cuts, `cam_from_chunk` and intrinsics; the best one, if none does."""
        folder = self.root / "renders_room" / self.room
        room_from_chunk = np.linalg.inv(self.chunk_from_room)
        frames = read_transforms_json(folder / "transforms.json")
        chosen, best, best_area = [], None, -2.0
        for row in order.permutation(len(frames)):
            pose = torch.from_numpy(frames[row].cam_from_world @ room_from_chunk).float()
            # The cut only enlarges what is seen, so what the whole picture does not show needs no look.
            if chunk_areas(pose, torch.from_numpy(frames[row].intrinsics_unit).float()) <= 0 and best is not None:
                continue
            view = _cut(folder, frames[row], pose)
            if view is None:
                continue
            area = float(chunk_areas(pose, view[3]))
            if area > best_area:
                best, best_area = view, area
            if area >= MIN_AREA:
                chosen.append(view)
            if len(chosen) == max_views:
                break
        return chosen or ([] if best is None else [best])


def _cut(
    folder: Path, frame: TransformsFrame, pose: Float[Tensor, "4 4"]
) -> tuple[Image.Image, SquareCrop, Tensor, Tensor] | None:
    """A picture and the square round what it shows; None where it shows nothing."""
    with reading(folder / "transforms.json", "JSON of posed pictures", "render the room again"):
        path = inside(folder, frame.name)
    picture = load_unturned_image(path).convert("RGBA")
    box = picture.getchannel("A").getbbox()
    if box is None:
        return None
    # The published cut is measured between the middles of the border pixels.
    left, top, right, bottom = box[0], box[1], box[2] - 1, box[3] - 1
    size = max(right - left, bottom - top, 1)
    crop = SquareCrop(int((left + right - size) / 2), int((top + bottom - size) / 2), size)
    unit = torch.from_numpy(frame.intrinsics_unit).float()
    return picture, crop, pose, crop_intrinsics(unit, *picture.size, crop)


def find_sage_chunks(root: str | Path) -> list[SageChunk]:
    """All chunks whose room has pictures, sorted.

    Raises:
        InputError: there is none, or a room's file is damaged.
    """
    root, chunks = Path(root), []
    for path in sorted((root / "crops").glob("*.json")):
        if (root / "renders_room" / path.stem / "transforms.json").is_file():
            with reading(path, "a room's chunks", "make its chunks again"):
                chunks += [
                    SageChunk(root, path.stem, entry.index, np.array(entry.M_original_to_chunk))
                    for entry in read_json(path, _Room).chunks
                ]
    if not chunks:
        raise InputError(f"'{root}' holds no room with crops/ROOM.json and renders_room/ROOM/transforms.json.")
    return chunks


@torch.no_grad()
def write_sage_shards(
    chunks: Sequence[SageChunk],
    out: Path,
    kind: SageSet,
    encode: Encode,
    statistics: dict[str, LatentStatistics] | None = None,
    *,
    image_size: int = IMAGE_SIZE,
    max_views: int = MAX_VIEWS,
    min_tokens: int = MIN_TOKENS,
    seed: int = 0,
    progress: Advance = ignore,
) -> int:
    """Shards of one task's set in `out`; whole ones are left alone.

    Args:
        encode: tokens of pictures, RGB in [0, 1], black where nothing is.
        statistics: of "shape" and "texture" latents, which their sets are normalised with.

    Returns:
        How many chunks were left out: not encoded, with fewer than `min_tokens` tokens, or seen by no picture.

    Raises:
        InputError: a file is damaged, or statistics are missing.
    """
    if kind != "structure" and statistics is None:
        raise InputError("Sets of shapes and textures need the statistics of their latents.")
    out.mkdir(parents=True, exist_ok=True)
    left_out = 0
    for number, start in enumerate(range(0, len(chunks), _CHUNKS_PER_SHARD)):
        part = chunks[start : start + _CHUNKS_PER_SHARD]
        if not is_whole(out, number):
            samples: list[tuple[str, dict[str, Tensor]]] = []
            for chunk in part:
                latent = _latent_tensors(chunk, kind, statistics or {}, min_tokens)
                views = chunk.views(np.random.default_rng([seed, start + len(samples)]), max_views) if latent else []
                if latent is None or not views:
                    left_out += 1
                    continue
                samples.append((chunk.name, latent | _view_tensors(views, encode, image_size, max_views)))
            if samples:
                write_tensor_shard(out, number, samples)
        progress(start + len(part), len(chunks))
    return left_out


def _latent_tensors(
    chunk: SageChunk, kind: SageSet, statistics: dict[str, LatentStatistics], min_tokens: int
) -> dict[str, Tensor] | None:
    stored = chunk.latent(kind)
    if stored is None:
        return None
    if kind == "structure":
        return {"latent": torch.from_numpy(stored["z"]).float()}
    if len(stored["coords"]) < min_tokens:
        return None
    tensors = {
        "coords": torch.from_numpy(stored["coords"].astype(np.int32)),
        "latent": _normalized(stored["feats"], statistics[kind]),
    }
    if kind == "texture":
        shape = chunk.latent("shape")
        if shape is None:
            return None
        if not np.array_equal(shape["coords"], stored["coords"]):
            raise InputError(f"Shape and texture latents of chunk '{chunk.name}' have other voxels; encode them again.")
        tensors["shape_latent"] = _normalized(shape["feats"], statistics["shape"])
    return tensors


def _normalized(feats: Float[np.ndarray, "N C"], statistics: LatentStatistics) -> Float[Tensor, "N C"]:
    mean, std = torch.tensor(statistics.mean), torch.tensor(statistics.std)
    return ((torch.from_numpy(feats).float() - mean) / std).half()


def _view_tensors(
    views: Sequence[tuple[Image.Image, SquareCrop, Tensor, Tensor]], encode: Encode, image_size: int, max_views: int
) -> dict[str, Tensor]:
    pixels = torch.stack([square_pixels(picture, crop, image_size) for picture, crop, _, _ in views])
    tensors = {
        "tokens": encode(pixels).half().cpu(),
        "cam_from_chunk": torch.stack([pose for _, _, pose, _ in views]),
        "intrinsics_unit": torch.stack([unit for _, _, _, unit in views]),
    }
    missing = max_views - len(views)
    return {name: torch.cat([values, values.new_zeros(missing, *values.shape[1:])]) for name, values in tensors.items()}
