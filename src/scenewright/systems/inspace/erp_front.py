"""ERP-FRONT-30K, the data InSpace was trained on, as shards for its tasks (`room_sets`).

Rooms lie in `SHARD/UUID/ROOM/`, shards in any folder below the root; which scenes are for testing says
`train_test_scene_mapping.json`. Latents, occupancies, boxes, faces and cameras are taken as they are; image tokens are
made here. Names inside `.npz` files are pickled: only strings and arrays are let through.

| set | from |
|---|---|
| structure | `ss_latents/*/full_room_wo_ceiling.npz`, every view's faces |
| boxes | `voxels_64/full_room_wo_ceiling.ply`, `3d_bounding_box/*_scene_data.npz` |
| detail | `shape_latents` or `pbr_latents`: the room, the layout, assets by instance number, view 0 |

Source: naver/inspace, README, data_toolkit and trellis2/datasets. Not checked against the files themselves: the layout
is the one that the published code reads.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.lib import format as npy_format
from torch import Tensor

from scenewright.data.shards import is_whole
from scenewright.data.tensor_shards import write_tensor_shard
from scenewright.errors import InputError
from scenewright.io.images import load_image
from scenewright.io.ply import read_vertices
from scenewright.progress import Advance, ignore
from scenewright.systems.inspace.partial_geometry import COARSE_RESOLUTION, occupied_cells
from scenewright.systems.inspace.room_frame import FACE_NAMES
from scenewright.systems.inspace.training_samples import (
    PartLatent,
    pair_assets,
    room_sample,
    visible_pairs,
)
from scenewright.weights.record import LatentStatistics

__all__ = ["Encode", "ErpRoom", "SetKind", "find_erp_rooms", "write_erp_shards"]

Encode = Callable[[UInt8[Tensor, "6 S S 3"]], Float[Tensor, "6 T C"]]
SetKind = Literal["structure", "boxes", "shape", "texture"]
SPLIT_FILE = "train_test_scene_mapping.json"
_WHOLE, _LAYOUT = "full_room_wo_ceiling", "layout_wo_ceiling"
_ROOMS_PER_SHARD = 32


@dataclass(frozen=True)
class ErpRoom:
    """The files of one room."""

    folder: Path

    @property
    def name(self) -> str:
        return f"{self.folder.parent.name}-{self.folder.name}"

    def cameras(self) -> list[tuple[int, Float[Tensor, " 3"]]]:
        """Views by their number, and where each was taken in the cube.

        Raises:
            InputError: a file is missing or damaged.
        """
        poses = _json(self.folder / "camera_poses.json")
        frame = _json(self.folder / "mesh_dumps" / "normalization_info.json")
        try:
            center, scale = torch.tensor(frame["center"]), float(frame["scale"])
            return [(int(v["view_idx"]), (torch.tensor(v["location"]) - center) * scale) for v in poses["views"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"The camera or frame of '{self.folder}' lacks or mangles {error}.") from error

    def faces(self, view: int) -> UInt8[Tensor, "6 S S 3"]:
        """Cube faces of a view.

        Raises:
            InputError: one is missing or damaged.
        """
        folder = self.folder / "cubic_fov_120" / f"{view:04d}"
        pictures = [load_image(folder / f"{name}.png").convert("RGB") for name in FACE_NAMES]
        return torch.stack([torch.from_numpy(np.array(picture)) for picture in pictures])

    def boxes(self) -> tuple[Float[Tensor, "N 7"], list[str]]:
        """Boxes in the cube, and the file of each one's mesh.

        Raises:
            InputError: the file is missing or damaged.
        """
        path = _only(self.folder / "3d_bounding_box", "*_scene_data.npz")
        stored = _npz(path, ("obbs", "asset_filenames"))
        names = [str(name) for name in np.ravel(stored["asset_filenames"])]
        return torch.from_numpy(np.asarray(stored["obbs"], dtype=np.float32).reshape(-1, 7)), names

    def occupancy(self) -> Tensor:
        """Occupied coarse cells of the room without its ceiling."""
        path = self.folder / "voxels_64" / f"{_WHOLE}.ply"
        if not path.is_file():
            raise FileNotFoundError(path)
        rows = read_vertices(path)
        points = torch.from_numpy(np.stack([rows[axis] for axis in "xyz"], 1))
        grid = torch.zeros((COARSE_RESOLUTION,) * 3, dtype=torch.bool)
        grid[tuple(occupied_cells(points).long().T)] = True
        return grid

    def latent_folder(self, kind: Literal["ss_latents", "shape_latents", "pbr_latents"]) -> Path:
        """The folder of one encoder's latents, of which there must be one."""
        return _only(self.folder / kind, "*")


def find_erp_rooms(root: Path, split: Literal["train", "test"] = "train") -> list[ErpRoom]:
    """The rooms of a split, sorted.

    Raises:
        InputError: the split file is missing or damaged, or no room of it is there.
    """
    found = sorted(root.rglob(SPLIT_FILE))
    if not found:
        raise InputError(f"There is no '{SPLIT_FILE}' below '{root}', so its test scenes are not known; add it.")
    content = _json(found[0])
    scenes = next((content[name] for name in (split, f"{split}_scenes") if name in content), None)
    if scenes is None:
        raise InputError(f"'{found[0]}' has no scenes for '{split}' (it has {', '.join(sorted(content))}).")
    wanted = {str(scene) for scene in scenes}
    rooms = [ErpRoom(path.parent) for path in sorted(root.rglob("camera_poses.json"))]
    rooms = [room for room in rooms if room.folder.parent.name in wanted]
    if not rooms:
        raise InputError(f"None of the {len(wanted)} scenes for '{split}' is below '{root}'; unpack its shards there.")
    return rooms


