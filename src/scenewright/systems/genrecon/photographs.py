"""Colours of photographs on the surface that they show: every point takes them from the views that see it best.

A view's weight falls with the square of its distance, with the slant of the surface, and towards the picture's
border; weights are sharpened so that a texture is not the mean of slightly displaced pictures. Points that no view sees
take the colour of the nearest surface that one does. Light and shadow stay in the colours: photographs hold no
materials.

Legend: N views, M points, V vertices, H/W picture size. Frame: that of the surface; cameras OpenCV.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from scenewright.geometry.mesh.parts import face_normals, select_faces
from scenewright.geometry.mesh.surface_color import Placed
from scenewright.progress import SILENT, Progress
from scenewright.rendering.gbuffer import rasterize
from scenewright.rendering.triangles import pack_meshes
from scenewright.rendering.view import view_of_camera
from scenewright.systems.genrecon.captures import Capture
from scenewright.systems.genrecon.pipeline import SceneSurface
from scenewright.systems.genrecon.scene_plan import ScenePlan
from scenewright.types import Camera, Mesh

__all__ = [
    "PhotographColors",
    "PhotographField",
    "Photographs",
    "Shot",
    "chosen_pictures",
    "photograph_field",
    "photographed",
]

MAX_PICTURE = 1024

_DEPTH_WIDTH = 320
_SHARPNESS = 3.0
_LEAST_COSINE = 0.12
# A point is behind what a view sees when it lies this share of its depth further back.
_DEPTH_SLACK = 0.02
_BORDER = 0.04
_ROUGHNESS = 0.7
_AT_A_TIME = 200_000


@dataclass(frozen=True)
class Shot:
    """A photograph, its camera (`intrinsics_unit` in units of the picture), and what it sees of the surface.

    `depth` is 0 where it sees nothing, `cosine` that of the surface's slant.
    """

    pixels: UInt8[Tensor, "H W 3"]
    cam_from_surface: Float[Tensor, "4 4"]
    intrinsics_unit: Float[Tensor, "3 3"]
    depth: Float[Tensor, "h w"]
    cosine: Float[Tensor, "h w"]


@dataclass(frozen=True)
class PhotographField:
    """An `AttributeField` of photographs; see `photograph_field`.

    Attributes:
        spots, spot_colors: points of the surface that are seen, for those that are not.
    """

    shots: tuple[Shot, ...]
    spots: Float[Tensor, "V 3"]
    spot_colors: Float[Tensor, "V 3"]

    @property
    def channels(self) -> tuple[str, ...]:
        return ("red", "green", "blue", "metallic", "roughness")

    def at(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 5"]:
        query = points.detach().float().cpu()
        colors = torch.cat([self._colors(part) for part in query.split(_AT_A_TIME)]) if len(query) else query
        rest = torch.tensor([0.0, _ROUGHNESS]).expand(len(colors), -1)
        return torch.cat([colors, rest], 1).to(points.device)

    def seen_colors(self, points: Float[Tensor, "M 3"]) -> tuple[Float[Tensor, "M 3"], Bool[Tensor, " M"]]:
        """Colours from the views that see each point, and whether any does."""
        total, weights = torch.zeros(len(points), 3), torch.zeros(len(points))
        for shot in self.shots:
            camera = points @ shot.cam_from_surface[:3, :3].T + shot.cam_from_surface[:3, 3]
            image = (camera / camera[:, 2:].clamp(min=1e-6)) @ shot.intrinsics_unit.T
            rows = ((camera[:, 2] > 1e-6) & ((image[:, :2] >= 0) & (image[:, :2] < 1)).all(1)).nonzero()[:, 0]
            if not len(rows):
                continue
            place, depth = image[rows, :2], camera[rows, 2]
            y, x = _pixel(place, shot.depth.shape)
            first = shot.depth[y, x]
            border = (torch.minimum(place, 1 - place).amin(1) / _BORDER).clamp(0.05, 1)
            weight = shot.cosine[y, x].clamp(min=0) * border / depth.square()
            weight = weight * (shot.cosine[y, x] > _LEAST_COSINE) * (depth <= first * (1 + _DEPTH_SLACK)) * (first > 0)
            sharp = weight**_SHARPNESS
            y, x = _pixel(place, shot.pixels.shape[:2])
            total.index_add_(0, rows, sharp[:, None] * shot.pixels[y, x].float() / 255)
            weights.index_add_(0, rows, sharp)
        return total / weights.clamp(min=1e-30)[:, None], weights > 0

    def _colors(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 3"]:
        colors, seen = self.seen_colors(points)
        if len(self.spots) and not bool(seen.all()):
            _, row = self._tree.query(points[~seen].numpy(), workers=1)
            colors[~seen] = self.spot_colors[torch.from_numpy(np.asarray(row))]
        return colors

    @cached_property
    def _tree(self) -> "scipy.spatial.cKDTree":
        return scipy.spatial.cKDTree(self.spots.numpy())


def photograph_field(surface: Mesh, pictures: Sequence[Image.Image], cameras: Sequence[Camera]) -> PhotographField:
    """The colours of pictures on a surface. Work is one drawing of the surface per picture."""
    scene = pack_meshes([Mesh(surface.vertices.float(), surface.faces)])
    normals = face_normals(surface)
    shots = []
    for picture, camera in zip(pictures, cameras, strict=True):
        size = torch.tensor([[camera.width], [camera.height], [1.0]], dtype=torch.float64)
        unit = camera.intrinsics_px.double() / size
        width = min(_DEPTH_WIDTH, camera.width)
        height = max(1, round(camera.height * width / camera.width))
        small_px = unit * torch.tensor([[width], [height], [1.0]], dtype=torch.float64)
        small = replace(camera, intrinsics_px=small_px, width=width, height=height)
        seen = rasterize(scene, view_of_camera(small))
        pose = camera.cam_from_world.double()
        # Rays of the pixels in the surface's frame, against the normals of what they hit.
        v, u = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
        rays = torch.stack([u, v, torch.ones_like(u)], -1).double() @ torch.linalg.inv(unit).T @ pose[:3, :3]
        rays = (rays / rays.norm(dim=-1, keepdim=True)).float()
        hit = normals[seen.face.clamp(min=0).long()]
        cosine = torch.where(seen.face >= 0, -(rays * hit).sum(-1), 0.0)
        pixels = torch.from_numpy(np.asarray(picture.convert("RGB")).copy())
        shots.append(Shot(pixels, pose.float(), unit.float(), seen.depth, cosine))
    field = PhotographField(tuple(shots), torch.zeros(0, 3), torch.zeros(0, 3))
    middles = surface.vertices.float()[surface.faces.long()].mean(1)
    step = max(1, len(middles) // _AT_A_TIME)
    spots = middles[::step]
    colors, known = field.seen_colors(spots)
    return replace(field, spots=spots[known], spot_colors=colors[known])


def _pixel(place: Float[Tensor, "M 2"], shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    height, width = shape
    return (place[:, 1] * height).long().clamp(0, height - 1), (place[:, 0] * width).long().clamp(0, width - 1)


@dataclass(frozen=True)
class Photographs:
    """Pictures of a capture in memory, no larger than `MAX_PICTURE`, with cameras to match."""

    pictures: tuple[Image.Image, ...]
    cameras: tuple[Camera, ...]

    @classmethod
    def of_plan(cls, capture: Capture, plan: ScenePlan, progress: Progress = SILENT) -> "Photographs":
        """The pictures that a plan chose.

        Raises:
            InputError: one cannot be read.
        """
        chosen = chosen_pictures(plan)
        advance, pictures, cameras = progress.stage("encode"), [], []
        for done, index in enumerate(chosen, 1):
            picture = capture.pictures[index].read().convert("RGB")
            picture.thumbnail((MAX_PICTURE, MAX_PICTURE))
            width, height = picture.size
            unit = capture.pictures[index].intrinsics_unit
            intrinsics_px = unit * torch.tensor([[width], [height], [1.0]], dtype=unit.dtype)
            pictures.append(picture)
            cameras.append(
                replace(capture.pictures[index].camera, intrinsics_px=intrinsics_px, width=width, height=height)
            )
            advance(done, len(chosen))
        return cls(tuple(pictures), tuple(cameras))

    @property
    def cam_from_world(self) -> Float[Tensor, "N 4 4"]:
        return torch.stack([camera.cam_from_world.double() for camera in self.cameras])

    @property
    def intrinsics_unit(self) -> Float[Tensor, "N 3 3"]:
        return torch.stack([
            camera.intrinsics_px.double() / torch.tensor([[camera.width], [camera.height], [1.0]], dtype=torch.float64)
            for camera in self.cameras
        ])  # fmt: skip


def chosen_pictures(plan: ScenePlan) -> list[int]:
    """Rows of the capture's pictures that a plan uses, ascending."""
    return sorted({view.picture for view in plan.views})


