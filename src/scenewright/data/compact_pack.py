"""The compact training pack: all training assets in one small file that travels to the machine that trains.

Per asset: surface occupancy at 32^3 and 64^3 (bit-packed), and a simplified mesh with 16-bit positions, 8-bit
normals, 16-bit texture coordinates, its materials and small textures, from which scenes are composed and rendered.
The file is a plain tar with fixed times: `index.json`, `ATTRIBUTION.csv`, then one `assets/<id>.bin` (deflated npz)
each. Reading checks every asset's hash and admits it to training again. Written by `compact_writing.py`.

Frame: canonical (z up, front -y, metres). Occupancy covers the cube [-0.5, 0.5]^3 that the longest side fills, centred.
Legend: R grid side.
"""

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from scenewright.data.asset import Asset, Credit
from scenewright.data.held_out import TrainingAsset
from scenewright.data.model_pack import ModelRow
from scenewright.errors import InputError
from scenewright.types import Mesh, PBRMaterial

__all__ = ["COMPACT_VERSION", "OCCUPANCY_RESOLUTIONS", "CompactPack", "decode_parts"]

COMPACT_VERSION = 2
OCCUPANCY_RESOLUTIONS = (32, 64)


class CompactPack:
    """Reads a compact pack: assets and their occupancies by id."""

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            InputError: the file is missing, cut off, or not a compact pack.
        """
        self.path = Path(path)
        try:
            self._content = self.path.read_bytes()
            self._places = {}
            with tarfile.open(fileobj=io.BytesIO(self._content)) as archive:
                for info in archive:
                    self._places[info.name] = (info.offset_data, info.size)
            header = json.loads(self._member("index.json"))
            self.index: dict[str, dict[str, Any]] = {row["id"]: row for row in header["assets"]}
        except (OSError, tarfile.TarError, ValueError, KeyError) as error:
            raise InputError(f"'{path}' is not a whole compact pack ({error}); write it again.") from error
        if header.get("version") != COMPACT_VERSION or header.get("split") != "train":
            raise InputError(f"'{path}' is a compact pack of another version or split; write it again.")
        last = max((offset + size for offset, size in self._places.values()), default=0)
        if last > len(self._content) or any(f"assets/{name}.bin" not in self._places for name in self.index):
            raise InputError(f"The compact pack '{path}' is cut off; copy it again.")
        self.ids = tuple(self.index)
        # Members of our own families are drawn anew by the library; as rows only the catalogues' models count.
        self.rows = {key: _row(row) for key, row in self.index.items() if not row["is_parametric"]}

    def _member(self, name: str) -> bytes:
        offset, size = self._places[name]
        content = self._content[offset : offset + size]
        if len(content) != size:
            raise InputError(f"'{self.path}' is cut off within '{name}'; copy it again.")
        return content

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[TrainingAsset]:
        return (self[model_id] for model_id in self.ids)

    def occupancy(self, model_id: str, resolution: int) -> Bool[Tensor, "R R R"]:
        """The surface occupancy of an asset at 32 or 64."""
        arrays = self._arrays(model_id)
        if f"occupancy_{resolution}" not in arrays:
            raise InputError(f"The pack has occupancies at {OCCUPANCY_RESOLUTIONS}, not at {resolution}.")
        bits = np.unpackbits(arrays[f"occupancy_{resolution}"])[: resolution**3]
        return torch.from_numpy(bits.reshape((resolution,) * 3).astype(bool))

    def __getitem__(self, model_id: str) -> TrainingAsset:
        """An asset with its simplified, textured parts.

        Raises:
            HeldOutError: the asset copies a held-out model, so the pack was not written by this library.
            InputError: unknown id, or damaged content.
        """
        row, arrays = self._entry(model_id), self._arrays(model_id)
        flags = frozenset(row["flags"])
        asset = Asset(model_id, row["name"], row["category"], decode_parts(arrays), Credit(**row["credit"]), flags)
        return TrainingAsset.admit(asset, aliases=(row["raw_id"],), origin=row["origin_sha256"])

    def _entry(self, model_id: str) -> dict[str, Any]:
        if model_id not in self.index:
            raise InputError(f"The compact pack '{self.path}' has no asset '{model_id}'.")
        return self.index[model_id]

    def _arrays(self, model_id: str) -> dict[str, np.ndarray]:
        row = self._entry(model_id)
        body = self._member(f"assets/{model_id}.bin")
        if hashlib.sha256(body).hexdigest() != row["sha256"]:
            raise InputError(f"Asset '{model_id}' of '{self.path}' is damaged; copy the pack again.")
        with np.load(io.BytesIO(zlib.decompress(body))) as table:
            return dict(table)


def _row(row: dict[str, Any]) -> ModelRow:
    width, depth, height = row["size_m"]
    return ModelRow(
        id=row["id"],
        raw_id=row["raw_id"],
        name=row["name"],
        category=row["category"],
        split="train",
        size_m=(width, depth, height),
        elevation_m=row["elevation_m"],
        is_door_or_window=row["is_door_or_window"],
        flags=frozenset(row["flags"]),
        credit=Credit(**row["credit"]),
    )


def decode_parts(arrays: dict[str, np.ndarray]) -> tuple[Mesh, ...]:
    """The meshes of an asset from the arrays of its member."""
    parts = []
    for number, factors in enumerate(json.loads(arrays["materials"].tobytes())):
        low, span = arrays[f"{number}_low"], arrays[f"{number}_span"]
        vertices = torch.from_numpy(arrays[f"{number}_v"].astype(np.float32) / 65535 * span + low)
        texture = uv = None
        if f"{number}_t" in arrays:
            texture = torch.from_numpy(np.array(Image.open(io.BytesIO(arrays[f"{number}_t"].tobytes()))))
            scale, start = arrays[f"{number}_uv_span"], arrays[f"{number}_uv_low"]
            stretched = arrays[f"{number}_uv"].astype(np.float32) / 65535 * scale + start
            uv = torch.from_numpy(stretched.astype(np.float32))
        normals = None
        if f"{number}_n" in arrays:
            normals = torch.nn.functional.normalize(torch.from_numpy(arrays[f"{number}_n"].astype(np.float32)), dim=1)
        for key in ("base_color_factor", "emissive_factor"):
            factors[key] = tuple(factors[key])
        parts.append(
            Mesh(
                vertices=vertices,
                faces=torch.from_numpy(arrays[f"{number}_f"].astype(np.int64)),
                vertex_normals=normals,
                uv=uv,
                material=PBRMaterial(**factors, base_color_texture=texture),
            )
        )
    return tuple(parts)
