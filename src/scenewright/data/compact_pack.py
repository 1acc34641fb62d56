"""The compact training pack: all training assets in one small file that travels to the machine that trains.

Per asset: surface occupancy at 32^3 and 64^3 (bit-packed), and a simplified mesh with 16-bit positions, 8-bit
normals, 16-bit texture coordinates, its materials and small JPEG textures, from which scenes are composed and rendered.
The file is a plain tar with fixed times: `index.json`, `ATTRIBUTION.csv`, then one `assets/<id>.bin` (deflated npz)
each; the same library and seed give the same bytes. Only `TrainingAsset`s are written, and reading admits each again.

Frame: canonical (z up, front -y, metres). Occupancy covers the cube [-0.5, 0.5]^3 that the longest side fills, centred.
Legend: V vertices, F faces, R grid side.
"""

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fast_simplification
import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from scipy.spatial import cKDTree
from torch import Tensor

from scenewright.data.asset import Asset, Credit, merged_geometry
from scenewright.data.held_out import TrainingAsset
from scenewright.data.importing import attribution_csv
from scenewright.data.library import TrainingLibrary
from scenewright.data.parametric.families import FAMILIES
from scenewright.errors import InputError
from scenewright.io.atomic import atomic_path
from scenewright.types import Mesh, PBRMaterial

__all__ = ["CompactPack", "PackSummary", "surface_occupancy", "write_compact_pack"]

MAX_FACES = 3000
TEXTURE_SIDE = 128
RESOLUTIONS = (32, 64)
_VERSION = 1


@dataclass(frozen=True)
class PackSummary:
    """What was written."""

    assets: int
    bytes: int


