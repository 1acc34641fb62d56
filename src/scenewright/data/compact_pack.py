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
import tarfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from scenewright.data.asset import Asset, Credit
from scenewright.data.held_out import TrainingAsset
from scenewright.data.model_pack import ModelRow
from scenewright.errors import InputError
from scenewright.files import Number, Row3, Row4, json_value, read_file, reading, spend
from scenewright.io.archives import inflate, npz_arrays
from scenewright.io.images import decode_image, pixels_of
from scenewright.types import Mesh, PBRMaterial

__all__ = ["COMPACT_VERSION", "OCCUPANCY_RESOLUTIONS", "CompactPack", "decode_parts"]

COMPACT_VERSION = 2
OCCUPANCY_RESOLUTIONS = (32, 64)
_KIND = ("a compact pack", "write it again")
# tarfile's note of a member.
_BYTES_PER_MEMBER = 2048


@dataclass(frozen=True)
class _Row:
    id: str
    raw_id: str
    name: str
    category: str
    size_m: Row3
    elevation_m: Number
    is_door_or_window: bool
    is_parametric: bool
    flags: tuple[str, ...]
    credit: Credit
    sha256: str
    origin_sha256: str


@dataclass(frozen=True)
class _Index:
    version: int
    split: str
    assets: tuple[_Row, ...]


@dataclass(frozen=True)
class _Factors:
    base_color_factor: Row4
    metallic_factor: Number
    roughness_factor: Number
    emissive_factor: Row3
    alpha_mode: Literal["OPAQUE", "MASK", "BLEND"]
    alpha_cutoff: Number
    double_sided: bool
    name: str


@dataclass(frozen=True)
class _Materials:
    materials: tuple[_Factors, ...]


class CompactPack:
    """Reads a compact pack: assets and their occupancies by id."""

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            InputError: the file is missing, cut off, or not a compact pack.
        """
        self.path = Path(path)
        with reading(self.path, *_KIND):
            self._content = read_file(self.path)
            self._places = {}
            with tarfile.open(fileobj=io.BytesIO(self._content)) as archive:
                for info in archive:
                    spend(_BYTES_PER_MEMBER, "its table of contents")
                    self._places[info.name] = (info.offset_data, info.size)
            header = json_value(self._member("index.json"), _Index)
            self.index = {row.id: row for row in header.assets}
        if header.version != COMPACT_VERSION or header.split != "train":
            raise InputError(f"'{path}' is a compact pack of another version or split; write it again.")
        last = max((offset + size for offset, size in self._places.values()), default=0)
        if last > len(self._content) or any(f"assets/{name}.bin" not in self._places for name in self.index):
            raise InputError(f"The compact pack '{path}' is cut off; copy it again.")
        self.ids = tuple(self.index)
        # Members of our own families are drawn anew by the library; as rows only the catalogues' models count.
        self.rows = {key: _model_row(row) for key, row in self.index.items() if not row.is_parametric}

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
        with self._reading_asset(model_id):
            arrays = self._arrays(model_id)
            if f"occupancy_{resolution}" not in arrays:
                raise InputError(f"The pack has occupancies at {OCCUPANCY_RESOLUTIONS}, not at {resolution}.")
            bits = np.unpackbits(arrays[f"occupancy_{resolution}"], count=resolution**3)
            return torch.from_numpy(bits.reshape((resolution,) * 3).astype(bool))

    def __getitem__(self, model_id: str) -> TrainingAsset:
        """An asset with its simplified, textured parts.

        Raises:
            HeldOutError: the asset copies a held-out model, so the pack was not written by this library.
            InputError: unknown id, or damaged content.
        """
        if model_id not in self.index:
            raise InputError(f"The compact pack '{self.path}' has no asset '{model_id}'.")
        row = self.index[model_id]
        with self._reading_asset(model_id):
            parts = decode_parts(self._arrays(model_id))
            asset = Asset(model_id, row.name, row.category, parts, row.credit, frozenset(row.flags))
            return TrainingAsset.admit(asset, aliases=(row.raw_id,), origin=row.origin_sha256)

    def _reading_asset(self, model_id: str) -> AbstractContextManager[None]:
        """The border of one asset: it may take what the whole pack may."""
        return reading(f"'{self.path}', asset '{model_id}',", *_KIND, size=len(self._content))

    def _arrays(self, model_id: str) -> dict[str, np.ndarray]:
        body = self._member(f"assets/{model_id}.bin")
        if hashlib.sha256(body).hexdigest() != self.index[model_id].sha256:
            raise InputError(f"Asset '{model_id}' of '{self.path}' is damaged; copy the pack again.")
        return npz_arrays(inflate(body))


def _model_row(row: _Row) -> ModelRow:
    return ModelRow(
        id=row.id,
        raw_id=row.raw_id,
        name=row.name,
        category=row.category,
        split="train",
        size_m=row.size_m,
        elevation_m=row.elevation_m,
        is_door_or_window=row.is_door_or_window,
        flags=frozenset(row.flags),
        credit=row.credit,
    )


def decode_parts(arrays: dict[str, np.ndarray]) -> tuple[Mesh, ...]:
    """The meshes of an asset from the arrays of its member.

    Raises:
        Exception: an array is missing or does not fit; the kinds are many, so call this inside `files.reading`.
    """
    parts = []
    materials = json_value(b'{"materials": ' + arrays["materials"].tobytes() + b"}", _Materials).materials
    for number, factors in enumerate(materials):
        low, span = arrays[f"{number}_low"], arrays[f"{number}_span"]
        vertices = torch.from_numpy(arrays[f"{number}_v"].astype(np.float32) / 65535 * span + low)
        texture = uv = None
        if f"{number}_t" in arrays:
            picture = decode_image(arrays[f"{number}_t"].tobytes(), name=f"of material {number}")
            texture = pixels_of(picture, picture.mode)
            scale, start = arrays[f"{number}_uv_span"], arrays[f"{number}_uv_low"]
            stretched = arrays[f"{number}_uv"].astype(np.float32) / 65535 * scale + start
            uv = torch.from_numpy(stretched.astype(np.float32))
        normals = None
        if f"{number}_n" in arrays:
            normals = torch.nn.functional.normalize(torch.from_numpy(arrays[f"{number}_n"].astype(np.float32)), dim=1)
        faces = torch.from_numpy(arrays[f"{number}_f"].astype(np.int64))
        lengths = [len(values) for values in (normals, uv) if values is not None]
        shapes = [vertices.shape[1:], faces.shape[1:], *([] if uv is None else [(*uv.shape[1:], 1)])]
        if any(tuple(shape) not in ((3,), (2, 1)) for shape in shapes) or set(lengths) - {len(vertices)}:
            raise ValueError(f"the arrays of material {number} do not fit each other")
        if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < len(vertices):
            raise ValueError(f"faces of material {number} refer to vertices that do not exist")
        parts.append(
            Mesh(
                vertices=vertices,
                faces=faces,
                vertex_normals=normals,
                uv=uv,
                material=PBRMaterial(**vars(factors), base_color_texture=texture),
            )
        )
    return tuple(parts)
