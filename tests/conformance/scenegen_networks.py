"""SceneGen goldens of the networks, the joint sampler, poses and training losses; published names throughout."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from scenewright.nn.attention import SelfAttention
from scenewright.nn.precision import cast_torso
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.flow import interpolate
from scenewright.sparse.attention import Sequences
from scenewright.systems.scenegen.block import SceneBlock
from scenewright.systems.scenegen.condition import SceneCondition, SceneContext
from scenewright.systems.scenegen.config import SceneFlowConfig, scene_flow_config
from scenewright.systems.scenegen.losses import LossBalance, LossConfig, collision_ratio, denoised, scene_losses
from scenewright.systems.scenegen.poses import centred_in_unit_cube, scene_points
from scenewright.systems.scenegen.position_head import PositionHead, with_query_at_identity
from scenewright.systems.scenegen.sampling import integrate_scene
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow
from scenewright.weights.load import load_state
from tests.conformance.case import Case
from tests.support.scenegen_published import published_assembly, relative_poses


def scene_self_attention(case: Case) -> dict[str, Tensor]:
    config, x = case.config, case.inputs["x"]
    layer = SelfAttention(config["channels"], config["num_heads"], qk_rms_norm=config["qk_rms_norm"])
    load_state(layer, case.params)
    kind, rows = config.get("type", "global"), x.flatten(0, 1)
    if kind not in ("global", "self"):
        raise ValueError(f"Attention of type '{kind}' is not a self-attention; global and self are.")
    sequences = Sequences.uniform(1, len(rows)) if kind == "global" else Sequences.uniform(*x.shape[:2])
    return {"y": layer(rows, sequences).view_as(x)}


def scene_block(case: Case) -> dict[str, Tensor]:
    config, x = case.config, case.inputs["x"]
    sizes = SceneFlowConfig(
        model_channels=config["channels"],
        cond_channels=config["ctx_channels"],
        num_heads=config["num_heads"],
        mlp_ratio=float(config["mlp_ratio"]),
        share_mod=config["share_mod"],
        qk_rms_norm=config["qk_rms_norm"],
        qk_rms_norm_cross=config["qk_rms_norm_cross"],
        num_register_tokens=config["num_register_tokens"],
        local_context_tokens=config["local_context_tokens"],
    )
    block = load_state(SceneBlock(sizes), case.params)
    outputs: dict[str, Tensor] = {}
    for name in ("self_attn", "cross_attn", "global_attn", "global_cross_attn", "mlp"):
        block.get_submodule(name).register_forward_hook(_keep(outputs, f"sub_{name}", len(x)))
    context = block.project(SceneCondition(case.inputs["context"]), (len(x),))
    rows = block(x.flatten(0, 1), case.inputs["mod"], context, Sequences.uniform(*x.shape[:2]))
    outputs["y"] = rows.view_as(x)
    return outputs


def _keep(outputs: dict[str, Tensor], name: str, count: int) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
        outputs[name] = output.unflatten(0, (count, -1))

    return hook


def _flow(
    arguments: dict[str, Any], params: dict[str, Tensor], kind: type[SceneStructureFlow] = SceneStructureFlow
) -> SceneStructureFlow:
    network = kind(scene_flow_config(arguments))
    # The file leaves out the derived buffer that published checkpoints hold.
    load_state(network, params | {"pos_emb": network.pos_emb.clone()})
    if arguments.get("use_fp16"):
        cast_torso(network.torso, torch.float16)
    return network.eval()


@torch.no_grad()
def scene_flow(case: Case) -> dict[str, Tensor]:
    network = _flow(case.config, case.params)
    x, t, cond = (case.inputs[name] for name in ("x", "t", "cond"))
    velocity, poses = network.velocity_and_poses(x, t, network.project_scene(SceneCondition(cond)))
    zero_velocity, zero_poses = network.velocity_and_poses(x, t, None)
    assert poses is not None
    assert zero_poses is not None
    return {
        "pos_emb": network.pos_emb,
        "v": velocity,
        "positions": with_query_at_identity(poses),
        "positions_train_mode": poses,
        "v_zero_cond": zero_velocity,
        "positions_zero_cond": with_query_at_identity(zero_poses),
    }


# Activations that the published head knows, and those of the checkpoint per columns of a pose, which the library has.
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "exp": torch.exp,
    "inv_log": lambda x: x.sign() * x.abs().expm1(),
}
_POSE_ACTIVATIONS = {
    "trans_act": (slice(0, 3), "linear"),
    "quat_act": (slice(3, 7), "linear"),
    "s_act": (slice(7, 8), "relu"),
}


@torch.no_grad()
def position_head(case: Case) -> dict[str, Tensor]:
    config = case.config
    sizes = SceneFlowConfig(
        model_channels=config["model_channels"],
        num_heads=config["num_heads"],
        mlp_ratio=float(config["mlp_ratio"]),
        trunk_depth=config["trunk_depth"],
        num_iteration=config["num_iteration"],
    )
    head = load_state(PositionHead(sizes), case.params)
    tokens = case.inputs["position_token"][:, 0]
    deltas, poses = torch.stack(head.refinements(tokens)), head(tokens)
    for name, (columns, published) in _POSE_ACTIVATIONS.items():
        if config.get(name, published) != published:
            poses[:, columns] = _ACTIVATIONS[config[name]](deltas.sum(0)[:, columns])
    return {
        "delta_per_iteration": deltas,
        "pose_train": poses,
        "pose_eval": with_query_at_identity(poses),
    }


@torch.no_grad()
def _sampled(case: Case, conditions: Tensor) -> dict[str, Tensor]:
    times: list[Tensor] = []
    used: list[int] = []

    class WatchedFlow(SceneStructureFlow):
        def velocity_and_poses(
            self, x: Tensor, t: Tensor, context: SceneContext | None, *, with_poses: bool = True
        ) -> tuple[Tensor, Tensor | None]:
            times.append(t[0])
            used.append(-1 if context is None else next(k for k, view in enumerate(views) if view is context))
            return super().velocity_and_poses(x, t, context, with_poses=with_poses)

    network = _flow(case.config["model"], case.params, WatchedFlow)
    published = case.config["sampler"]
    config = SamplerConfig(
        steps=published["steps"],
        guidance_strength=published["cfg_strength"],
        guidance_interval=tuple(published["cfg_interval"]),
        rescale_t=published["rescale_t"],
        sigma_min=published["sigma_min"],
    )
    views = [network.project_scene(SceneCondition(cond)) for cond in conditions]
    states: list[Tensor] = []
    poses: dict[int, list[Tensor]] = {}

    samples, last = integrate_scene(
        network,
        views,
        case.inputs["noise"],
        config,
        on_step=lambda step, t, x, v: states.append(x),
        on_poses=lambda step, pose: poses.setdefault(step, []).append(pose),
    )
    per_step = [with_query_at_identity(torch.stack(poses[step]).mean(0)) for step in range(config.steps)]
    occupied = (samples[:, 0] > 0).nonzero()
    return {
        "samples": samples,
        "positions": with_query_at_identity(last),
        "pred_pos_t": torch.stack(per_step),
        "pred_x_t": torch.stack([*states[1:], samples]),
        "eval_t": torch.stack(times),
        "eval_view": torch.tensor(used, dtype=torch.int32),
        "eval_is_uncond": torch.tensor([view < 0 for view in used], dtype=torch.int32),
        "coords_positive_channel0": occupied.int(),
    }


def scene_sampler(case: Case) -> dict[str, Tensor]:
    return _sampled(case, case.inputs["cond"][None])


def scene_sampler_multiview(case: Case) -> dict[str, Tensor]:
    return _sampled(case, case.inputs["cond_views"])


def pose_assembly(case: Case) -> dict[str, Tensor]:
    poses = case.inputs["positions"]
    vertices = [case.inputs[f"vertices_{index}"] for index in range(case.config["N"])]
    outputs: dict[str, Tensor] = {}
    for number, order in enumerate(case.config["orders"]):
        assembly = published_assembly(poses, vertices, order)
        outputs[f"order{number}/bounds"] = assembly.bounds
        outputs[f"order{number}/returned_positions"] = assembly.positions
        for index, (transform, points) in enumerate(zip(assembly.transforms, assembly.vertices, strict=True)):
            outputs[f"order{number}/transform_{index}"] = transform
            outputs[f"order{number}/world_vertices_{index}"] = points
    return outputs


def voxel_assembly(case: Case) -> dict[str, Tensor]:
    points = scene_points(case.inputs["coords"], case.inputs["positions"], case.config["resolution"])
    return {"scene_points_unit_cube": centred_in_unit_cube(points)}


def scene_training_losses(case: Case) -> dict[str, Tensor]:
    published = case.config
    config = LossConfig(
        translation_weight=published["trans_weight"],
        rotation_weight=published["rot_weight"],
        scale_weight=published["scale_weight"],
        collision_weight=published["collision_loss_weight"],
        pose_beta=published["smooth_scale"],
        collision_beta=published["collision_smooth_scale"],
        min_balance=published["position_weight_min_ratio"],
        max_balance=published["position_weight_max_ratio"],
        sigma_min=published["sigma_min"],
    )
    balance, outputs = LossBalance(), {}
    for step in sorted({name.split("/")[0] for name in case.inputs}):
        given = {name.partition("/")[2]: x for name, x in case.inputs.items() if name.startswith(f"{step}/")}
        t, x_0, noise, velocity = (given[name] for name in ("t", "x_0", "noise", "pred_v"))
        x_t = interpolate(x_0, noise, t.view(-1, 1, 1, 1, 1), config.sigma_min)
        result = {"x_t": x_t, "t_in": 1000 * t}
        collision = None
        if published["use_collision_loss"] and len(x_0) > 1:
            result["x_0_pred"] = denoised(x_t, velocity, t, config.sigma_min)
            collision = collision_ratio(
                given["occupied_voxels"],
                given["positions"],
                occupancy_resolution=published["occupancy_resolution"],
                cells=published["collision_resolution"],
            )
        losses = scene_losses(
            velocity, given["pred_positions"], x_0, noise, given["positions"], balance, config, collision
        )
        result |= {"loss": losses.loss, "mse": losses.mse}
        if losses.pose is not None:
            result |= {
                "pos_loss": losses.pose,
                "pos_weight": torch.tensor(losses.pose_weight),
                "ema_ratio": torch.tensor(balance.average),
                "trans_loss": losses.log["translation_error"],
                "rot_loss": losses.log["rotation_error"],
                "scale_loss": losses.log["scale_error"],
            }
        if collision is not None:
            result["collision_ratio"] = collision
        outputs |= {f"{step}/{name}": value for name, value in result.items()}
    return outputs


def training_positions(case: Case) -> dict[str, Tensor]:
    given, outputs = case.inputs, {}
    for name, order in case.outputs.items():
        if not name.startswith("order_"):
            continue
        poses = relative_poses(given["translation"], given["euler_xyz_deg"], given["scale"], order)
        # A quaternion and its negative are one rotation; the file's sign is a routine's accident.
        expected = case.outputs[name.replace("order", "positions")]
        sign = (poses[:, 3:7] * expected[:, 3:7]).sum(1, keepdim=True).sign()
        poses = torch.cat([poses[:, :3], sign * poses[:, 3:7], poses[:, 7:]], 1)
        outputs |= {name: order, name.replace("order", "positions"): poses}
    return outputs


NETWORK_MODULES = {
    "pose_assembly": pose_assembly,
    "position_head": position_head,
    "scene_block": scene_block,
    "scene_flow": scene_flow,
    "scene_losses": scene_training_losses,
    "scene_sampler": scene_sampler,
    "scene_sampler_multiview": scene_sampler_multiview,
    "scene_self_attention": scene_self_attention,
    "training_positions": training_positions,
    "voxel_assembly": voxel_assembly,
}