def surface_occupancy(asset: Asset, resolution: int) -> Bool[Tensor, "R R R"]:
    """Cells of the unit cube that the surface passes through, the longest side filling the cube.

    Triangles are sampled denser than half a cell, so that no cell that is crossed by more than a sliver is missed.
    """
    vertices, faces = merged_geometry(asset.parts)
    corners = vertices.astype(np.float64)[faces]
    used = corners.reshape(-1, 3)
    low, high = used.min(0), used.max(0)
    unit = (corners - (low + high) / 2) / max(float((high - low).max()), 1e-12)
    grid = np.zeros((resolution,) * 3, dtype=bool)
    edges = np.linalg.norm(unit - np.roll(unit, 1, axis=1), axis=2).max(1)
    steps = np.maximum(np.ceil(edges * resolution * 2).astype(int), 1)
    for count in np.unique(steps):
        chosen = unit[steps == count]
        share = np.arange(count + 1) / count
        u, v = np.meshgrid(share, share, indexing="ij")
        inside = u + v <= 1 + 1e-9
        weights = np.stack([1 - u[inside] - v[inside], u[inside], v[inside]], 1)
        for start in range(0, len(chosen), max(1, 2_000_000 // len(weights))):
            block = chosen[start : start + max(1, 2_000_000 // len(weights))]
            points = np.einsum("kc,fcd->fkd", weights, block).reshape(-1, 3)
            cells = np.clip(((points + 0.5) * resolution).astype(int), 0, resolution - 1)
            grid[tuple(cells.T)] = True
    return torch.from_numpy(grid)


def write_compact_pack(
    library: TrainingLibrary,
    path: str | Path,
    *,
    parametric: int = 500,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> PackSummary:
    """Write every admissible model of a library and `parametric` members of its families.

    Raises:
        InputError: the file cannot be written.
    """
    rng = np.random.default_rng(seed)
    total = len(library) + parametric
    count = 0
    index: list[dict[str, Any]] = []
    bodies: list[tuple[str, bytes]] = []

    def add(source: TrainingAsset) -> None:
        asset = source.asset
        body = _encode(asset)
        bodies.append((asset.id, body))
        index.append(
            {
                "id": asset.id,
                "name": asset.name,
                "category": asset.category,
                "size_m": [round(v, 5) for v in asset.size_m],
                "sha256": hashlib.sha256(body).hexdigest(),
                "credit": asdict(asset.credit),
            }
        )

    for source in library.admissible():
        add(source)
        count += 1
        if progress is not None:
            progress(count, total)
    families = [name for name in library.families if name in FAMILIES]
    for number in range(parametric):
        add(TrainingAsset.parametric(families[number % len(families)], int(rng.integers(2**31))))
        count += 1
        if progress is not None:
            progress(count, total)
    credits = [(row["id"], row["name"], Credit(**row["credit"])) for row in index]
    header = json.dumps({"version": _VERSION, "split": "train", "assets": index}, sort_keys=True).encode()
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
        members = [("index.json", header), ("ATTRIBUTION.csv", attribution_csv(credits).encode())]
        members += [(f"assets/{name}.bin", body) for name, body in bodies]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    return PackSummary(len(bodies), Path(path).stat().st_size)


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
        if header.get("version") != _VERSION or header.get("split") != "train":
            raise InputError(f"'{path}' is a compact pack of another version or split; write it again.")
        last = max((offset + size for offset, size in self._places.values()), default=0)
        if last > len(self._content) or any(f"assets/{name}.bin" not in self._places for name in self.index):
            raise InputError(f"The compact pack '{path}' is cut off; copy it again.")
        self.ids = tuple(self.index)

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
            raise InputError(f"The pack has occupancies at {RESOLUTIONS}, not at {resolution}.")
        bits = np.unpackbits(arrays[f"occupancy_{resolution}"])[: resolution**3]
        return torch.from_numpy(bits.reshape((resolution,) * 3).astype(bool))

    def __getitem__(self, model_id: str) -> TrainingAsset:
        """An asset with its simplified, textured parts.

        Raises:
            HeldOutError: the asset copies a held-out model, so the pack was not written by this library.
            InputError: unknown id, or damaged content.
        """
        row, arrays = self._row(model_id), self._arrays(model_id)
        asset = Asset(model_id, row["name"], row["category"], _decode_parts(arrays), Credit(**row["credit"]))
        return TrainingAsset.admit(asset)

    def _row(self, model_id: str) -> dict[str, Any]:
        if model_id not in self.index:
            raise InputError(f"The compact pack '{self.path}' has no asset '{model_id}'.")
        return self.index[model_id]

    def _arrays(self, model_id: str) -> dict[str, np.ndarray]:
        row = self._row(model_id)
        body = self._member(f"assets/{model_id}.bin")
        if hashlib.sha256(body).hexdigest() != row["sha256"]:
            raise InputError(f"Asset '{model_id}' of '{self.path}' is damaged; copy the pack again.")
        with np.load(io.BytesIO(zlib.decompress(body))) as table:
            return dict(table)


def _encode(asset: Asset) -> bytes:
    arrays: dict[str, np.ndarray] = {}
    for resolution in RESOLUTIONS:
        arrays[f"occupancy_{resolution}"] = np.packbits(surface_occupancy(asset, resolution).numpy().reshape(-1))
    materials = []
    share = min(1.0, MAX_FACES / max(asset.num_faces, 1))
    for number, part in enumerate(asset.parts):
        small = _simplified(part, share)
        low, span = small.vertices.amin(0), (small.vertices.amax(0) - small.vertices.amin(0)).clamp_min(1e-9)
        arrays[f"{number}_low"], arrays[f"{number}_span"] = low.numpy(), span.numpy()
        arrays[f"{number}_v"] = ((small.vertices - low) / span * 65535).round().numpy().astype(np.uint16)
        faces = small.faces.numpy()
        arrays[f"{number}_f"] = faces.astype(np.uint16 if len(small.vertices) < 65536 else np.uint32)
        if small.vertex_normals is not None:
            arrays[f"{number}_n"] = (small.vertex_normals * 127).round().numpy().astype(np.int8)
        material = small.material or PBRMaterial()
        if material.base_color_texture is not None and small.uv is not None:
            uv = small.uv.numpy()
            uv_low, uv_span = uv.min(0), np.maximum(np.ptp(uv, axis=0), 1e-9)
            arrays[f"{number}_uv_low"], arrays[f"{number}_uv_span"] = uv_low, uv_span.astype(np.float32)
            arrays[f"{number}_uv"] = np.round((uv - uv_low) / uv_span * 65535).astype(np.uint16)
            arrays[f"{number}_t"] = np.frombuffer(_texture_bytes(material.base_color_texture), np.uint8)
        materials.append(
            {
                "base_color_factor": material.base_color_factor,
                "metallic_factor": material.metallic_factor,
                "roughness_factor": material.roughness_factor,
                "emissive_factor": material.emissive_factor,
                "alpha_mode": material.alpha_mode,
                "alpha_cutoff": material.alpha_cutoff,
                "double_sided": material.double_sided,
                "name": material.name,
            }
        )
    arrays["materials"] = np.frombuffer(json.dumps(materials).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    # numpy stamps no times into plain npz members; deflating the whole keeps the bytes reproducible.
    return zlib.compress(buffer.getvalue(), 9)


def _simplified(part: Mesh, share: float) -> Mesh:
    """The part with about `share` of its faces; attributes come from the nearest original vertex."""
    target = int(len(part.faces) * share)
    if share >= 1 or len(part.faces) < 24 or target < 4:
        return part
    vertices, faces = part.vertices.numpy(), part.faces.numpy().astype(np.int32)
    points, triangles = fast_simplification.simplify(vertices, faces, target_reduction=1 - share)
    if not len(triangles):
        return part
    nearest = torch.from_numpy(cKDTree(vertices).query(points)[1])
    return Mesh(
        vertices=torch.from_numpy(np.ascontiguousarray(points, dtype=np.float32)),
        faces=torch.from_numpy(np.ascontiguousarray(triangles, dtype=np.int64)),
        vertex_normals=None if part.vertex_normals is None else part.vertex_normals[nearest],
        uv=None if part.uv is None else part.uv[nearest],
        material=part.material,
    )


def _texture_bytes(texture: Tensor) -> bytes:
    image = Image.fromarray(texture.numpy())
    image.thumbnail((TEXTURE_SIDE, TEXTURE_SIDE))
    buffer = io.BytesIO()
    if image.mode == "RGBA":
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _decode_parts(arrays: dict[str, np.ndarray]) -> tuple[Mesh, ...]:
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
