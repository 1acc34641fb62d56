"""The values that travel between stages: frozen dataclasses whose fields say shape, unit and frame.

Frames and units follow docs/conventions.md: right-handed, z up, metres where scale is known, objects in
their own canonical frame inside [-0.5, 0.5]^3 (generated) or in metres (measured), cameras OpenCV.
Matrices name both frames so that neighbours cancel: `cam_from_world @ world_from_object`.

Legend: V vertices, F faces, N rows (voxels or Gaussians), K spherical-harmonic coefficients.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

__all__ = [
    "Camera",
    "DualGrid",
    "Gaussians",
    "Mesh",
    "PBRMaterial",
    "Scene",
    "SceneObject",
    "SparseVoxels",
]


@dataclass(frozen=True)
class PBRMaterial:
    """A metallic-roughness material, as glTF 2.0 defines it.

    Factors are linear; `base_color_texture` is sRGB encoded (RGB or RGBA), the other textures are linear data.
    `metallic_roughness_texture` keeps roughness in channel 1 and metallic in channel 2 (channel 0 unused).
    `normal_texture` is tangent space, +Y up. A texture multiplies its factor.
    """

    base_color_factor: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    metallic_factor: float = 0.0
    roughness_factor: float = 1.0
    emissive_factor: tuple[float, float, float] = (0.0, 0.0, 0.0)
    base_color_texture: UInt8[Tensor, "height width channels"] | None = None
    metallic_roughness_texture: UInt8[Tensor, "height2 width2 3"] | None = None
    normal_texture: UInt8[Tensor, "height3 width3 3"] | None = None
    alpha_mode: Literal["OPAQUE", "MASK", "BLEND"] = "OPAQUE"
    alpha_cutoff: float = 0.5
    double_sided: bool = False
    name: str = ""


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh with at most one material.

    Faces wind counter-clockwise seen from outside. `uv` has its origin at the texture's top left, v pointing down
    (glTF). `vertex_colors` are linear RGBA in [0, 1] and multiply the material's base colour.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    vertex_normals: Float[Tensor, "V 3"] | None = None
    vertex_colors: Float[Tensor, "V 4"] | None = None
    uv: Float[Tensor, "V 2"] | None = None
    material: PBRMaterial | None = None


@dataclass(frozen=True)
class Gaussians:
    """3D Gaussians with activated parameters: metric scales, opacities in [0, 1], unit quaternions.

    `sh` holds spherical-harmonic colour coefficients, degree 0 first; RGB of degree 0 is 0.5 + 0.28209479 * sh[:, 0].
    """

    means: Float[Tensor, "N 3"]
    scales: Float[Tensor, "N 3"]
    quaternions_wxyz: Float[Tensor, "N 4"]
    opacities: Float[Tensor, " N"]
    sh: Float[Tensor, "N K 3"]


@dataclass(frozen=True)
class SparseVoxels:
    """Occupied voxels of one object on a `resolution`^3 grid over [-0.5, 0.5]^3, with named attributes per voxel.

    Voxel index i spans [i, i + 1) / resolution - 0.5 on each axis.
    """

    coords: Int[Tensor, "N 3"]
    resolution: int
    attributes: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class DualGrid:
    """A flexible dual grid (the geometry half of O-Voxel): one vertex per voxel, one flag per grid edge.

    `dual_vertices` are offsets from the voxel's low corner in voxels, in [0, 1] (decoded ones may leave it).
    `intersected[:, a]` says that the surface crosses the edge along axis a at the voxel's maximum corner in the two
    other axes. `split_weight` chooses the diagonal of each quad (None: always the first, as published).
    """

    coords: Int[Tensor, "N 3"]
    dual_vertices: Float[Tensor, "N 3"]
    intersected: Bool[Tensor, "N 3"]
    resolution: int
    split_weight: Float[Tensor, " N"] | None = None


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in the OpenCV frame: x right, y down, z forward; no distortion.

    Pixel (0, 0) is the outer corner of the top-left pixel, its centre is (0.5, 0.5).
    """

    intrinsics_px: Float[Tensor, "3 3"]
    cam_from_world: Float[Tensor, "4 4"]
    width: int
    height: int


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene, placed: `world_from_object` is a similarity transform (rotation, translation, scale).

    Geometry is `parts` (one mesh per material) or `splats`, in the object's own frame. `mask` is the object's region
    in the input image; `confidence` is in [0, 1] or None where the system gives none; `extras` is plain JSON data.
    """

    name: str
    parts: tuple[Mesh, ...] = ()
    splats: Gaussians | None = None
    world_from_object: Float[Tensor, "4 4"] = field(default_factory=lambda: torch.eye(4))
    mask: Bool[Tensor, "height width"] | None = None
    confidence: float | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    def world_bounds(self) -> Float[Tensor, "2 3"]:
        """Axis-aligned box (low corner, high corner) of the object in the world frame.

        Raises:
            ValueError: the object has no geometry.
        """
        points = [part.vertices for part in self.parts if len(part.vertices)]
        if self.splats is not None and len(self.splats.means):
            points.append(self.splats.means)
        if not points:
            raise ValueError(f"Object '{self.name}' has no geometry, so it has no bounds.")
        world_from_object = self.world_from_object.to(points[0])
        world = torch.cat(points) @ world_from_object[:3, :3].T + world_from_object[:3, 3]
        return torch.stack([world.amin(0), world.amax(0)])


@dataclass(frozen=True)
class Scene:
    """Objects already placed in one world frame (z up), with the camera that saw them and where they came from.

    `is_metric` says whether world units are metres; otherwise scale is only relative. `provenance` is plain JSON
    data: system, weights hashes, seed, parameters, versions.
    """

    objects: tuple[SceneObject, ...]
    camera: Camera | None = None
    is_metric: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> Path:
        """Write `.glb` (meshes, named nodes, camera, extras) or `.ply` (splats) and return the path."""
        from scenewright.io.scene_file import save_scene

        return save_scene(self, path)