@dataclass(frozen=True)
class PhotographColors:
    """`SceneMaterials` of photographs; the surface's frame is the world."""

    field: PhotographField
    world_from_joint: Float[Tensor, "4 4"]

    def near(self, low: Float[Tensor, " 3"], high: Float[Tensor, " 3"]) -> Placed:
        """Everything: pictures reach all of a scene."""
        return Placed(self.field, self.world_from_joint)


def photographed(
    surface: Mesh, photographs: Photographs, plan: ScenePlan, *, unseen_reach_m: float | None = None
) -> SceneSurface:
    """A surface in the world with the colours of photographs, as the rest of GenRecon takes it (joint frame).

    Args:
        unseen_reach_m: faces that no picture shows are left out where they are further than this from all that one
            does; None keeps them.
    """
    field = photograph_field(surface, photographs.pictures, photographs.cameras)
    if unseen_reach_m is not None and len(field.spots):
        middles = surface.vertices.float()[surface.faces.long()].mean(1)
        distance, _ = scipy.spatial.cKDTree(field.spots.numpy()).query(
            middles.numpy(), distance_upper_bound=unseen_reach_m
        )
        surface = select_faces(surface, torch.from_numpy(np.isfinite(distance)))
    matrix = plan.chunks.chunk_from_world[0].float()
    joint = surface.vertices @ matrix[:3, :3].T + matrix[:3, 3]
    return SceneSurface(Mesh(joint, surface.faces), PhotographColors(field, torch.linalg.inv(matrix)))
