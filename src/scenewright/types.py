"""The values that travel between stages: frozen dataclasses whose fields say shape, unit and frame.

Frames and units follow docs/conventions.md: right-handed, z up, metres where scale is known, objects in
their own canonical frame inside [-0.5, 0.5]^3 (generated) or in metres (measured), cameras OpenCV.
Matrices name both frames so that neighbours cancel: `cam_from_world @ world_from_object`.

What goes in is a `View` (a picture, the masks of its objects, its camera), what comes out a `Scene`.

Legend: V vertices, F faces, N rows (voxels, Gaussians or masks), C corners, K spherical-harmonic coefficients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError

__all__ = [
    "Camera",
    "DualGrid",
    "Gaussians",
    "Mask",
    "Mesh",
    "OVoxel",
    "ObjectMasks",
    "Opening",
    "OrientedBox",
    "PBRMaterial",
    "PanoramaCamera",
    "Physics",
    "PixelBox",
    "Role",
    "Room",
    "Scene",
    "SceneObject",
    "SparseVoxels",
    "View",
    "Wrap",
    "merged_mesh",
]


Wrap = Literal["repeat", "clamp", "mirror"]
"""Continuation of a texture outside [0, 1]."""


@dataclass(frozen=True)
class PBRMaterial:
    """A metallic-roughness material, as glTF 2.0 defines it.

    Factors are linear; `base_color_texture` (RGB or RGBA) and `emissive_texture` are sRGB encoded, the other textures
    are linear data. `metallic_roughness_texture` keeps roughness in channel 1 and metallic in channel 2 (channel 0
    unused). `normal_texture` is tangent space, +Y up. `occlusion_texture` is the share of light from all around that
    reaches a point; our own renderer finds that out itself. A texture multiplies its factor. `wrap` says how all
    textures continue outside [0, 1], along u and v.
    """

    base_color_factor: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    metallic_factor: float = 0.0
    roughness_factor: float = 1.0
    emissive_factor: tuple[float, float, float] = (0.0, 0.0, 0.0)
    base_color_texture: UInt8[Tensor, "height width channels"] | None = None
    metallic_roughness_texture: UInt8[Tensor, "height2 width2 3"] | None = None
    normal_texture: UInt8[Tensor, "height3 width3 3"] | None = None
    emissive_texture: UInt8[Tensor, "height4 width4 3"] | None = None
    occlusion_texture: UInt8[Tensor, "height5 width5 1"] | None = None
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    alpha_mode: Literal["OPAQUE", "MASK", "BLEND"] = "OPAQUE"
    alpha_cutoff: float = 0.5
    double_sided: bool = False
    name: str = ""

    @property
    def textures(self) -> tuple[UInt8[Tensor, "_ _ _"] | None, ...]:
        """Base colour, metallic and roughness, normals, emission, occlusion."""
        drawn = (self.base_color_texture, self.metallic_roughness_texture, self.normal_texture, self.emissive_texture)
        return *drawn, self.occlusion_texture


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


def merged_mesh(parts: Sequence[Mesh]) -> Mesh:
    """All parts as one mesh, vertices and int64 faces in order; an empty mesh of no part.

    Attributes stay that every part has; texture coordinates and material stay where all parts share one material.
    """
    if not parts:
        return Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    starts = [0]
    for part in parts[:-1]:
        starts.append(starts[-1] + len(part.vertices))
    shares_material = all(part.material is parts[0].material for part in parts)

    def joined(values: Sequence[Tensor | None]) -> Tensor | None:
        present = [value for value in values if value is not None]
        return torch.cat(present) if len(present) == len(values) else None

    return Mesh(
        vertices=torch.cat([part.vertices for part in parts]),
        faces=torch.cat([part.faces.long() + start for part, start in zip(parts, starts, strict=True)]),
        vertex_normals=joined([part.vertex_normals for part in parts]),
        vertex_colors=joined([part.vertex_colors for part in parts]),
        uv=joined([part.uv for part in parts]) if shares_material else None,
        material=parts[0].material if shares_material else None,
    )


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
class OVoxel:
    """An object in O-Voxel form (TRELLIS.2): the dual grid of its surface, and its materials voxel by voxel.

    `materials` are 8-bit values of the voxels of `grid`, as textures are: `base_color` [N, 3] (sRGB encoded), and
    `metallic`, `roughness`, `alpha` [N, 1]; any of them may be missing.
    """

    grid: DualGrid
    materials: Mapping[str, UInt8[Tensor, "N _"]] = field(default_factory=dict)


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
class PanoramaCamera:
    """A camera that sees all around: an equirectangular picture whose centre looks along the camera's z axis.

    Column u is the longitude 2 pi u / width - pi, row v the latitude pi / 2 - pi v / height; the camera frame is
    OpenCV's (docs/conventions.md#cameras-and-images).

    Raises:
        InputError: the picture is not twice as wide as high.
    """

    cam_from_world: Float[Tensor, "4 4"]
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width != 2 * self.height:
            raise InputError(
                f"Expected a 2:1 equirectangular panorama, got {self.width}x{self.height}; "
                "crop or pad it, or give a perspective camera."
            )


PixelBox = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; outer edges."""


