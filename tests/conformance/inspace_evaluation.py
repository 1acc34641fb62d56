"""InSpace goldens of its evaluation: cells, surfaces, assets, pictures, boxes."""

import math

import numpy as np
import torch
from torch import Tensor

from scenewright.metrics.box_detection import IouKind, box_iou, detection_score, match_best
from scenewright.metrics.image_similarity import psnr
from scenewright.metrics.point_clouds import cloud_distances
from scenewright.metrics.voxels import match_parts, voxel_overlap
from tests.conformance.case import Case

Outputs = dict[str, Tensor]
KINDS: tuple[IouKind, ...] = ("aabb3d", "aabb2d", "obb3d", "obb2d")


def voxel_iou(case: Case) -> Outputs:
    overlap = voxel_overlap(case.inputs["pred_coords"], case.inputs["gt_coords"])
    values = {
        "pred_voxels": overlap.predicted,
        "gt_voxels": overlap.true,
        "voxel_iou": overlap.iou,
        "voxel_precision": overlap.precision,
        "voxel_recall": overlap.recall,
        "voxel_f1": overlap.f1,
    }
    return {name: torch.tensor(float(value)) for name, value in values.items()}


def chamfer_f1(case: Case) -> Outputs:
    distances = cloud_distances(case.inputs["pred_points"], case.inputs["gt_points"])
    thresholds = case.config["thresholds"]
    return {
        "chamfer_distance": torch.tensor(distances.chamfer / 2),
        "mean_sq_pred_to_gt": torch.tensor(distances.chamfer_to_truth),
        "mean_sq_gt_to_pred": torch.tensor(distances.chamfer_to_prediction),
        "precision": torch.tensor([distances.precision(t) for t in thresholds]),
        "recall": torch.tensor([distances.recall(t) for t in thresholds]),
        "f1": torch.tensor([distances.fscore(t) for t in thresholds]),
    }


def asset_matching(case: Case) -> Outputs:
    inputs, config = case.inputs, case.config
    parts = [inputs["pred_coords"][a:b] for a, b in inputs["part_slices"].tolist()[config["asset_start"] :]]
    count = sum(name.startswith("gt_") for name in inputs)
    truths = [inputs[f"gt_{k}_coords"] for k in range(count)]
    matches = match_parts(parts, truths, config["max_distance"])
    overlaps = [voxel_overlap(parts[m.predicted], truths[m.true]) for m in matches]
    enough = config["min_voxels_for_chamfer"]
    evaluated = [min(len(parts[m.predicted]), len(truths[m.true])) >= enough for m in matches]
    return {
        "match_pred": torch.tensor([m.predicted for m in matches]),
        "match_gt": torch.tensor([m.true for m in matches]),
        "match_distance": torch.tensor([m.distance for m in matches]),
        "asset_voxel_iou": torch.tensor([o.iou for o in overlaps]),
        "asset_voxel_f1": torch.tensor([o.f1 for o in overlaps]),
        "mean_asset_voxel_iou": torch.tensor(np.mean([o.iou for o in overlaps]) if overlaps else 0.0),
        "detection_recall": torch.tensor(len(matches) / max(len(truths), 1)),
        "detection_precision": torch.tensor(len(matches) / max(len(parts), 1)),
        "chamfer_evaluated": torch.tensor(evaluated).int(),
    }


def psnr_concat(case: Case) -> Outputs:
    picture = case.inputs["concat"].permute(2, 0, 1).double() / 255
    half = picture.shape[2] // 2
    return {"psnr": torch.tensor(psnr(picture[..., half:], picture[..., :half]))}


def box_ious(case: Case) -> Outputs:
    pred, gt = case.inputs["pred"].numpy(), case.inputs["gt"].numpy()
    return {
        f"iou{kind[4:] if kind[0] == 'a' else kind[3:]}_{kind[:-2]}": torch.from_numpy(box_iou(pred, gt, kind))
        for kind in KINDS
    }


def box_detection(case: Case) -> Outputs:
    inputs, config = case.inputs, case.config
    rooms = [(inputs[f"pred_{k}"].numpy(), inputs[f"gt_{k}"].numpy()) for k in range(config["scenes"])]
    outputs: Outputs = {}
    for kind in KINDS:
        scores = [detection_score(rooms, kind, threshold) for threshold in config["thresholds"]]
        outputs[f"{kind}_tp"] = torch.tensor([score.hits for score in scores])
        for name in ("precision", "recall", "f1"):
            outputs[f"{kind}_{name}"] = torch.tensor([getattr(score, name) for score in scores])
    lowest = min(config["thresholds"])
    for kind in ("aabb3d", "obb3d"):
        matched = [match_best(a, b, box_iou(a, b, kind), lowest) for a, b in rooms]
        pairs = [
            (match, float(scale)) for found, scale in zip(matched, inputs["scale"], strict=True) for match in found
        ]
        outputs[f"{kind}_mean_iou"] = torch.tensor(np.mean([match.iou for match, _ in pairs]))
        outputs[f"{kind}_mean_rot_deg"] = torch.tensor(np.mean([math.degrees(match.yaw_error) for match, _ in pairs]))
        if kind == "aabb3d":
            outputs["median_iou"] = torch.tensor(np.median([match.iou for match, _ in pairs]))
            for name in ("center_error", "size_error"):
                errors = np.array([getattr(match, name) for match, _ in pairs])
                scales = np.array([scale for _, scale in pairs])
                outputs[f"mean_{name}"] = torch.tensor(errors.mean())
                outputs[f"mean_{name}_m"] = torch.tensor((errors / scales).mean())
    return outputs


EVALUATION = {
    "metric_asset_matching": asset_matching,
    "metric_box_detection": box_detection,
    "metric_box_iou": box_ious,
    "metric_chamfer_f1": chamfer_f1,
    "metric_psnr_concat": psnr_concat,
    "metric_voxel_iou": voxel_iou,
}
