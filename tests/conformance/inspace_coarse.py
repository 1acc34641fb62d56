"""InSpace goldens of the input side and the coarse stage: panorama geometry, view bias, structure inversion."""

import math

import torch
from torch import Tensor

from scenewright.geometry.camera.cubemap import wide_cube_faces, wide_face_rays
from scenewright.samplers.euler import euler
from scenewright.samplers.guidance import Velocity, dense_deviation, guided
from scenewright.samplers.schedule import rescaled_times
from scenewright.systems.inspace.inversion import inversion_start, inversion_times
from scenewright.systems.inspace.partial_geometry import (
    PartialGeometry,
    PointFilters,
    depth_scale,
    occupancy_in_known_room,
    occupancy_of_panorama,
)
from scenewright.systems.inspace.room_frame import RoomFrame, depth_points, depth_rays
from scenewright.systems.inspace.view_bias import voxel_view_bias
from tests.conformance.case import Case

Outputs = dict[str, Tensor]


def room_frame(case: Case) -> RoomFrame:
    x, y, z = case.inputs["norm_center"].double().tolist()
    return RoomFrame((x, y, z), float(case.inputs["norm_scale"]))


def world_from_camera(vectors: Tensor) -> Tensor:
    """OpenCV camera axes (right, down, forward) to world axes (right, forward, up)."""
    x, y, z = vectors.unbind(-1)
    return torch.stack([x, z, -y], -1)


def erp_rays(case: Case) -> Outputs:
    depth, camera, frame = case.inputs["depth"], case.inputs["camera_location"].double(), room_frame(case)
    rays = depth_rays(*depth.shape)
    points = depth_points(depth) + camera
    x, y, z = rays.unbind(-1)
    return {
        "ray_world": rays,
        "ray_camera": torch.stack([x, z, -y], -1),
        "points_world": points,
        "points_normalised": frame.to_cube(points),
        "camera_normalised": frame.to_cube(camera),
    }


def cubemap_faces(case: Case) -> Outputs:
    size, fov = case.config["face_size"], case.config["fov_deg"]
    rays = world_from_camera(wide_face_rays(case.config["ray_size"], fov))
    outputs = {"pixel_rays_world": rays}
    if "pano_float" in case.inputs:
        outputs["faces_float"] = wide_cube_faces(case.inputs["pano_float"], size, fov)
    if "pano_u8" in case.inputs:
        outputs["faces_u8"] = wide_cube_faces(case.inputs["pano_u8"].float(), size, fov).round()
    return outputs


def psg_room(case: Case) -> Outputs:
    inputs, config = case.inputs, case.config
    scale, num_valid = depth_scale(inputs["depth_pred"], inputs["depth_gt"])
    geometry = occupancy_in_known_room(
        inputs["depth_pred"].double() * scale,
        inputs["camera_location"],
        torch.stack([inputs["room_min"], inputs["room_max"]]),
        room_frame(case),
        ceiling_cut_m=config["ceiling_threshold"] if config["remove_ceiling"] else 0.0,
        resolution=config["resolution"],
    )
    return {
        "voxels": geometry.voxels,
        "counts": torch.tensor([num_valid, *geometry.counts]),
        "scale_factor": torch.tensor([scale], dtype=torch.float64),
        "camera_normalised": geometry.camera,
    }


def psg_custom(case: Case) -> Outputs:
    config = case.config
    crop = None
    if config["crop_bbox"] is not None:
        # Given for (right, up, back); ours are (right, forward, up).
        x0, x1, up0, up1, back0, back1 = config["crop_bbox"]
        crop = ((x0, -back1, up0), (x1, -back0, up1))
    filters = PointFilters(
        max_distance_m=config["max_depth"],
        ceiling_cut_m=config["ceiling_threshold"] if config["remove_ceiling"] else 0.0,
        yaw=-math.radians(config["rotation_yaw"]),
        distance_cap_m=config["max_depth_cap"],
        crop=crop,
        outlier_ratio=config["sor_std_ratio"],
    )
    geometry: PartialGeometry = occupancy_of_panorama(case.inputs["depth"], filters, resolution=config["resolution"])
    return {
        "voxels": geometry.voxels,
        "counts": torch.tensor(geometry.counts),
        "camera_center": geometry.camera,
        "norm_center": torch.tensor(geometry.frame.center, dtype=torch.float64),
        "norm_scale": torch.tensor([geometry.frame.scale], dtype=torch.float64),
    }


