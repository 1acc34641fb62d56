"""InSpace goldens of the box network: dense outputs, decoding, targets, loss."""

import torch
from torch import Tensor

from scenewright.systems.inspace.box_decoding import BoxDecoding, decode_boxes
from scenewright.systems.inspace.box_network import BoxNetwork, BoxNetworkConfig, DenseBoxes
from scenewright.systems.inspace.box_targets import BoxLossWeights, BoxTargets, box_loss, box_targets
from scenewright.weights.load import load_state
from tests.conformance.case import Case

Outputs = dict[str, Tensor]


def bbox_network(case: Case) -> Outputs:
    sizes = case.config["args"]
    config = BoxNetworkConfig(sizes["voxel_resolution"], sizes["base_channels"], sizes["num_rot_bins"])
    network = load_state(BoxNetwork(config), case.params).eval()
    with torch.no_grad():
        dense = network(case.inputs["voxels"])
    sample, x, y, z = case.inputs["probe"].long().T
    outputs = {"heatmap_logits": dense.heat_logits}
    values = {
        "heatmap": dense.heat,
        "offset": dense.offset,
        "size": dense.size,
        "rot_bin_logits": dense.yaw_bin_logits,
        "rot_bin_res": dense.yaw_residual,
    }
    for name, value in values.items():
        flat = value.flatten(2)
        outputs[f"{name}_at"] = value[sample, :, x, y, z]
        outputs[f"{name}_mean"] = flat.mean(2)
        outputs[f"{name}_std"] = flat.std(2, unbiased=False)
    return outputs


def bbox_decode(case: Case) -> Outputs:
    inputs, config = case.inputs, case.config
    dense = GivenBoxes(inputs)
    settings = BoxDecoding(
        config["score_threshold"], config["nms_kernel"], config["iou_nms_threshold"], config["max_detections"]
    )
    outputs: Outputs = {}
    for room, found in enumerate(decode_boxes(dense, settings)):
        outputs[f"centers_{room}"] = found.boxes[:, :3]
        outputs[f"sizes_{room}"] = found.boxes[:, 3:6]
        outputs[f"yaw_{room}"] = found.boxes[:, 6:]
        outputs[f"scores_{room}"] = found.scores[:, None]
    return outputs


class GivenBoxes(DenseBoxes):
    """Dense outputs whose activations are given instead of raw values, exact to the last bit (thresholds, ties)."""

    def __init__(self, inputs: dict[str, Tensor]) -> None:
        raw = inputs["heatmap"], inputs["offset"], inputs["size"], inputs["rot_bin_logits"], inputs["rot_bin_res"]
        super().__init__(*raw)

    @property
    def heat(self) -> Tensor:
        return self.heat_logits

    @property
    def size(self) -> Tensor:
        return self.size_raw


def targets_of(case: Case, boxes: Tensor, mask: Tensor) -> BoxTargets:
    config = case.config
    return box_targets(
        boxes[: int(mask.sum())],
        config["resolution"],
        sigmas=(config["min_sigma"], config["max_sigma"]),
        num_yaw_bins=config["num_rot_bins"],
    )


def bbox_targets(case: Case) -> Outputs:
    targets = targets_of(case, case.inputs["gt_bboxes"], case.inputs["gt_mask"])
    return {
        "heatmap": targets.heat[None],
        "dense_weight": targets.heat[None],
        "dense_yaw": targets.dense_yaw[None],
        "center_index": targets.index,
        "offset": targets.offset,
        "size": targets.size,
        "yaw": targets.yaw,
        "rot_bin": targets.yaw_bin,
        "rot_residual_norm": targets.yaw_residual,
    }


def bbox_loss(case: Case) -> Outputs:
    inputs, config = case.inputs, case.config
    names = ("heatmap_logits", "offset", "size_raw", "rot_bin_logits", "rot_bin_res")
    pairs = zip(inputs["gt_bboxes"], inputs["gt_mask"], strict=True)
    targets = [targets_of(case, boxes, mask) for boxes, mask in pairs]
    weights = BoxLossWeights(
        config["lambda_heatmap"],
        config["lambda_offset"],
        config["lambda_size"],
        config["lambda_rot_bin"],
        config["lambda_rot_res"],
        config["lambda_dense_rot"],
        config["dense_rot_weight_threshold"],
    )
    terms = box_loss(DenseBoxes(*(inputs[name] for name in names)), targets, weights)
    published = {
        "heatmap": "heat",
        "offset": "offset",
        "size": "size",
        "rot_bin": "yaw_bin",
        "rot_res": "yaw_residual",
        "dense_rot": "dense_yaw",
        "loss": "loss",
    }
    outputs = {name: terms[ours].reshape(1) for name, ours in published.items()}
    heat = torch.stack([room.heat for room in targets])
    outputs["num_centers"] = torch.tensor([sum(len(room.index) for room in targets)])
    outputs["num_dense"] = (heat > weights.dense_threshold).sum().reshape(1)
    return outputs


BOX_MODULES = {
    "bbox_decode": bbox_decode,
    "bbox_loss": bbox_loss,
    "bbox_network": bbox_network,
    "bbox_targets": bbox_targets,
}