@dataclass(frozen=True, eq=False)
class Mask:
    """The pixels of one object in one view, packed: memory follows the object, not the picture.

    `box` is the least one that holds them (all 0 of an empty mask), `bits` are its rows, eight pixels in a byte.
    """

    height: int
    width: int
    box: PixelBox
    bits: UInt8[np.ndarray, "rows bytes"]

    @classmethod
    def of(cls, pixels: Bool[Tensor, "height width"] | Bool[np.ndarray, "height width"]) -> "Mask":
        """The mask of the pixels that are True."""
        array = pixels.detach().cpu().numpy() if isinstance(pixels, Tensor) else pixels
        return cls.placed(array, (0, 0), array.shape)

    @classmethod
    def placed(
        cls, pixels: Bool[np.ndarray, "rows columns"], corner: tuple[int, int], shape: tuple[int, ...]
    ) -> "Mask":
        """The mask of a picture of `shape` (height, width) whose True pixels lie in `pixels` alone.

        Args:
            corner: left and top of `pixels` in the picture, inside which they lie as a whole.
        """
        rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        if not len(rows):
            return cls(shape[0], shape[1], (0, 0, 0, 0), np.zeros((0, 0), dtype=np.uint8))
        left, top, right, bottom = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        box = (corner[0] + left, corner[1] + top, corner[0] + right, corner[1] + bottom)
        return cls(shape[0], shape[1], box, np.packbits(pixels[top:bottom, left:right], axis=1))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.height, self.width

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.bitwise_count(self.bits).sum())

    def within(self, box: PixelBox) -> Bool[np.ndarray, "rows columns"]:
        """The pixels of a part of the picture, which may reach outside of it."""
        left, top, right, bottom = box
        result = np.zeros((bottom - top, right - left), dtype=bool)
        x0, y0 = max(left, self.box[0]), max(top, self.box[1])
        x1, y1 = min(right, self.box[2]), min(bottom, self.box[3])
        if x0 < x1 and y0 < y1:
            rows = self.bits[y0 - self.box[1] : y1 - self.box[1]]
            own = np.unpackbits(rows, axis=1, count=self.box[2] - self.box[0])
            result[y0 - top : y1 - top, x0 - left : x1 - left] = own[:, x0 - self.box[0] : x1 - self.box[0]]
        return result

    def dense(self) -> Bool[Tensor, "height width"]:
        """All pixels of the picture, True where the object is."""
        return torch.from_numpy(self.within((0, 0, self.width, self.height)))

    def shrunk(self, factor: int) -> "Mask":
        """The mask of a picture `factor` times smaller; a pixel belongs to it where any of those it covers does."""
        if factor == 1:
            return self
        left, top, right, bottom = self.box
        x, y = left // factor, top // factor
        columns, rows = -(-right // factor) - x, -(-bottom // factor) - y
        blocks = self.within((x * factor, y * factor, (x + columns) * factor, (y + rows) * factor))
        small = np.logical_or.reduce(blocks.reshape(rows, factor, columns, factor), axis=(1, 3))
        return Mask.placed(small, (x, y), (-(-self.height // factor), -(-self.width // factor)))

    def overlap(self, other: "Mask") -> float:
        """Intersection over union; 0 of masks of different pictures."""
        if self.shape != other.shape:
            return 0.0
        shared = int(np.count_nonzero(self.within(self.box) & other.within(self.box)))
        return shared / max(self.area + other.area - shared, 1)

    def __or__(self, other: "Mask") -> "Mask":
        """Pixels of either."""
        both = [mask.box for mask in (self, other) if mask.area] or [self.box]
        lows, highs = np.min(both, 0), np.max(both, 0)
        box = (int(lows[0]), int(lows[1]), int(highs[2]), int(highs[3]))
        return Mask.placed(self.within(box) | other.within(box), box[:2], self.shape)

    def __sub__(self, other: "Mask") -> "Mask":
        """Pixels of this mask alone."""
        return Mask.placed(self.within(self.box) & ~other.within(self.box), self.box[:2], self.shape)


@dataclass(frozen=True, init=False)
class ObjectMasks:
    """Masks of one picture's objects; they may overlap and have several parts.

    `regions` holds them packed, `masks` gives all of them as one dense tensor. `names` are distinct and tell the same
    object in several pictures; by default obj_01, obj_02, ... `warnings` says what was repaired when the masks were
    read.

    Raises:
        InputError: there is not one distinct name per mask, or the masks are of different sizes.
    """

    regions: tuple[Mask, ...]
    names: tuple[str, ...]
    warnings: tuple[str, ...]

    def __init__(
        self,
        regions: Sequence[Mask] | Bool[Tensor, "N height width"],
        names: Sequence[str] = (),
        warnings: Sequence[str] = (),
    ) -> None:
        """Takes masks one by one, or as a tensor, which is packed."""
        masks = tuple(Mask.of(item) if isinstance(item, Tensor) else item for item in regions)
        named = tuple(names) or tuple(f"obj_{number:02d}" for number in range(1, len(masks) + 1))
        object.__setattr__(self, "regions", masks)
        object.__setattr__(self, "names", named)
        object.__setattr__(self, "warnings", tuple(warnings))
        if len(named) != len(masks) or len(set(named)) != len(named):
            raise InputError(f"Expected {len(masks)} distinct names, one per mask, got {', '.join(named)}.")
        if len({mask.shape for mask in masks}) > 1:
            raise InputError("Expected masks of one size, that of their picture; resize them first.")

    def __len__(self) -> int:
        return len(self.regions)

    @property
    def masks(self) -> Bool[Tensor, "N height width"]:
        """All masks unpacked, a byte for every pixel of every one of them."""
        return torch.stack([mask.dense() for mask in self.regions])

    @property
    def union(self) -> Mask:
        """Pixels that belong to any object, of which there is one."""
        return reduce(Mask.__or__, self.regions)

    @property
    def exclusive(self) -> tuple[Mask, ...]:
        """The masks without overlaps: where several meet, the last one keeps the pixel."""
        own: list[Mask] = []
        for index, mask in enumerate(self.regions):
            for later in self.regions[index + 1 :]:
                mask = mask - later
            own.append(mask)
        return tuple(own)

    def at(self, indices: Sequence[int]) -> "ObjectMasks":
        """The masks at `indices`, in that order."""
        rows = list(indices)
        return ObjectMasks(
            [self.regions[index] for index in rows], [self.names[index] for index in rows], self.warnings
        )


@dataclass(frozen=True)
class View:
    """One picture of a place, with the masks of its objects and its camera where they are known.

    The picture is kept as RGB. `name` says which picture it is in messages (a file's name).
    `depth_m` is in metres, where it is known: along the camera's axis, of a panorama along the rays; 0, NaN and
    infinity are unknown. Its size may differ from the picture's.

    Raises:
        InputError: there are objects but no mask, or a mask is empty or not of the picture's size.
    """

    image: Image.Image
    objects: ObjectMasks | None = None
    camera: Camera | PanoramaCamera | None = None
    name: str = ""
    depth_m: Float[Tensor, "rows columns"] | None = None

    def __post_init__(self) -> None:
        if self.image.mode != "RGB":
            object.__setattr__(self, "image", self.image.convert("RGB"))
        if self.objects is None:
            return
        if not len(self.objects):
            raise InputError("Expected at least one object mask, got none.")
        width, height = self.image.size
        for name, mask in zip(self.objects.names, self.objects.regions, strict=True):
            if mask.shape != (height, width):
                raise InputError(
                    f"Expected masks of the picture's {width}x{height} pixels, got {mask.width}x{mask.height}."
                )
            if not mask.area:
                raise InputError(f"Mask '{name}' is empty; drop it.")

    def at(self, indices: Sequence[int]) -> "View":
        """The same picture with the objects at `indices`, in that order."""
        return self if self.objects is None else replace(self, objects=self.objects.at(indices))


@dataclass(frozen=True)
class OrientedBox:
    """A box that stands upright: `size` holds its full sides along its own x, y, z, after a turn of `yaw` about +z.

    Yaw is in radians, counter-clockwise seen from above.
    """

    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw: float = 0.0

    @property
    def volume(self) -> float:
        return self.size[0] * self.size[1] * self.size[2]

    def footprint(self) -> Float[np.ndarray, "4 2"]:
        """Corners on the ground, counter-clockwise."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 * self.size[:2]
        return corners @ np.array([[c, s], [-s, c]]) + self.centre[:2]


@dataclass(frozen=True)
class Opening:
    """A door or window in wall `wall` (from corner i to i + 1): extents along the wall and in height, in metres."""

    kind: Literal["door", "window"]
    wall: int
    start: float
    end: float
    low: float
    high: float


@dataclass(frozen=True)
class Room:
    """The walls around a scene: corners of the floor (counter-clockwise from above, metres), height, and openings.

    The floor lies at z = 0 of the world.
    """

    floor_polygon: Float[Tensor, "C 2"]
    height: float
    openings: tuple[Opening, ...] = ()


@dataclass(frozen=True)
class Physics:
    """Behaviour of an object in a simulation; `colliders` are convex, in the object's own frame.

    `friction` and `restitution` are Coulomb's coefficients; a static object never moves. Scene files of meshes (GLB)
    do not keep it.
    """

    mass_kg: float
    friction: float = 0.5
    restitution: float = 0.0
    is_static: bool = False
    colliders: tuple[Mesh, ...] = ()


Role = Literal["object", "furniture", "fixture", "shell"]
"""`fixture` is fastened to the room (a radiator, a door), `shell` is the room itself (a wall, the floor)."""


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene, placed: `world_from_object` is a similarity transform (rotation, translation, scale).

    Geometry is `parts` (one mesh per material) or `splats`, in the object's own frame. `mask` is the object's region
    in the first view; `confidence` is in [0, 1] or None where the system gives none; `category` is a word for what it
    is, `box` its predicted box in the world; `extras` is plain JSON data.
    """

    name: str
    parts: tuple[Mesh, ...] = ()
    splats: Gaussians | None = None
    world_from_object: Float[Tensor, "4 4"] = field(default_factory=lambda: torch.eye(4))
    mask: Mask | None = None
    confidence: float | None = None
    role: Role = "object"
    category: str | None = None
    box: OrientedBox | None = None
    physics: Physics | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    def placed_parts(self, dtype: torch.dtype | None = None) -> tuple[Mesh, ...]:
        """The parts in the world frame, normals turned along; a placement that mirrors turns the triangles round.

        Args:
            dtype: of the computation and the result; None keeps that of each part's vertices.
        """
        return tuple(_placed(part, self.world_from_object, dtype or part.vertices.dtype) for part in self.parts)

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


def _placed(mesh: Mesh, matrix: Float[Tensor, "4 4"], dtype: torch.dtype) -> Mesh:
    linear, translation = (part.to(mesh.vertices.device, dtype) for part in (matrix[:3, :3], matrix[:3, 3]))
    normals = mesh.vertex_normals
    if normals is not None:
        # Normals are planes' directions: they go with the inverse transpose, whatever the matrix stretches.
        normals = torch.nn.functional.normalize(normals.to(dtype) @ torch.linalg.pinv(linear), dim=1)
    mirrors = bool(torch.linalg.det(linear) < 0)
    return replace(
        mesh,
        vertices=mesh.vertices.to(dtype) @ linear.T + translation,
        faces=mesh.faces.flip(1) if mirrors else mesh.faces,
        vertex_normals=normals,
    )


@dataclass(frozen=True)
class Scene:
    """Objects already placed in one world frame (z up), with the cameras that saw them and where they came from.

    Attributes:
        cameras: by the name of their view; "camera" where there is one only.
        is_metric: world units are metres; otherwise scale is only relative.
        room: what stands around the objects, where the system knows it.
        world_from_system: the similarity that took the objects from the frame their system generated them in to the
            world; a re-roll places new objects with it.
        notes: sentences for the user about what was found (warnings).
        provenance: plain JSON data for people: system, weights hashes, seed, parameters, versions.
    """

    objects: tuple[SceneObject, ...]
    cameras: Mapping[str, Camera | PanoramaCamera] = field(default_factory=dict)
    is_metric: bool = False
    room: Room | None = None
    world_from_system: Float[Tensor, "4 4"] | None = None
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def camera(self) -> Camera | None:
        """The first perspective camera, if there is one."""
        return next((camera for camera in self.cameras.values() if isinstance(camera, Camera)), None)

    def to_mesh(self) -> Mesh:
        """All parts of all objects as one mesh in the world frame (see `merged_mesh` for what it keeps)."""
        return merged_mesh([part for scene_object in self.objects for part in scene_object.placed_parts()])

    def save(self, path: str | Path) -> Path:
        """Write the format of the suffix (`scenewright.io.formats`; `.glb` keeps most) and return the path."""
        from scenewright.io.scene_file import save_scene

        return save_scene(self, path)