def coarse_view_bias(case: Case) -> Outputs:
    config, camera = case.config, case.inputs["camera_center"]

    def bias(scale: float, *, is_soft: bool = True) -> Tensor:
        return voxel_view_bias(
            camera,
            config["voxel_resolution"],
            camera_scale=scale,
            fov_deg=config["fov_degrees"],
            margin=config["soft_margin"],
            is_soft=is_soft,
        )

    outputs = {"bias_scale1": bias(1.0), "bias_scale2": bias(2.0)}
    outputs["bias_tokens_first8"] = outputs["bias_scale1"][0, :8].repeat_interleave(config["tokens_per_face"], 1)
    return outputs | {"bias_hard_scale1": bias(1.0, is_soft=False), "bias_hard_scale2": bias(2.0, is_soft=False)}


def toy_denoiser(toy: Tensor, cond: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """The closed-form network of the coarse goldens; `t` in [0, 1], one per sample."""
    a, b, c, d = toy.tolist()

    def per_channel(values: Tensor) -> Tensor:
        return values[..., None, None, None]

    bias = cond.mean(1).tanh()
    return a * x + b * x.roll(1, 1) + c * per_channel(bias) + d * t.view(-1, 1, 1, 1, 1)


def structure_inversion(case: Case) -> Outputs:
    config, inputs = case.config, case.inputs
    cond, noise, sigma_min = inputs["cond"], inputs["noise"], config["sigma_min"]
    steps, rescale = config["steps"], config["rescale_t"]
    calls = 0

    def toy(cond: Tensor) -> Velocity:
        def velocity(x: Tensor, t: float, step: int) -> Tensor:
            nonlocal calls
            calls += 1
            return toy_denoiser(inputs["toy"], cond, x, torch.full((len(x),), t))

        return velocity

    def guided_by(guidance: float, interval: tuple[float, float], rescale: float) -> Velocity:
        return guided(
            toy(cond),
            toy(torch.zeros_like(cond)),
            guidance - 1,
            interval,
            rescale=rescale,
            deviation=dense_deviation,
            sigma_min=sigma_min,
        )

    low, high = config["guidance_interval"]
    velocity = guided_by(config["guidance_strength"], (low, high), config["guidance_rescale"])
    outputs = {"plain": euler(velocity, noise, rescaled_times(steps, rescale))}
    for k, alpha in enumerate(config["alphas"]):
        start = inversion_start(inputs["z_psg"], noise, alpha, sigma_min)
        outputs[f"start_{k}"] = start
        evaluations = []
        for form in ("published_batch", "published_demo", "exact"):
            calls, times = 0, inversion_times(form, alpha, steps, rescale)
            outputs[f"{form}_{k}"] = euler(velocity, start, times)
            evaluations.append(calls)
            if form != "published_batch":
                outputs[f"t_seq_{form.removeprefix('published_')}_{k}"] = torch.from_numpy(times)
        outputs[f"model_calls_{k}"] = torch.tensor(evaluations)
    begin = config["snapshot_t"]
    outputs["training_snapshot"] = euler(
        guided_by(config["snapshot_guidance"], (0.0, 1.0), 0.0),
        inversion_start(inputs["z_psg"], noise, begin, sigma_min),
        inversion_times("training_snapshot", begin, config["snapshot_steps"], rescale),
    )
    return outputs


COARSE_MODULES = {
    "coarse_view_bias": coarse_view_bias,
    "cubemap_faces": cubemap_faces,
    "erp_rays": erp_rays,
    "psg_occupancy.custom": psg_custom,
    "psg_occupancy.room": psg_room,
    "structure_inversion": structure_inversion,
}
