"""Writes the compact training pack (see `compact_pack.py`): the same library and seed give the same bytes.

Meshes are simplified and quantised, textures shrunk. Only `TrainingAsset`s are written, and each is read back and
admitted again first, so that whatever is in the file can be used.

Frame: canonical (z up, front -y, metres).
"""

import hashlib
import io
import json
import logging
import tarfile
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import fast_simplification
import numpy as np
import torch
from PIL import Image
from scipy.spatial import cKDTree
from torch import Tensor

from scenewright.data.asset import Asset, Credit, canonical_parts
from scenewright.data.compact_pack import COMPACT_VERSION, OCCUPANCY_RESOLUTIONS, decode_parts
from scenewright.data.held_out import HeldOutError, TrainingAsset
from scenewright.data.importing import attribution_csv
from scenewright.data.library import TrainingLibrary
from scenewright.data.model_pack import ModelRow
from scenewright.data.occupancy import surface_occupancy
from scenewright.data.parametric.kit import corner_normals
from scenewright.errors import InputError
from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.io.atomic import atomic_path, check_writable
from scenewright.progress import Advance, ignore
from scenewright.types import Mesh, PBRMaterial

__all__ = ["PackSummary", "write_compact_pack"]

logger = logging.getLogger(__name__)
MAX_FACES = 4000
WHOLE_FACES = 120
TEXTURE_SIDE = 128


@dataclass(frozen=True)
class PackSummary:
    """Content of a pack; `left_out` are models that could not be read or whose small copy resembles a held-out one."""

    assets: int
    bytes: int
    left_out: tuple[str, ...] = ()


def write_compact_pack(
    library: TrainingLibrary,
    path: str | Path,
    *,
    parametric: int = 500,
    seed: int = 0,
    progress: Advance = ignore,
) -> PackSummary:
    """Write every admissible model of a library and `parametric` members of its families.

    Raises:
        InputError: the file cannot be written.
    """
    rng = np.random.default_rng(seed)
    ids = sorted(library.rows)
    bodies: list[tuple[str, bytes]] = []
    index: list[dict[str, Any]] = []
    check_writable(path)
    left_out: list[str] = []

    def add(source: TrainingAsset, row: ModelRow | None, origin: str) -> None:
        body, arrays = _encode(source.asset)
        small = replace(source.asset, parts=decode_parts(arrays))
        TrainingAsset.admit(small, aliases=() if row is None else (row.raw_id,), origin=origin)
        bodies.append((small.id, body))
        index.append(_index_row(source.asset, row, body) | {"origin_sha256": origin})

    for number, model_id in enumerate(ids, 1):
        try:
            add(library[model_id], library.rows[model_id], library.origin(model_id))
        except InputError as error:
            logger.warning("Left out of the compact pack: %s", error)
            left_out.append(model_id)
        progress(number, len(ids) + parametric)
    count = 0
    while count < parametric and library.families:
        family = library.families[count % len(library.families)]
        try:
            add(TrainingAsset.parametric(family, int(rng.integers(2**31))), None, "")
        except HeldOutError:
            continue  # a plain box can resemble a held-out one; the next member replaces it
        count += 1
        progress(len(ids) + count, len(ids) + parametric)
    credits = [(row["id"], row["name"], Credit(**row["credit"])) for row in index]
    header = json.dumps({"version": COMPACT_VERSION, "split": "train", "assets": index}, sort_keys=True).encode()
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
        members = [("index.json", header), ("ATTRIBUTION.csv", attribution_csv(credits).encode())]
        members += [(f"assets/{name}.bin", body) for name, body in bodies]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    return PackSummary(len(bodies), Path(path).stat().st_size, tuple(left_out))


def _index_row(asset: Asset, row: ModelRow | None, body: bytes) -> dict[str, Any]:
    return {
        "id": asset.id,
        "raw_id": asset.id if row is None else row.raw_id,
        "name": asset.name,
        "category": asset.category,
        "size_m": [round(v, 5) for v in asset.size_m],
        "elevation_m": 0.0 if row is None else row.elevation_m,
        "is_door_or_window": False if row is None else row.is_door_or_window,
        "is_parametric": row is None,
        "flags": sorted(asset.flags),
        "sha256": hashlib.sha256(body).hexdigest(),
        "credit": asdict(asset.credit),
    }


def _encode(asset: Asset) -> tuple[bytes, dict[str, np.ndarray]]:
    arrays: dict[str, np.ndarray] = {}
    for resolution in OCCUPANCY_RESOLUTIONS:
        arrays[f"occupancy_{resolution}"] = np.packbits(surface_occupancy(asset, resolution).numpy().reshape(-1))
    materials = []
    share = _large_share(asset)
    parts = tuple(part if len(part.faces) <= WHOLE_FACES else _simplified(part, share) for part in asset.parts)
    # Simplifying can cut off the lowest corner; the copy must stand on the floor and keep its size all the same.
    for number, small in enumerate(canonical_parts(parts, asset.size_m)):
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
    return zlib.compress(buffer.getvalue(), 9), arrays


def _large_share(asset: Asset) -> float:
    """The share of faces that large parts keep; small parts stay whole, since they have none to spare."""
    large = sum(len(part.faces) for part in asset.parts if len(part.faces) > WHOLE_FACES)
    left = max(MAX_FACES - (asset.num_faces - large), MAX_FACES // 4)
    return min(1.0, left / max(large, 1))


def _simplified(part: Mesh, share: float) -> Mesh:
    """The part with about `share` of its faces, its texture coordinates from the nearest original vertex.

    Corners that only differ in their normals are welded first, because the simplifier does not look across open edges
    and would tear flat-shaded meshes apart; normals are then computed anew, with creases.
    """
    target = int(len(part.faces) * share)
    if share >= 1 or target < 4:
        return part
    keys = part.vertices if part.uv is None or not _is_textured(part) else torch.cat([part.vertices, part.uv], 1)
    _, first, welded = np.unique(keys.numpy(), axis=0, return_index=True, return_inverse=True)
    points, faces = part.vertices.numpy()[first], welded.reshape(-1)[part.faces.numpy()].astype(np.int32)
    is_flat = (faces[:, 0] == faces[:, 1]) | (faces[:, 1] == faces[:, 2]) | (faces[:, 2] == faces[:, 0])
    faces = faces[~is_flat]
    if len(faces) > target:
        points, faces = fast_simplification.simplify(points, faces, target_count=target)
    if not len(faces):
        return part
    return _with_creases(part, np.asarray(points, dtype=np.float32), faces.astype(np.int64))


def _is_textured(part: Mesh) -> bool:
    return part.uv is not None and part.material is not None and part.material.base_color_texture is not None


def _with_creases(source: Mesh, points: np.ndarray, faces: np.ndarray) -> Mesh:
    """Points and faces as a mesh whose vertices are split at creases, with the attributes of the source."""
    corners = points[faces].astype(np.float64)
    normals = area_vectors(corners)
    unit = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    smooth = corner_normals(faces, normals, unit).reshape(-1, 3)
    rows = np.column_stack([faces.reshape(-1), np.round(smooth * 64).astype(np.int64)])
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    vertices = points[faces.reshape(-1)[first]]
    uv = None
    if source.uv is not None and _is_textured(source):
        uv = source.uv[torch.from_numpy(cKDTree(source.vertices.numpy()).query(vertices)[1])]
    return Mesh(
        vertices=torch.from_numpy(vertices),
        faces=torch.from_numpy(inverse.reshape(-1, 3).astype(np.int64)),
        vertex_normals=torch.from_numpy(smooth[first].astype(np.float32)),
        uv=uv,
        material=source.material,
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
