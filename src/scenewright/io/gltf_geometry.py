"""The primitives of a glTF mesh as arrays: triangles of any mode, morph targets at their default, skins at rest.

What only decorates the surface (normals, texture coordinates, colours) is left out with a warning where it is damaged;
positions and faces must be whole. Frame: glTF's own, y up.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from scenewright.errors import InputError
from scenewright.files import spend
from scenewright.io.gltf_codecs import unpack_draco
from scenewright.io.gltf_data import GltfData, table, whole

__all__ = ["Primitive", "Skin", "read_primitive"]

logger = logging.getLogger(__name__)

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_MODES = {0: "points", 1: "lines", 2: "lines", 3: "lines"}
_MAX_INFLUENCES = 8


@dataclass(frozen=True)
class Primitive:
    """Arrays of one primitive: positions and normals [V, 3], faces [F, 3], colours RGBA [V, 4], uv [V, 2] by set."""

    positions: np.ndarray
    faces: np.ndarray
    normals: np.ndarray | None = None
    colors: np.ndarray | None = None
    uv: Mapping[int, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Skin:
    """Matrices [J, 4, 4] from the space a skinned mesh was bound in to the world, as its joints stand in the file."""

    world_from_bind: np.ndarray


def read_primitive(
    data: GltfData, primitive: Mapping[str, Any], owner: str, weights: Sequence[float] = (), skin: Skin | None = None
) -> Primitive | None:
    """One primitive, posed; None for points and lines, which are skipped with a warning.

    Args:
        owner: how warnings call the mesh.
        weights: of the morph targets.
        skin: bends positions and normals into the world.

    Raises:
        InputError: positions or faces are missing, damaged or not finite.
        MissingExtraError: the data is packed, and the extra `gltf` is not installed.
    """
    mode = primitive.get("mode", _TRIANGLES)
    if mode not in (_TRIANGLES, _STRIP, _FAN):
        logger.warning("%s has %s, which are skipped.", owner, _MODES.get(mode, f"primitives of mode {mode!r}"))
        return None
    attributes = table(primitive.get("attributes"))
    if "POSITION" not in attributes:
        raise InputError(f"{owner} has a primitive without POSITION")
    packed = table(primitive.get("extensions")).get("KHR_draco_mesh_compression")
    unpacked: dict[str, np.ndarray] = {}
    if packed is not None:
        packed = table(packed)
        ids = {name: whole(value, "a Draco attribute") for name, value in table(packed.get("attributes")).items()}
        faces, unpacked = unpack_draco(data.view(packed.get("bufferView")), ids)

    def values(name: str, width: int) -> np.ndarray:
        if name not in unpacked:
            return data.accessor(attributes[name], width)
        if unpacked[name].shape[1] != width:
            raise InputError(f"{owner} has a packed {name} of {unpacked[name].shape[1]} numbers instead of {width}")
        return data.normalised(attributes[name], unpacked[name])

    positions = values("POSITION", 3).astype(np.float32)
    if not np.isfinite(positions).all():
        raise InputError(f"{owner} has positions that are not finite")
    count = len(positions)
    if packed is None:
        faces = _triangles(data, primitive, mode, count)
    if len(faces) and (faces.max() >= count or faces.min() < 0):
        raise InputError(f"{owner} has triangles that refer to vertices that do not exist")

    def optional(name: str, width: int) -> np.ndarray | None:
        if name not in attributes:
            return None
        found = values(name, width).astype(np.float32)
        if len(found) != count:
            raise InputError(f"{owner} has {len(found)} entries of {name} for {count} vertices")
        if not np.isfinite(found).all():
            logger.warning("%s has a %s that is not finite, which is left out.", owner, name)
            return None
        return found

    sets = [name for name in attributes if name.startswith("TEXCOORD_") and name[9:].isascii() and name[9:].isdigit()]
    result = Primitive(
        positions,
        faces,
        normals=optional("NORMAL", 3),
        colors=_colors(data, attributes, unpacked, optional),
        uv={int(name[9:]): found for name in sets if (found := optional(name, 2)) is not None},
    )
    if any(weights):
        result = _morphed(data, primitive, result, weights, owner)
    if skin is not None and "JOINTS_0" in attributes:
        joints, shares = [], []
        for number in range(_MAX_INFLUENCES // 4):
            if f"JOINTS_{number}" in attributes and f"WEIGHTS_{number}" in attributes:
                joints.append(values(f"JOINTS_{number}", 4).astype(np.int64))
                shares.append(values(f"WEIGHTS_{number}", 4).astype(np.float64))
        result = _skinned(result, skin, np.concatenate(joints, 1), np.concatenate(shares, 1), owner)
    return result


def _triangles(data: GltfData, primitive: Mapping[str, Any], mode: int, count: int) -> np.ndarray:
    """Faces [F, 3] of an unpacked primitive (glTF 2.0, section 3.7.2.1)."""
    if "indices" in primitive:
        corners = data.accessor(primitive["indices"], 1)
        if corners.dtype.kind not in "iu":
            raise InputError("a primitive's indices are not whole numbers")
        corners = corners.astype(np.int64).reshape(-1)
    else:
        spend(16 * count, "a primitive without indices")
        corners = np.arange(count)
    if mode == _TRIANGLES:
        if len(corners) % 3:
            raise InputError(f"a primitive has {len(corners)} corners, which make no whole triangles")
        return corners.reshape(-1, 3)
    spend(24 * len(corners), "a strip of triangles")
    first, second, third = (corners[shift : len(corners) - 2 + shift] for shift in range(3))
    if mode == _FAN:
        return np.stack([second, third, np.broadcast_to(corners[:1], third.shape)], 1)
    is_odd = np.arange(len(first)) % 2 == 1
    faces = np.stack([first, np.where(is_odd, third, second), np.where(is_odd, second, third)], 1)
    # Strips are joined by triangles that repeat a corner.
    return faces[(faces != np.roll(faces, 1, 1)).all(1)]


def _colors(
    data: GltfData, attributes: Mapping[str, Any], unpacked: Mapping[str, np.ndarray], optional: Any
) -> np.ndarray | None:
    if "COLOR_0" not in attributes:
        return None
    width = unpacked["COLOR_0"].shape[1] if "COLOR_0" in unpacked else data.width(attributes["COLOR_0"])
    colors = optional("COLOR_0", 3 if width == 3 else 4)
    if colors is None or width == 4:
        return colors
    return np.concatenate([colors, np.ones((len(colors), 1), np.float32)], 1)


def _morphed(
    data: GltfData, primitive: Mapping[str, Any], base: Primitive, weights: Sequence[float], owner: str
) -> Primitive:
    positions, normals = base.positions, base.normals
    targets = primitive.get("targets")
    for target, weight in zip(targets if isinstance(targets, list) else [], weights, strict=False):
        for name in ("POSITION", "NORMAL"):
            if not weight or name not in table(target):
                continue
            offset = data.accessor(target[name], 3).astype(np.float32)
            if offset.shape != positions.shape or not np.isfinite(offset).all():
                raise InputError(f"{owner} has a morph target that does not fit its vertices")
            if name == "POSITION":
                positions = positions + np.float32(weight) * offset
            elif normals is not None:
                normals = normals + np.float32(weight) * offset
    return replace(base, positions=positions, normals=normals)


def _skinned(base: Primitive, skin: Skin, joints: np.ndarray, shares: np.ndarray, owner: str) -> Primitive:
    """Linear blend skinning (glTF 2.0, section 3.7.3.3)."""
    used = shares > 0
    if len(joints) != len(base.positions) or (used.any() and joints[used].max() >= len(skin.world_from_bind)):
        raise InputError(f"{owner} is bound to joints that do not exist")
    shares = np.where(used, shares, 0.0)
    total = shares.sum(1, keepdims=True)
    shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
    spend(8 * 16 * len(joints), f"{owner} and its skin")
    blend = np.zeros((len(joints), 4, 4))
    for column in range(joints.shape[1]):
        blend += shares[:, column, None, None] * skin.world_from_bind[np.where(used[:, column], joints[:, column], 0)]
    blend[total[:, 0] <= 0] = np.eye(4)
    positions = np.einsum("vij,vj->vi", blend[:, :3, :3], base.positions) + blend[:, :3, 3]
    normals = None if base.normals is None else np.einsum("vij,vj->vi", blend[:, :3, :3], base.normals)
    return replace(
        base,
        positions=positions.astype(np.float32),
        normals=None if normals is None else normals.astype(np.float32),
    )
