"""Adapters of GenRecon's capture side: point cleaning, tiling, cameras, choice of views."""

import torch
from torch import Tensor

from scenewright.systems.genrecon.points import (
    PointFilter,
    clean_points,
    in_dense_region,
    point_extent,
    without_outliers,
)
from scenewright.systems.genrecon.tiling import Chunks, Extent, chunk_centres_along, chunks_with_points, tile_chunks
from tests.conformance.case import Case

Outputs = dict[str, Tensor]


def tiling_axis(case: Case) -> Outputs:
    rows = case.inputs["cases"].double().tolist()
    return {
        f"centers_{index}": torch.tensor(chunk_centres_along(length, size, int(overlap)))
        for index, (length, size, overlap) in enumerate(rows)
    }


def chunk_outputs(chunks: Chunks) -> Outputs:
    return {
        "centers": chunks.centres,
        "original_to_chunk": chunks.chunk_from_world,
        "chunk_to_original": chunks.world_from_chunk,
        "relative_translation": chunks.relative_translation,
    }


def tiling_box(case: Case) -> Outputs:
    given = {name: float(value) for name, value in case.inputs.items()}
    size = given.pop("chunk_size")
    extent = Extent(**given, z_ceiling=given["z_floor"] + size)
    return chunk_outputs(tile_chunks(extent, size, min_overlap_cells=case.config["min_overlap_factor"]))


def point_cloud_tiling(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    points = given["points"].double().numpy()
    settings = PointFilter(
        config["max_reproj_error"], config["min_track_len"], config["std_ratio"], config["nb_points"], config["radius"]
    )
    error, track = given["error"].double().numpy(), given["track_len"].numpy()
    kept = clean_points(points, error, track, settings)
    first = ((error <= settings.max_reprojection_error_px) & (track >= settings.min_track_length)).nonzero()[0]
    second = first[without_outliers(points[first], config["std_ratio"], neighbours=config["stat_nb_neighbors"])]
    assert (kept == second[in_dense_region(points[second], config["radius"], config["nb_points"])]).all()
    extent = point_extent(points[kept])
    size = extent.height * config["chunk_size_factor"]
    everywhere = tile_chunks(extent, size, min_overlap_cells=config["min_overlap_factor"])
    chunks = chunks_with_points(everywhere, torch.from_numpy(points[kept]), min_points=config["min_points_per_chunk"])
    bounds = (extent.x_min, extent.x_max, extent.y_min, extent.y_max, extent.z_floor, extent.z_ceiling, extent.height)
    return chunk_outputs(chunks) | {
        "kept_after_error_track": torch.from_numpy(first),
        "kept_after_statistical": torch.from_numpy(second),
        "kept_after_radius": torch.from_numpy(kept),
        "extent": torch.tensor(bounds),
        "chunk_size": torch.tensor(size),
        "all_centers": everywhere.centres,
    }


CAPTURE = {
    "pointcloud+tiling": point_cloud_tiling,
    "tiling.axis": tiling_axis,
    "tiling.box": tiling_box,
}