def write_erp_shards(
    rooms: list[ErpRoom],
    out: Path,
    kind: SetKind,
    encode: Encode,
    statistics: dict[str, LatentStatistics] | None = None,
    *,
    progress: Advance = ignore,
) -> int:
    """Shards of one kind of set in `out`; whole ones are left alone. Returns the number of rooms that were left out
    because a file of theirs is missing.

    Args:
        encode: image tokens of the faces.
        statistics: of "shape" and "texture" latents, which the detail sets are normalised with.

    Raises:
        InputError: a file is damaged, or statistics are missing.
    """
    if kind in ("shape", "texture") and statistics is None:
        raise InputError("Detail sets need the statistics of their latents.")
    out.mkdir(parents=True, exist_ok=True)
    left_out = 0
    for number, start in enumerate(range(0, len(rooms), _ROOMS_PER_SHARD)):
        if not is_whole(out, number):
            samples = []
            for room in rooms[start : start + _ROOMS_PER_SHARD]:
                try:
                    samples += list(_samples(room, kind, encode, statistics or {}))
                except FileNotFoundError:
                    left_out += 1
            write_tensor_shard(out, number, samples)
        progress(min(start + _ROOMS_PER_SHARD, len(rooms)), len(rooms))
    return left_out


@torch.no_grad()
def _samples(
    room: ErpRoom, kind: SetKind, encode: Encode, statistics: dict[str, LatentStatistics]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if kind == "boxes":
        yield room.name, {"occupancy": room.occupancy(), "boxes": room.boxes()[0]}
    elif kind == "structure":
        latent = torch.from_numpy(_npz(room.latent_folder("ss_latents") / f"{_WHOLE}.npz", ("z",))["z"]).float()
        for view, camera in room.cameras():
            tokens = encode(room.faces(view)).half().cpu()
            yield f"{room.name}-{view:04d}", {"latent": latent, "tokens": tokens, "camera": camera.float()}
    else:
        yield room.name, _detail_sample(room, kind, encode, statistics)


def _detail_sample(
    room: ErpRoom, kind: SetKind, encode: Encode, statistics: dict[str, LatentStatistics]
) -> dict[str, Tensor]:
    shapes = room.latent_folder("shape_latents")
    colors = room.latent_folder("pbr_latents") if kind == "texture" else None
    boxes, names = room.boxes()
    view, camera = room.cameras()[0]
    files = [path.name for path in sorted((shapes / "individual_assets_room_coord").glob("*.npz"))]
    pairs = visible_pairs(pair_assets(names, files), boxes, camera.float())

    def latent(name: str) -> PartLatent | None:
        shape = _part(shapes / name)
        if colors is None or shape is None:
            return shape
        color = _part(colors / name)
        return None if color is None else PartLatent(color.coords, color.feats, shape.feats)

    whole, layout = latent(f"{_WHOLE}.npz"), latent(f"{_LAYOUT}.npz")
    if whole is None:
        raise FileNotFoundError(room.folder)
    assets = [(pair, latent(f"individual_assets_room_coord/{files[pair.latent]}")) for pair in pairs]
    present = [(pair.box, part) for pair, part in assets if part is not None and len(part.coords)]
    sample = room_sample(
        whole,
        layout,
        [part for _, part in present],
        boxes[[box for box, _ in present]],
        statistics[kind],
        statistics["shape"] if kind == "texture" else None,
    )
    lengths = list(sample.parts.lengths)
    tensors = {
        "coords": sample.parts.coords.int(),
        "latent": sample.feats.half(),
        "lengths": torch.tensor(lengths if sample.parts.has_layout else [lengths[0], 0, *lengths[1:]]),
        "boxes": sample.boxes,
        "tokens": encode(room.faces(view)).half().cpu(),
        "camera": camera.float(),
    }
    return tensors if sample.shape is None else tensors | {"shape_latent": sample.shape.half()}


def _part(path: Path) -> PartLatent | None:
    if not path.is_file():
        return None
    stored = _npz(path, ("coords", "feats"))
    return PartLatent(torch.from_numpy(stored["coords"]).int()[:, -3:], torch.from_numpy(stored["feats"]).float())


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern)) if folder.is_dir() else []
    if len(found) != 1:
        raise FileNotFoundError(f"{folder}/{pattern}")
    return found[0]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' is not a readable JSON file ({error}).") from error


class _PlainUnpickler(pickle.Unpickler):
    """Lets arrays of strings and numbers through, and nothing that could run."""

    _ALLOWED = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy", "str_"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy._core.multiarray", "scalar"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _npz(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays of a file by name.

    Raises:
        FileNotFoundError: it is not there.
        InputError: it is damaged, lacks a name, or holds more than arrays of numbers and strings.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for name in names:
                arrays[name] = _array(io.BytesIO(archive.read(f"{name}.npy")))
            return arrays
    except FileNotFoundError:
        raise
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise InputError(f"'{path}' cannot be used: {error}.") from error


def _array(file: io.BytesIO) -> np.ndarray:
    version = npy_format.read_magic(file)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, is_fortran, dtype = read(file)
    if dtype.hasobject:
        return np.asarray(_PlainUnpickler(file).load())
    values = np.frombuffer(file.read(), dtype=dtype, count=int(np.prod(shape, dtype=np.int64)))
    return values.reshape(shape, order="F" if is_fortran else "C").copy()
