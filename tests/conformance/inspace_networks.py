"""InSpace goldens of the coarse and the detail flow, in the grouped form; the dense twins must agree with it."""

import torch
from torch import Tensor

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.published import build_network
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.inspace.asset_views import overlap_groups
from scenewright.systems.inspace.detail_flow import MAX_PART_ID, DetailFlow, part_ids
from scenewright.systems.inspace.image_keys import KeySets, intended_keys, published_rows
from scenewright.systems.inspace.view_attention import face_readings, key_set_readings, project_views
from scenewright.systems.inspace.view_bias import voxel_view_bias
from scenewright.weights.config import IRRELEVANT_ARGUMENTS, config_from_json
from scenewright.weights.load import load_state
from tests.conformance.case import Case
from tests.conformance.inspace_detail import face_tokens, given_parts, group_numbers

Outputs = dict[str, Tensor]


@torch.no_grad()
def coarse_ss_flow(case: Case) -> Outputs:
    config, inputs = case.config, case.inputs
    flow = build_network("SparseStructureFlowModel", config["args"])
    load_state(flow, case.params, ignore=("rope_phases",)).eval()
    x, t, faces = inputs["x"], inputs["t"], inputs["face_tokens"]
    tokens = faces.flatten(1, 2)
    outputs = {"v_uncond": flow(x, t, None), "v_nomask": flow(x, t, tokens)}
    for scale in (1, 2):
        bias = voxel_view_bias(
            inputs["camera_center"],
            config["args"]["resolution"],
            camera_scale=float(scale),
            fov_deg=config["fov_degrees"],
            margin=config["soft_margin"],
        )
        outputs[f"v_cond_scale{scale}"] = flow(x, t, project_views(flow, tokens, face_readings(bias, faces.shape[2])))
    return outputs


def detail_network(case: Case) -> DetailFlow:
    irrelevant = {"part_max", "geometry", "scenes", "overlap_margin"} | IRRELEVANT_ARGUMENTS
    config = config_from_json(FlowConfig, case.config, irrelevant=irrelevant)
    network = DetailFlow(config, case.config.get("part_max", MAX_PART_ID))
    return load_state(network, case.params).eval()


@torch.no_grad()
def detail_flow(case: Case) -> Outputs:
    config, inputs, flow = case.config, case.inputs, detail_network(case)
    coords, count = inputs["coords"], config["scenes"]
    tokens = face_tokens(config["geometry"])
    rooms, keys, wrong = [], [], []
    for scene in range(count):
        rows = coords[coords[:, 0] == scene][:, 1:]
        room = given_parts(rows, inputs[f"part_slices_{scene}"], has_layout=bool(inputs["has_layout"][scene]))
        boxes = inputs[f"obbs_{scene}"]
        rooms.append(room)
        keys.append(intended_keys(room, boxes, inputs["camera_center"][scene], tokens, config["resolution"]))
        assert torch.equal(keys[-1].dense(), inputs[f"attend_{scene}"].bool())
        wrong.append(published_rows(keys[-1], room, boxes, config["overlap_margin"]))
    x = SparseTensor(inputs["feats"], VoxelSet(coords, count))
    ids = part_ids(rooms, config.get("part_max", MAX_PART_ID))
    t, cond, concat = inputs["t"], inputs["cond"], inputs.get("concat_cond")

    def velocity(sets: list[KeySets]) -> Tensor:
        readings = key_set_readings(sets, tokens.per_face)
        return flow.velocity_of_parts(x, ids, t, project_views(flow, cond, readings), concat).feats

    outputs = {
        "part_ids": ids,
        "tokens": flow.embed(x, ids, concat),
        "v": velocity(keys),
        "v_uncond": flow.velocity_of_parts(x, ids, t, None, concat).feats,
    }
    if case.module.endswith("published_bug"):
        groups = overlap_groups(inputs["obbs_0"], config["overlap_margin"])[1]
        outputs |= {"group": group_numbers(groups), "v_intended": outputs["v"], "v_published": velocity(wrong)}
    return outputs


NETWORK_MODULES = {
    "coarse_ss_flow": coarse_ss_flow,
    "detail_flow_published_bug": detail_flow,
    "detail_flow_shape": detail_flow,
    "detail_flow_texture": detail_flow,
}
