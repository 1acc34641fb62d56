"""A report on a capture, before minutes are spent on it.

Frame: world, z up, metres.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from scenewright.systems.genrecon.captures import Capture
from scenewright.systems.genrecon.tiling import Chunks
from scenewright.systems.genrecon.view_choice import chunk_areas

__all__ = ["CaptureReport", "report_capture"]

_HIGH_ERROR_PX = 2.0
_FEW_VIEWS = 2
_SEES_PART = 0.1
_TALL_M, _LOW_M = 4.0, 1.8
_WIDE_M = 40.0
_CROWDED_CHUNKS = 25
_ROOM_CHUNKS = 4


@dataclass(frozen=True)
class CaptureReport:
    """Counts and measures of a capture and its chunks; `warnings` are sentences for the user."""

    num_pictures: int
    num_missing: int
    num_unplaced: int
    num_points: int
    mean_error_px: float
    median_track_length: float
    chunk_size_m: float
    views_per_chunk: tuple[int, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> Mapping[str, Any]:
        return asdict(self)


def report_capture(capture: Capture, chunks: Chunks) -> CaptureReport:
    """The report of an upright capture.

    A picture counts for a chunk when the box round the chunk covers a tenth of it or more; occlusion does not count.
    """
    views = _views_per_chunk(capture, chunks)
    known = capture.error_px[capture.error_px > 0]
    error = float(known.mean()) if len(known) else 0.0
    report = CaptureReport(
        num_pictures=len(capture.pictures),
        num_missing=len(capture.missing),
        num_unplaced=len(capture.unplaced),
        num_points=len(capture.points),
        mean_error_px=error,
        median_track_length=float(np.median(capture.track_length)) if len(capture.points) else 0.0,
        chunk_size_m=chunks.size,
        views_per_chunk=views,
        warnings=tuple(_warnings(capture, chunks, views, error)),
    )
    return report


def _views_per_chunk(capture: Capture, chunks: Chunks) -> tuple[int, ...]:
    poses = torch.stack([picture.camera.cam_from_world.double() for picture in capture.pictures])
    scale = torch.stack(
        [torch.tensor([[p.camera.width], [p.camera.height], [1.0]], dtype=torch.float64) for p in capture.pictures]
    )
    intrinsics = torch.stack([picture.camera.intrinsics_px.double() for picture in capture.pictures]) / scale
    areas = chunk_areas(poses[:, None] @ chunks.world_from_chunk.double(), intrinsics[:, None])
    return tuple((areas >= _SEES_PART).sum(0).tolist())


def _warnings(capture: Capture, chunks: Chunks, views: Sequence[int], error: float) -> list[str]:
    lines = []
    if capture.missing:
        lines.append(f"{len(capture.missing)} pictures of the model are not in the folder.")
    if capture.unplaced:
        there = len(capture.unplaced) + len(capture.pictures)
        lines.append(
            f"{len(capture.unplaced)} of {there} pictures have no camera (the first is '{capture.unplaced[0]}')"
            + (
                "; most of the place is not reconstructed: take pictures closer to each other."
                if len(capture.unplaced) > len(capture.pictures)
                else "."
            )
        )
    if error > _HIGH_ERROR_PX:
        lines.append(f"The mean reprojection error is {error:.1f} pixels; poses may be inexact.")
    if len(capture.pictures) < _FEW_VIEWS:
        lines.append("There is only one picture; most of the place is unseen.")
    if len({(p.camera.width, p.camera.height) for p in capture.pictures}) > 1:
        lines.append("Pictures have several sizes.")
    centres = np.array([picture.centre for picture in capture.pictures])
    if len(np.unique(centres.round(6), axis=0)) < len(centres):
        lines.append("Some pictures share one camera position; remove duplicates.")
    blind = [index for index, count in enumerate(views) if count < _FEW_VIEWS]
    if blind:
        lines.append(f"{len(blind)} of {len(views)} chunks are seen by fewer than {_FEW_VIEWS} pictures.")
    if not _LOW_M <= chunks.size <= _TALL_M:
        lines.append(
            f"Chunks are {chunks.size:.1f} m high; the networks know rooms of 2.7 m. Check the scale, or expect less."
        )
    low, high = (chunks.centres[:, :2].amin(0), chunks.centres[:, :2].amax(0))
    width, depth = (high - low + chunks.size).tolist()
    if len(views) > _CROWDED_CHUNKS or max(width, depth) > _WIDE_M:
        lines.append(
            f"The place is {width:.0f} x {depth:.0f} m and needs {len(views)} chunks: "
            f"{len(views) / _ROOM_CHUNKS:.0f} times the time, files and memory of the surface that a room of "
            f"{_ROOM_CHUNKS} needs."
        )
    return lines
