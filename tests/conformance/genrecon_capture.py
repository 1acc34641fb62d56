"""Adapters of GenRecon's capture side: point cleaning, tiling, cameras, choice of views."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scenewright.geometry.camera.distortion import remapped, undistorted_camera
from scenewright.io.colmap import ColmapCamera, ColmapModel, read_colmap
from scenewright.io.transforms_json import SCANNETPP_WORLD, frames_from_json
from scenewright.systems.genrecon.points import (
    PointFilter,
    clean_points,
    in_dense_region,
    point_extent,
    without_outliers,
)
from scenewright.systems.genrecon.square_views import centre_crop, crop_intrinsics, square_crops, square_pixels
from scenewright.systems.genrecon.tiling import Chunks, Extent, chunk_centres_along, chunks_with_points, tile_chunks
from scenewright.systems.genrecon.view_choice import (
    choose_chunk_views,
    choose_scene_views,
    chunk_areas,
    sees_chunk,
)
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
        config.get("max_reproj_error"),
        config.get("min_track_len") or 0,
        config["std_ratio"],
        config["nb_points"],
        config["radius"],
        is_sparse=config.get("skip_point_cleaning", False),
        neighbours=config["stat_nb_neighbors"],
    )
    absent = torch.zeros(len(points))
    error, track = given.get("error", absent).double().numpy(), given.get("track_len", absent).int().numpy()
    kept = clean_points(points, error, track, settings)
    first = clean_points(points, error, track, replace(settings, is_sparse=True))
    second = first
    if not settings.is_sparse:
        second = first[without_outliers(points[first], config["std_ratio"], neighbours=settings.neighbours)]
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


GLTF = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))


def blender(cam_from_world: Tensor) -> Tensor:
    return torch.linalg.inv(cam_from_world) @ GLTF


def cameras_colmap(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    cameras = [
        ColmapCamera(model, *given["image_size"][index].tolist(), tuple(given[f"params_{index}"].double().tolist()))
        for index, model in enumerate(config["models"])
    ]
    with tempfile.TemporaryDirectory() as folder:
        model = write_and_read(Path(folder), cameras, given)
    poses = torch.stack([torch.from_numpy(image.cam_from_world) for image in model.images])
    pinholes = [pinhole(model.cameras[image.camera_id]) for image in model.images]
    intrinsics = torch.stack([unit for unit, _, _ in pinholes])
    sizes = [(width, height) for _, width, height in pinholes]
    crops = [
        (source, crop if len(square_crops(*size)) > 1 else None)
        for source, size in enumerate(sizes)
        for crop in square_crops(*size)
    ]
    centred = [centre_crop(unit, *size) for unit, size in zip(intrinsics, sizes, strict=True)]
    # Where the file gives no pixels of a picture, its block means are taken over.
    block_means = case.outputs.get("center_crop_image512_blockmean", torch.zeros(0)).clone()
    for index in range(len(block_means)):
        if (name := f"source_image_{index}") in given:
            picture = Image.fromarray(pictured(cameras[int(given["camera_of_image"][index])], given[name]))
            pixels = square_pixels(picture, centred[index], 512)
            block_means[index] = pixels.unflatten(2, (16, 32)).unflatten(1, (16, 32)).mean((2, 4))
    return {
        "c2w_blender": blender(poses),
        "extrinsics_chunk0": poses @ torch.linalg.inv(given["original_to_chunk0"].double()),
        "intrinsics": intrinsics,
        "size_after_undistort": torch.tensor(sizes),
        "crop_source_image": torch.tensor([source for source, _ in crops]),
        "crop_box_left_top_size": torch.tensor(
            [(-1, -1, -1) if crop is None else (crop.left, crop.top, crop.size) for _, crop in crops]
        ),
        "crop_intrinsics": torch.stack(
            [
                intrinsics[source] if crop is None else crop_intrinsics(intrinsics[source], *sizes[source], crop)
                for source, crop in crops
            ]
        ),
        "center_crop_intrinsics": torch.stack(
            [crop_intrinsics(intrinsics[index], *sizes[index], crop) for index, crop in enumerate(centred)]
        ),
        "center_crop_image512_blockmean": block_means,
    }


def write_and_read(folder: Path, cameras: list[ColmapCamera], given: dict[str, Tensor]) -> ColmapModel:
    """The model of the case, through the text format."""
    lines = [
        " ".join(map(str, (index, camera.model, camera.width, camera.height, *camera.params)))
        for index, camera in enumerate(cameras)
    ]
    (folder / "cameras.txt").write_text("\n".join(lines))
    rows = zip(given["qvec_tvec"].double().tolist(), given["camera_of_image"].tolist(), strict=True)
    pictures = [f"{i} {' '.join(map(repr, pose))} {camera} picture {i}.png\n" for i, (pose, camera) in enumerate(rows)]
    (folder / "images.txt").write_text("\n".join(pictures))
    (folder / "points3D.txt").write_text("")
    return read_colmap(folder)


def pinhole(camera: ColmapCamera) -> tuple[Tensor, int, int]:
    intrinsics, width, height = camera.intrinsics_px, camera.width, camera.height
    if not camera.distortion.is_none:
        flat = undistorted_camera(intrinsics, camera.distortion, width, height)
        intrinsics, width, height = flat.intrinsics_px, flat.width, flat.height
    return torch.from_numpy(intrinsics / np.array([[width], [height], [1.0]])), width, height


def pictured(camera: ColmapCamera, pixels: Tensor) -> np.ndarray:
    array = pixels.byte().numpy()
    if camera.distortion.is_none:
        return array
    flat = undistorted_camera(camera.intrinsics_px, camera.distortion, camera.width, camera.height)
    return remapped(array, camera.intrinsics_px, camera.distortion, flat)


def cameras_json(case: Case) -> Outputs:
    matrices = [matrix.double().tolist() for matrix in case.inputs["transform_matrix"]]

    def content(*names: str) -> dict[str, Any]:
        """The file with these values, each of which a frame may override (`frame0_<name>` and so on)."""

        def given(prefix: str) -> dict[str, Any]:
            return {name: case.config[prefix + name] for name in names if prefix + name in case.config}

        frames = [{"transform_matrix": matrix, **given(f"frame{i}_")} for i, matrix in enumerate(matrices)]
        return {**given(""), "frames": frames}

    read = {
        "dslr": frames_from_json(content("w", "h", "fl_x", "fl_y", "cx", "cy"), world_from_file=SCANNETPP_WORLD),
        "sage": frames_from_json(content("camera_angle_x")),
    }
    outputs = {}
    for name, rows in read.items():
        poses = torch.stack([torch.from_numpy(frame.cam_from_world) for frame in rows])
        outputs[f"{name}_c2w_blender"] = blender(poses)
        outputs[f"{name}_intrinsics"] = torch.stack([torch.from_numpy(frame.intrinsics_unit) for frame in rows])
    return outputs


def view_selection(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    size = config["image_size"]
    cam_from_world = GLTF @ torch.linalg.inv(given["c2w_blender"].double())
    world_from_chunk = torch.linalg.inv(given["original_to_chunk"].double())
    intrinsics = given["intrinsics"].double()
    cam_from_chunk = cam_from_world[:, None] @ world_from_chunk
    areas = chunk_areas(cam_from_chunk, intrinsics)
    sees = sees_chunk(cam_from_chunk, intrinsics, min_area=config["min_area"])
    chosen = choose_scene_views(sees, config["num_imgs_per_scene"])
    crops = square_crops(*size)
    pool = [camera for camera in chosen for _ in crops]
    pool_intrinsics = torch.stack([crop_intrinsics(intrinsics, *size, crop) for _ in chosen for crop in crops])
    pool_sees = sees_chunk(cam_from_chunk[pool], pool_intrinsics[:, None], min_area=config["min_area"])
    views = choose_chunk_views(
        pool_sees, given["c2w_blender"].double()[pool, :3, 3], world_from_chunk[:, :3, 3], config["seed"]
    )
    return {
        "visible": sees.int(),
        "visible_at_thresholds": (areas[..., None] >= torch.tensor(config["thresholds"])).int(),
        "scene_camera_ids": torch.tensor(chosen),
        "pool_source": torch.tensor(pool),
        "pool_intrinsics": pool_intrinsics,
        "cond2d_pool_index": torch.tensor(views),
    }


CAPTURE = {
    "cameras.colmap": cameras_colmap,
    "cameras.json": cameras_json,
    "view_selection": view_selection,
    "pointcloud+tiling": point_cloud_tiling,
    "tiling.axis": tiling_axis,
    "tiling.box": tiling_box,
}
