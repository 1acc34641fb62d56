"""Adapters of GenRecon's networks: adapters merged at loading, flows with projection conditioning."""

import torch
from torch import Tensor, nn

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.geometry.camera.patches import camera_embedding, patch_of_points
from scenewright.nn.attention import CrossAttention, SelfAttention
from scenewright.sparse.attention import Sequences
from scenewright.sparse.tensor import SparseTensor
from scenewright.systems.genrecon.aggregator import AggregatorConfig, finest_of_children, seen_pairs
from scenewright.systems.genrecon.conditioning import EncodedViews, condition_points
from scenewright.systems.genrecon.flow import (
    ProjectedLatentFlow,
    ProjectedStructureFlow,
    merged_adapters,
    scene_context,
    unconditional_context,
)
from scenewright.weights.config import IRRELEVANT_ARGUMENTS, config_from_json
from scenewright.weights.load import load_state
from tests.conformance.case import Case
from tests.conformance.genrecon_conditioning import cell_centres, children_of

Outputs = dict[str, Tensor]


@torch.no_grad()
def lora_attention(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    width, heads, norm = config["channels"], config["num_heads"], config["qk_rms_norm"]
    layers = nn.ModuleDict(
        {
            "self": SelfAttention(width, heads, qk_rms_norm=norm),
            "cross": CrossAttention(width, config["ctx_channels"], heads, qk_rms_norm=norm),
        }
    )
    load_state(layers, case.params, view=lambda checkpoint: merged_adapters(checkpoint, config["alpha"]))
    x, context = given["x"], given["context"]
    tokens, rows = Sequences.uniform(*x.shape[:2]), x.flatten(0, 1)
    read = layers["cross"].project(context.flatten(0, 1), Sequences.uniform(*context.shape[:2]))
    return {
        "self": layers["self"](rows, tokens).view_as(x),
        "cross": layers["cross"](rows, tokens, read).view_as(x),
        "merged_to_qkv": layers["self"].to_qkv.weight,
    }


def loaded_flow(case: Case, kind: type) -> ProjectedStructureFlow | ProjectedLatentFlow:
    config = config_from_json(FlowConfig, case.config["args"], irrelevant=IRRELEVANT_ARGUMENTS)
    projection = case.config.get("projection", {})
    aggregator = AggregatorConfig(
        config.cond_channels,
        has_camera=projection.get("use_camera", False),
        refines_by_convolution=projection.get("conv_net", False),
        refines_by_attention=projection.get("self_attention", False),
    )
    alpha = case.config.get("lora", {}).get("alpha", 1)
    return load_state(
        kind(config, aggregator),
        case.params,
        ignore=("rope_phases",),
        view=lambda checkpoint: merged_adapters(checkpoint, alpha),
    ).eval()


def view_set(case: Case, sample: int) -> EncodedViews:
    return EncodedViews(*(case.inputs[name][sample] for name in ("img_feats", "extrinsics", "intrinsics")))


@torch.no_grad()
def structure_flow(case: Case) -> Outputs:
    flow, given = loaded_flow(case, ProjectedStructureFlow), case.inputs
    side, projection = flow.config.resolution, case.config["projection"]
    refinement = projection.get("refinement_factor", 1)
    points = cell_centres(side * refinement)
    features = given["img_feats"]
    patch, seen = patch_of_points(points, given["extrinsics"], given["intrinsics"], view_set(case, 0).patches)
    camera = camera_embedding(points, given["extrinsics"]) if flow.aggregator.config.has_camera else None
    pairs = seen_pairs(patch, seen, features.shape[2], skipped=5, camera=camera)
    rows = flow.aggregator(features.flatten(0, 2), pairs).view(len(features), len(points), -1)
    condition = flow.aggregator.on_grid(rows, side, refinement)
    context = scene_context(flow, features[:, 0], condition.flatten(0, 1))
    x, t = given["x"], given["t"]
    return {
        "cond_3D": condition,
        "v_cond": flow(x, t, context),
        "v_uncond": flow(x, t, unconditional_context(flow)),
    }


@torch.no_grad()
def latent_flow(case: Case) -> Outputs:
    flow, given = loaded_flow(case, ProjectedLatentFlow), case.inputs
    coords = given["coords"].int()
    refinement = case.config.get("projection", {}).get("refinement_factor", 1)
    fine = children_of(coords, refinement)
    points = (fine[:, 1:] + 0.5) / (flow.config.resolution * refinement) - 0.5
    rows = [
        condition_points(flow.aggregator, view_set(case, sample), points[fine[:, 0] == sample])
        for sample in range(len(given["img_feats"]))
    ]
    condition = finest_of_children(torch.cat(rows), refinement)
    x, concat = SparseTensor(given["x"], coords), given.get("concat_cond")
    # Projections made for every block anew give the same as kept ones.
    context = scene_context(flow, given["img_feats"][:, 0], condition, kept_bytes=0)
    return {
        "cond_3D": condition,
        "v_cond": flow(x, given["t"], context, concat).feats,
        "v_uncond": flow(x, given["t"], unconditional_context(flow), concat).feats,
    }


NETWORKS = {"lora": lora_attention, "slat_flow_genrecon": latent_flow, "ss_flow_genrecon": structure_flow}
