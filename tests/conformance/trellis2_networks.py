"""Adapters of the TRELLIS.2 network, sampler and stage goldens; networks are built and loaded by published names."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenewright.backbones.structure_vae import occupied_coords
from scenewright.backbones.trellis2.published import build_network
from scenewright.backbones.trellis2.sampling import (
    cascade_coords,
    sample_shape_latent,
    sample_texture_latent,
)
from scenewright.backbones.trellis2.shape_vae import ShapeFields, shape_features
from scenewright.backbones.trellis2.unet_blocks import (
    ConvNeXtBlock,
    DownBlock,
    NearestDownBlock,
    NearestUpBlock,
    UpBlock,
)
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.nn.blocks import BlockContext, ModulatedCrossBlock
from scenewright.nn.conv3d import pixel_shuffle_3d
from scenewright.nn.embed import TimestepEmbedder, absolute_position_embedding, grid_coords, timestep_frequencies
from scenewright.nn.rope import RotaryPhases, rotary_phases, rotate
from scenewright.nn.sparse_conv import SparseConv3d
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.flow import clean_sample, interpolate, velocity_target
from scenewright.samplers.guidance import Velocity, dense_deviation, guided, packed_deviation
from scenewright.samplers.schedule import rescaled_times
from scenewright.sparse.attention import Sequences
from scenewright.sparse.resample import downsample, upsample
from scenewright.sparse.subdivision import children_where, copy_to_children, grouped_by_parent, space_to_channel
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.training.clip import AdaptiveGradClipper
from scenewright.types import DualGrid
from scenewright.weights.load import load_state
from scenewright.weights.record import LatentStatistics
from tests.conformance.case import Case
from tests.support.image_losses import psnr, ssim
from tests.support.sparse_oracles import channel_to_space

Outputs = dict[str, Tensor]


def network(class_name: str, config: dict, params: dict[str, Tensor]) -> nn.Module:
    return load_state(build_network(class_name, config), params, ignore=("rope_phases",)).eval()


def under(params: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}


def sparse(inputs: dict[str, Tensor], feats: str = "feats") -> SparseTensor:
    return SparseTensor(inputs[feats], inputs["coords"].int())


def position_embedder(case: Case) -> Outputs:
    return {"emb": absolute_position_embedding(case.inputs["coords"], case.config["channels"])}


def timestep_embedder(case: Case) -> Outputs:
    width = case.config["frequency_embedding_size"]
    embedder = load_state(TimestepEmbedder(case.config["hidden_size"], width), case.params)
    return {"freq": timestep_frequencies(case.inputs["t"], width), "emb": embedder(case.inputs["t"])}


def rope_dense(case: Case) -> Outputs:
    x = case.inputs["x"]
    phases = rotary_phases(case.inputs["coords"], case.config["head_dim"], tuple(case.config["rope_freq"]))
    rows = RotaryPhases(phases.turns.repeat(len(x), 1))
    return {"cos": phases.turns.real, "sin": phases.turns.imag, "y": rotate(x.flatten(0, 1), rows).view_as(x)}


def rope_sparse(case: Case) -> Outputs:
    phases = rotary_phases(case.inputs["coords"][:, 1:], case.config["head_dim"], tuple(case.config["rope_freq"]))
    rotated = {name: rotate(case.inputs[name], phases) for name in ("q", "k")}
    return rotated | {"cos": phases.turns.real, "sin": phases.turns.imag}


def cross_block(case: Case) -> ModulatedCrossBlock:
    config = case.config
    block = ModulatedCrossBlock(
        config["channels"],
        config["ctx_channels"],
        config["num_heads"],
        config.get("mlp_ratio", 4.0),
        modulation="shared_offset" if config.get("share_mod") else "own",
        qk_rms_norm=config.get("qk_rms_norm", False),
        qk_rms_norm_cross=config.get("qk_rms_norm_cross", False),
    )
    return load_state(block, case.params)


def dense_cross_block(case: Case) -> Outputs:
    block, config = cross_block(case), case.config
    x, context = case.inputs["x"], case.inputs["context"]
    tokens, rows = Sequences.uniform(*x.shape[:2]), x.flatten(0, 1)
    phases = None
    if config["use_rope"]:
        phases = rotary_phases(grid_coords(config["grid"]).repeat(len(x), 1), config["channels"] // config["num_heads"])
    projected = block.cross_attn.project(context.flatten(0, 1), Sequences.uniform(*context.shape[:2]))
    return {
        "y": block(rows, case.inputs["mod"], BlockContext(projected), tokens, phases).view_as(x),
        "self_attn": block.self_attn(block.norm1(rows), tokens, phases).view_as(x),
        "cross_attn": block.cross_attn(block.norm2(rows), tokens, projected).view_as(x),
    }


def sparse_cross_block(case: Case) -> Outputs:
    block, config, inputs = cross_block(case), case.config, case.inputs
    x, context = sparse(inputs), inputs["context"]
    if "context_lengths" in inputs:
        sequences = Sequences(tuple(inputs["context_lengths"].tolist()))
    else:
        sequences, context = Sequences.uniform(*context.shape[:2]), context.flatten(0, 1)
    phases = None
    if config["use_rope"]:
        frequencies = tuple(config.get("rope_freq", (1.0, 10000.0)))
        phases = rotary_phases(x.coords[:, 1:], config["channels"] // config["num_heads"], frequencies)
    projected = block.cross_attn.project(context, sequences)
    return {"y": block(x.feats, inputs["mod"], BlockContext(projected), Sequences(x.voxels.lengths), phases)}


def structure_flow(case: Case) -> Outputs:
    model, inputs = network("SparseStructureFlowModel", case.config, case.params), case.inputs
    return {
        "v": model(inputs["x"], inputs["t"], inputs["cond"]),
        "v_zero_cond": model(inputs["x"], inputs["t"], None),
    }


def latent_flow(case: Case) -> Outputs:
    model, inputs = network("SLatFlowModel", case.config, case.params), case.inputs
    cond = inputs["cond"]
    if "cond_lengths" in inputs:
        cond = cond.split(inputs["cond_lengths"].tolist())
    return {"v": model(sparse(inputs), inputs["t"], cond, inputs.get("concat_cond")).feats}


def sparse_conv3d(case: Case) -> Outputs:
    config = case.config
    layer = SparseConv3d(
        config["in_channels"],
        config["out_channels"],
        config["kernel_size"],
        config.get("dilation", 1),
        bias="bias" in case.params,
    )
    return {"y": load_state(layer, case.params)(sparse(case.inputs)).feats}


def sparse_down_up(case: Case) -> Outputs:
    x = sparse(case.inputs)
    factor = case.config.get("factor", 2)
    down = downsample(x, factor, mode=case.config.get("mode", "mean"))
    up = upsample(down.replace(case.inputs["z"]), x.voxels, factor)
    # Without the memory of where the parents came from, the children are those that the subdivision selects.
    fresh = SparseTensor(case.inputs["z"], VoxelSet(down.coords))
    selected = copy_to_children(fresh, children_where(fresh.voxels, case.inputs["subdivision"].bool()))
    return {
        "down": down.feats,
        "down_coords": down.coords,
        "up": up.feats,
        "up_coords": up.coords,
        "up_sub": selected.feats,
        "up_sub_coords": selected.coords,
    }


def spatial2channel(case: Case) -> Outputs:
    x = sparse(case.inputs)
    down, division = space_to_channel(x), grouped_by_parent(x.voxels)
    back = channel_to_space(down.replace(case.inputs["z"]), division)
    return {
        "coords": down.coords,
        "feats": down.feats,
        "roundtrip_coords": back.coords,
        "roundtrip_feats": back.feats,
        "subdivision": division.occupancy,
    }


def channel2spatial(case: Case) -> Outputs:
    x = sparse(case.inputs)
    up = channel_to_space(x, children_where(x.voxels, case.inputs["subdivision"].bool()))
    return {"coords": up.coords, "feats": up.feats}


def convnext_block(case: Case) -> Outputs:
    block = ConvNeXtBlock(case.config["channels"], case.config.get("mlp_ratio", 4.0))
    return {"y": load_state(block, case.params)(sparse(case.inputs)).feats}


def resblock_s2c(case: Case) -> Outputs:
    block = load_state(DownBlock(case.config["channels"], case.config["out_channels"]), case.params)
    y = block(sparse(case.inputs))
    return {"coords": y.coords, "feats": y.feats}


def resblock_c2s(case: Case) -> Outputs:
    config, x = case.config, sparse(case.inputs)
    block = load_state(UpBlock(config["channels"], config["out_channels"], config["pred_subdiv"]), case.params)
    logits = block.predict(x) if config["pred_subdiv"] else case.inputs["subdiv"]
    y = block(x, children_where(x.voxels, logits > 0))
    return {"coords": y.coords, "feats": y.feats, "subdiv_logits": logits}


def resblock_nearest(case: Case) -> Outputs:
    sizes = case.config
    down_block = NearestDownBlock(sizes["down"]["channels"], sizes["down"]["out_channels"])
    up_block = NearestUpBlock(sizes["up"]["channels"], sizes["up"]["out_channels"])
    load_state(down_block, under(case.params, "down."))
    load_state(up_block, under(case.params, "up."))
    down = down_block(sparse(case.inputs))
    logits = up_block.predict(down)
    up = up_block(down, children_where(down.voxels, logits > 0))
    return {
        "down": down.feats,
        "down_coords": down.coords,
        "subdiv_logits": logits,
        "up": up.feats,
        "up_coords": up.coords,
    }


def shape_input(inputs: dict[str, Tensor]) -> SparseTensor:
    return shape_features(VoxelSet(inputs["coords"].int()), inputs["vertices"], inputs["intersected"].bool())


def shape_encoder(case: Case) -> Outputs:
    posterior = network("FlexiDualGridVaeEncoder", case.config, case.params)(shape_input(case.inputs))
    outputs = {
        "coords": posterior.mean.coords,
        "mean": posterior.mean.feats,
        "z": posterior.mean.feats,
        "logvar": posterior.log_variance,
    }
    divisions = enumerate(reversed(posterior.pyramid))
    return outputs | {f"subdivision_{k}": division.occupancy for k, division in divisions}


def meshes(grids: list[DualGrid], *, fan: bool = False) -> Outputs:
    outputs: Outputs = {}
    for index, grid in enumerate(grids):
        mesh = dual_grid_to_mesh(grid, fan=fan)
        outputs |= {f"mesh{index}_vertices": mesh.vertices, f"mesh{index}_faces": mesh.faces}
    return outputs


def shape_decoder(case: Case) -> Outputs:
    model, z = network("FlexiDualGridVaeDecoder", case.config, case.params), sparse(case.inputs)
    decoded = model(z)
    outputs = meshes(model.fields(decoded).dual_grids(case.config["resolution"]))
    outputs |= {"coords": decoded.voxels.coords, "raw": decoded.voxels.feats}
    for k, (division, logits) in enumerate(zip(decoded.pyramid, decoded.subdivision_logits, strict=True)):
        outputs |= {f"subdiv_coords_{k}": division.coarse.coords, f"subdiv_logits_{k}": logits}
    for k in range(model.num_steps + 1):
        outputs[f"upsample_coords_{k}"] = model.upsampled_coords(z, k)
    return outputs


def shape_training(case: Case) -> Outputs:
    encoder = network("FlexiDualGridVaeEncoder", case.config["encoder"], under(case.params, "encoder."))
    decoder = network("FlexiDualGridVaeDecoder", case.config["decoder"], under(case.params, "decoder."))
    posterior = encoder(shape_input(case.inputs))
    decoded = decoder(posterior.mean, posterior.pyramid)
    fields: ShapeFields = decoder.fields(decoded)
    grids = fields.dual_grids(case.config["decoder"]["resolution"], case.inputs["intersected"].bool())
    outputs = {
        "coords": decoded.voxels.coords,
        "vertices": fields.dual_vertices,
        "intersected_logits": fields.intersected_logits,
    }
    for k, (division, logits) in enumerate(zip(decoded.pyramid, decoded.subdivision_logits, strict=True)):
        outputs |= {f"subdiv_gt_{k}": division.occupancy, f"subdiv_logits_{k}": logits}
    return outputs | meshes(grids, fan=True)


def texture_decoder(case: Case) -> Outputs:
    model, z = network("SparseUnetVaeDecoder", case.config, case.params), sparse(case.inputs)
    pyramid, coarse = [], z.voxels
    for k in range(model.num_steps):
        pyramid.append(children_where(coarse, case.inputs[f"subdiv_logits_{k}"] > 0))
        coarse = pyramid[-1].fine
    decoded = model(z, tuple(pyramid))
    return {"guided": decoded.voxels.feats, "guided_coords": decoded.voxels.coords}


def structure_vae(case: Case) -> Outputs:
    config = case.config
    names = ("latent_channels", "num_res_blocks", "num_res_blocks_middle", "norm_type")
    shared = {name: config[name] for name in names if name in config}
    sizes = {"channels": config["channels_encoder"], "in_channels": config["in_channels"]}
    encoder = network("SparseStructureEncoder", shared | sizes, under(case.params, "encoder."))
    sizes = {"channels": config["channels_decoder"], "out_channels": config["out_channels"]}
    decoder = network("SparseStructureDecoder", shared | sizes, under(case.params, "decoder."))
    mean, log_variance = encoder(case.inputs["x"])
    return {"mean": mean, "logvar": log_variance, "z": mean, "logits": decoder(mean)}


def toy_velocity(case: Case, cond: Tensor, calls: list[float]) -> Velocity:
    """The closed-form network of the sampler goldens; `calls` collects the time of every evaluation."""
    weight, is_sparse = case.inputs["w"], case.config["sparse"]

    def per_row(values: Tensor, x: Tensor) -> Tensor:
        if is_sparse:
            return values[case.inputs["coords"][:, 0].long()]
        return values.view(*values.shape, *[1] * (x.ndim - 2))

    def velocity(x: Tensor, t: float, step: int) -> Tensor:
        calls.append(t)
        model_t = torch.full((len(cond),), 1000 * t)
        shaped = weight if is_sparse else weight.view(-1, *[1] * (x.ndim - 2))
        return shaped * x.tanh() + per_row(cond * (model_t / 250).cos()[:, None], x) + 0.1 * x

    return velocity


def sampler(case: Case) -> Outputs:
    params, sigma_min = case.config["params"], case.config["sigma_min"]
    calls: list[float] = []
    deviation = dense_deviation
    if case.config["sparse"]:
        deviation = packed_deviation(case.inputs["coords"][:, 0].long(), len(case.inputs["cond"]))
    # The plain sampler knows no guidance; the others guide by 3 unless told otherwise.
    strength = 1.0 if case.config["sampler"] == "FlowEulerSampler" else params.get("guidance_strength", 3.0)
    velocity = guided(
        toy_velocity(case, case.inputs["cond"], calls),
        toy_velocity(case, torch.zeros_like(case.inputs["cond"]), calls),
        strength - 1,
        tuple(params.get("guidance_interval", (0.0, 1.0))),
        rescale=params.get("guidance_rescale", 0.0),
        deviation=deviation,
        sigma_min=sigma_min,
    )
    times = rescaled_times(params.get("steps", 50), params.get("rescale_t", 1.0))
    states, estimates = [], []

    def record(step: int, t: float, x: Tensor, v: Tensor) -> None:
        states.append(x)
        estimates.append(clean_sample(x, v, t, sigma_min))

    final = euler(velocity, case.inputs["noise"], times, on_step=record)
    return {
        "samples": final,
        "pred_x_t": torch.stack([*states[1:], final]),
        "pred_x_0": torch.stack(estimates),
        "t_seq": torch.from_numpy(np.asarray(times)),
        "model_calls": torch.tensor([calls.count(float(t)) for t in times[:-1]]),
    }


def flow_matching_target(case: Case) -> Outputs:
    x_0, noise, sigma_min = case.inputs["x_0"], case.inputs["noise"], case.config["sigma_min"]
    t = case.inputs["t"].view(-1, *[1] * (x_0.ndim - 1))
    x_t, v = interpolate(x_0, noise, t, sigma_min), velocity_target(x_0, noise, sigma_min)
    return {"x_t": x_t, "v": v, "x_0_back": clean_sample(x_t, v, t, sigma_min)}


def image_losses(case: Case) -> Outputs:
    a, b = case.inputs["a"], case.inputs["b"]
    window = case.config.get("window_size", 11)
    # The golden's smooth L1 is that of the images times 4, so that both of its branches occur.
    losses = {"ssim": ssim(a, b, window), "smooth_l1": F.smooth_l1_loss(4 * a, 4 * b), "psnr": psnr(a, b)}
    return {name: value.reshape(1) for name, value in losses.items()}


def clipped_norms(norms: Tensor, config: dict) -> tuple[Tensor, Tensor]:
    """Norms after clipping, and the limit after every step; -1 stands for an infinite norm."""
    clipper = AdaptiveGradClipper(config["max_norm"], config["clip_percentile"], config["buffer_size"])
    after, limits = [], []
    for norm in norms.tolist():
        parameter = nn.Parameter(torch.zeros(4))
        parameter.grad = torch.full((4,), norm / 2 if norm >= 0 else torch.inf)
        clipper.clip([parameter])
        after.append(float(parameter.grad.norm()) if norm >= 0 else -1.0)
        limits.append(clipper.limit)
    return torch.tensor(after), torch.tensor(limits)


def adaptive_grad_clip(case: Case) -> Outputs:
    clipped, limits = clipped_norms(case.inputs["norms"], case.config)
    return {"clipped": clipped, "max_norm": limits}


def ss_to_coords(case: Case) -> Outputs:
    return {"coords": occupied_coords(case.inputs["logits"], case.config["resolution"])}


def cascade(case: Case) -> Outputs:
    config = case.config
    coords, resolution = cascade_coords(
        case.inputs["hr_coords"], config["lr_resolution"], config["resolution"], config["max_num_tokens"]
    )
    return {"coords": coords, "hr_resolution": torch.tensor([resolution])}


def stage_sampler(case: Case) -> SamplerConfig:
    params = dict(case.config["sampler_params"])
    params["guidance_interval"] = tuple(params.get("guidance_interval", (0.0, 1.0)))
    params["guidance_strength"] -= 1
    return SamplerConfig(**params, sigma_min=case.config["sigma_min"])


def statistics(case: Case, kind: str) -> LatentStatistics:
    values = case.config[f"{kind}_slat_normalization"]
    return LatentStatistics(tuple(values["mean"]), tuple(values["std"]))


def stage_shape_slat(case: Case) -> Outputs:
    inputs, model = case.inputs, network("SLatFlowModel", case.config["model"], case.params)
    voxels = VoxelSet(inputs["coords"].int())
    latent = sample_shape_latent(
        model, inputs["cond"], voxels, inputs["noise"], stage_sampler(case), statistics(case, "shape")
    )
    return {"slat": latent.feats}


def stage_tex_slat(case: Case) -> Outputs:
    inputs, model = case.inputs, network("SLatFlowModel", case.config["model"], case.params)
    latent = sample_texture_latent(
        model,
        inputs["cond"],
        sparse(inputs, "shape_slat"),
        inputs["noise"],
        stage_sampler(case),
        statistics(case, "tex"),
        statistics(case, "shape"),
    )
    return {"slat": latent.feats}


def pixel_shuffle(case: Case) -> Outputs:
    return {"y": pixel_shuffle_3d(case.inputs["x"], case.config["scale_factor"])}


MODULES = {
    "absolute_position_embedder": position_embedder,
    "adaptive_grad_clip": adaptive_grad_clip,
    "cascade_coords": cascade,
    "channel2spatial": channel2spatial,
    "fdg_vae_decoder": shape_decoder,
    "fdg_vae_encoder": shape_encoder,
    "fdg_vae_train": shape_training,
    "flow_matching_target": flow_matching_target,
    "image_losses": image_losses,
    "modulated_sparse_transformer_cross_block": sparse_cross_block,
    "modulated_transformer_cross_block": dense_cross_block,
    "pixel_shuffle_3d": pixel_shuffle,
    "rope_dense": rope_dense,
    "rope_sparse": rope_sparse,
    "sampler_cfg": sampler,
    "sampler_euler": sampler,
    "sampler_interval": sampler,
    "slat_flow": latent_flow,
    "sparse_conv3d": sparse_conv3d,
    "sparse_convnext_block": convnext_block,
    "sparse_down_up": sparse_down_up,
    "sparse_resblock_c2s": resblock_c2s,
    "sparse_resblock_nearest": resblock_nearest,
    "sparse_resblock_s2c": resblock_s2c,
    "sparse_unet_vae_decoder": texture_decoder,
    "spatial2channel": spatial2channel,
    "ss_flow": structure_flow,
    "ss_to_coords": ss_to_coords,
    "ss_vae": structure_vae,
    "stage_shape_slat": stage_shape_slat,
    "stage_tex_slat": stage_tex_slat,
    "timestep_embedder": timestep_embedder,
}
