"""The plan of a scene before any network runs: chunks, the square views that condition them, and who looks at what.

    Capture -> plan_scene -> ScenePlan

Frame: world z up, metres; `cam_from_joint` acts on the joint frame and keeps depth in metres.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.systems.genrecon.captures import Capture
from scenewright.systems.genrecon.points import PointFilter, clean_points, point_extent
from scenewright.systems.genrecon.square_views import SquareCrop, centre_crop, crop_intrinsics, square_crops
from scenewright.systems.genrecon.tiling import (
    CHUNK_SIZE_FACTOR,
    LATTICE_CELLS,
    MAX_CHUNKS,
    MIN_OVERLAP_CELLS,
    MIN_POINTS_PER_CHUNK,
    Chunks,
    Extent,
    chunks_with_points,
    tile_chunks,
)
from scenewright.systems.genrecon.view_choice import choose_chunk_views, choose_scene_views, sees_chunk

__all__ = ["OWN_CAPTURE_FILTER", "PlanOptions", "ScenePlan", "SquareView", "plan_scene"]

OWN_CAPTURE_FILTER = PointFilter(
    max_reprojection_error_px=None, min_track_length=0, deviations=3.0, min_neighbours=7, radius_m=0.2
)
"""The published settings for phone captures."""
_PHONE_FILTER = PointFilter(min_track_length=0)
# Below this many points the density filter deletes nearly everything (published remark).
_SPARSE_CLOUD = 10_000
# A point in fifty of structure from motion may lie metres outside of the room, and would make it a hall.
_SPARSE_FILTER = PointFilter(max_reprojection_error_px=None, min_track_length=0, is_sparse=True, max_isolation=6.0)


@dataclass(frozen=True)
class PlanOptions:
    """Published defaults; `point_filter` of None is the published one for the kind of capture.

    Attributes:
        max_views: pictures that the scene is made from.
        crops_centre: one square round the principal point instead of two at the ends of the longer edge.
        lattice_cells: cells of the structure latent along a chunk side; chunks stand whole cells apart.
        max_chunks: larger places are refused.
        extent: of the room, where the points do not tell it.
    """

    max_views: int = 32
    crops_centre: bool = False
    point_filter: PointFilter | None = None
    chunk_size_factor: float = CHUNK_SIZE_FACTOR
    min_overlap_cells: int = MIN_OVERLAP_CELLS
    min_points_per_chunk: int = MIN_POINTS_PER_CHUNK
    lattice_cells: int = LATTICE_CELLS
    max_chunks: int = MAX_CHUNKS
    extent: Extent | None = None


@dataclass(frozen=True)
class SquareView:
    """A square of one of the capture's pictures."""

    picture: int
    crop: SquareCrop
    intrinsics_unit: Float[Tensor, "3 3"]
    cam_from_joint: Float[Tensor, "4 4"]


@dataclass(frozen=True)
class ScenePlan:
    """`chunk_views[k]` is the square view that chunk k reads as a whole."""

    chunks: Chunks
    extent: Extent
    views: tuple[SquareView, ...]
    chunk_views: tuple[int, ...]

    @property
    def pictures(self) -> list[int]:
        """Indices of the capture's pictures that the scene is made from, ascending."""
        return sorted({view.picture for view in self.views})


def plan_scene(capture: Capture, options: PlanOptions = PlanOptions(), *, seed: int = 0) -> ScenePlan:
    """The plan of an upright capture.

    Raises:
        InputError: the capture is not upright, there are no usable points, no chunk holds enough of them, or the place
            needs too many chunks.
    """
    if not capture.is_upright:
        raise InputError("The capture is in the frame of its files; turn it upright first (`aligned`).")
    extent, points = _measured(capture, options)
    size = extent.height * options.chunk_size_factor
    chunks = tile_chunks(extent, size, min_overlap_cells=options.min_overlap_cells, lattice_cells=options.lattice_cells)
    if points is not None:
        chunks = chunks_with_points(chunks, points, min_points=options.min_points_per_chunk)
    if len(chunks.centres) > options.max_chunks:
        raise InputError(
            f"The place is {extent.x_max - extent.x_min:.0f} x {extent.y_max - extent.y_min:.0f} m and needs "
            f"{len(chunks.centres)} chunks of {size:.2f} m, of which at most {options.max_chunks} are made at a time; "
            "divide the capture into parts, or check its scale (--metres-per-unit, --camera-height)."
        )
    world_from_chunk = chunks.world_from_chunk
    cameras = [picture.camera for picture in capture.pictures]
    poses = torch.stack([camera.cam_from_world.double() for camera in cameras])
    intrinsics = torch.stack([picture.intrinsics_unit for picture in capture.pictures])
    sees = sees_chunk(poses[:, None] @ world_from_chunk, intrinsics[:, None])
    views = tuple(
        SquareView(
            index,
            crop,
            crop_intrinsics(intrinsics[index], cameras[index].width, cameras[index].height, crop).float(),
            (poses[index] @ world_from_chunk[0]).float(),
        )
        for index in choose_scene_views(sees, options.max_views)
        for crop in _crops(capture, index, intrinsics[index], options)
    )
    pool = [view.picture for view in views]
    # DSLR pictures are tested before their crop, as published.
    tested = intrinsics[pool] if _is_dslr(capture) else torch.stack([view.intrinsics_unit.double() for view in views])
    pool_sees = sees_chunk(poses[pool][:, None] @ world_from_chunk, tested[:, None])
    eyes = torch.linalg.inv(poses[pool])[:, :3, 3]
    return ScenePlan(chunks, extent, views, tuple(choose_chunk_views(pool_sees, eyes, chunks.centres, seed)))


def _measured(capture: Capture, options: PlanOptions) -> tuple[Extent, Float[Tensor, "N 3"] | None]:
    """The extent, and the cleaned points it was measured by."""
    if options.extent is not None and len(capture.points) == 0:
        return options.extent, None
    if len(capture.points) == 0:
        raise InputError("The capture has no points to measure the room by; triangulate them, or give its extent.")
    chosen = options.point_filter or _default_filter(capture)
    kept = clean_points(capture.points, capture.error_px, capture.track_length, chosen)
    points = capture.points[kept]
    return options.extent or point_extent(points), torch.from_numpy(points)


def _default_filter(capture: Capture) -> PointFilter:
    if capture.kind == "scannetpp_dslr":
        return PointFilter()
    if capture.kind == "scannetpp_phone":
        return _PHONE_FILTER
    return _SPARSE_FILTER if len(capture.points) < _SPARSE_CLOUD else OWN_CAPTURE_FILTER


def _is_dslr(capture: Capture) -> bool:
    return capture.kind == "scannetpp_dslr"


def _crops(
    capture: Capture, index: int, intrinsics_unit: Float[Tensor, "3 3"], options: PlanOptions
) -> list[SquareCrop]:
    camera = capture.pictures[index].camera
    if options.crops_centre or _is_dslr(capture):
        return [centre_crop(intrinsics_unit, camera.width, camera.height)]
    return square_crops(camera.width, camera.height)
