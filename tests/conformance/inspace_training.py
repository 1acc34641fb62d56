"""InSpace goldens of training: coarse samples, detail samples, micro-batches, sampling weights, losses."""

import random

import torch
from torch import Tensor

from scenewright.samplers.flow import interpolate, velocity_target
from scenewright.systems.inspace.asset_views import asset_visibility
from scenewright.systems.inspace.training_samples import (
    PartLatent,
    area_weights,
    balanced_micro_batches,
    pair_assets,
    room_sample,
    visible_pairs,
)
from scenewright.training.flow_matching import TimeSchedule, flow_loss, without_condition
from scenewright.weights.record import LatentStatistics
from tests.conformance.case import Case
from tests.conformance.inspace_coarse import toy_denoiser
from tests.conformance.inspace_detail import slices_of

Outputs = dict[str, Tensor]


def coarse_train(case: Case) -> Outputs:
    inputs, config, sigma_min = case.inputs, case.config, case.config["sigma_min"]
    x_0, noise, t = inputs["x_0"], inputs["noise"], inputs["t"]
    cond = without_condition(inputs["cond"], inputs["drop"].bool())
    low, high = config["t_range"]
    t_init = low + (high - low) * inputs["u"]

    def noised(x: Tensor, t: Tensor) -> Tensor:
        return interpolate(x, noise, t.view(-1, 1, 1, 1, 1), sigma_min)

    x_t, x_t_init = noised(x_0, t), noised(inputs["x_init"], t_init)
    velocity = toy_denoiser(inputs["toy"], cond, x_t, t)
    from_init = toy_denoiser(inputs["toy"], cond, x_t_init, t_init)
    per_sample = [flow_loss(*rows, sigma_min=sigma_min) for rows in zip(velocity, x_0, noise, strict=True)]
    return {
        "t_logit_normal": TimeSchedule("logit_normal", *config["logit_normal"]).logit_normal(inputs["randn"]),
        "cond_used": cond,
        "x_t": x_t,
        "target": velocity_target(x_0, noise, sigma_min),
        "loss": flow_loss(velocity, x_0, noise, sigma_min=sigma_min).reshape(1),
        "loss_per_sample": torch.stack(per_sample),
        "t_initial_voxel": t_init,
        "x_t_initial_voxel": x_t_init,
        "loss_initial_voxel": flow_loss(from_init, x_0, noise, sigma_min=sigma_min).reshape(1),
    }


def training_sample(case: Case) -> Outputs:
    config, inputs = case.config, case.inputs
    pairs = pair_assets(config["bbox_files"], config["latent_files"])
    seed = config["python_random_seed"]
    kept = visible_pairs(
        pairs,
        inputs["obbs"],
        inputs["camera_center"],
        threshold=config["visibility_threshold"],
        max_assets=config["max_assets"],
        rng=None if seed is None else random.Random(seed),
    )

    def latent(name: str) -> PartLatent:
        return PartLatent(inputs[f"{name}_coords"], inputs[f"{name}_feats"], inputs.get(f"{name}_shape_feats"))

    shape_statistics = None
    if config["texture"]:
        shape_statistics = LatentStatistics(tuple(config["shape_mean"]), tuple(config["shape_std"]))
    sample = room_sample(
        latent("overall"),
        latent("layout") if config["has_layout"] else None,
        [latent(f"asset_{pair.latent}") for pair in kept],
        inputs["obbs"][[pair.box for pair in kept]],
        LatentStatistics(tuple(config["mean"]), tuple(config["std"])),
        shape_statistics,
    )
    visible = asset_visibility(inputs["obbs"], inputs["camera_center"]).visible(config["visibility_threshold"])
    outputs = {
        "visible_boxes": visible.nonzero()[:, 0],
        "asset_box": torch.tensor([pair.box for pair in kept]),
        "asset_latent": torch.tensor([pair.latent for pair in kept]),
        "coords": sample.parts.coords,
        "feats": sample.feats,
        "obbs": sample.boxes,
        "part_slices": slices_of(sample.parts),
    }
    return outputs if sample.shape is None else outputs | {"shape_feats": sample.shape}


def training_batch_split(case: Case) -> Outputs:
    groups = balanced_micro_batches(case.inputs["loads"].tolist(), case.config["batch_split"])
    rows = torch.tensor([sample for group in groups for sample in group])
    return {"rows": rows, "image_row": rows, "sizes": torch.tensor([len(group) for group in groups])}


def room_area_weights(case: Case) -> Outputs:
    weights = area_weights(case.inputs["areas"], case.config["bounds"], case.config["weights"])
    return {"weights": weights, "probability": weights / weights.sum()}


def detail_training_loss(case: Case) -> Outputs:
    inputs, sigma_min = case.inputs, case.config["sigma_min"]
    x_0, noise, batch, t = inputs["x0"], inputs["noise"], inputs["batch_index"].long(), inputs["t"]
    per_scene = [
        flow_loss(inputs["pred"][batch == b], x_0[batch == b], noise[batch == b], sigma_min=sigma_min)
        for b in range(len(t))
    ]
    return {
        "x_t": interpolate(x_0, noise, t[batch, None], sigma_min),
        "target": velocity_target(x_0, noise, sigma_min),
        "loss": flow_loss(inputs["pred"], x_0, noise, sigma_min=sigma_min),
        "mse_per_scene": torch.stack(per_scene),
        "model_t": 1000 * t,
        "dropped_cond": without_condition(inputs["cond"], inputs["uniform_draw"] < case.config["p_uncond"]),
    }


TRAINING_MODULES = {
    "area_weights": room_area_weights,
    "coarse_train": coarse_train,
    "detail_training_loss": detail_training_loss,
    "training_batch_split": training_batch_split,
    "training_sample": training_sample,
}
