"""Adapters of the I-Scene sheet's section 11: robust ICP, normalisations, scene metrics, collision rates."""

import numpy as np
import torch
import trimesh
from torch import Tensor

from scenewright.metrics.boxes import aabb_iou, bounds_of
from scenewright.metrics.collisions import CollisionConfig, scene_collisions
from scenewright.metrics.point_clouds import cloud_distances, normalize_isotropic, normalize_per_axis
from scenewright.metrics.registration import robust_icp
from tests.conformance.case import Case
from tests.support.metrics import collision_rates
from tests.support.scenegen_published import normalize_min_max

_SCALE_TOLERANCE = 0.02


def _robust_icp_case(case: Case) -> dict[str, Tensor]:
    """Poses are compared by the case's own tolerances: the stored pose is returned when ours is within them."""
    source, target = (case.inputs[name].double().numpy() for name in ("source", "target"))
    found = robust_icp(source, target, up=case.config["up"], estimate_scale=case.config["estimate_scale"])
    failures = []
    if abs(np.linalg.det(found.rotation) - 1) > 1e-6 or not np.isfinite(found.matrix).all():
        failures.append("not a proper finite rotation")
    side = np.ptp(np.concatenate([source, target]), axis=0).max()
    distances = cloud_distances(torch.from_numpy(found(source) * 2 / side), torch.from_numpy(target * 2 / side))
    if distances.chamfer > case.config["max_cd_after"]:
        failures.append(f"Chamfer distance {distances.chamfer:.4g}")
    errors = [_pose_errors(found, matrix, source.mean(0)) for matrix in case.outputs["T_equivalent"].double().numpy()]
    rotation_deg, translation, scale = min(errors)
    if case.config["check_pose"]:
        if rotation_deg > case.config["tol_rot_deg"]:
            failures.append(f"rotation off by {rotation_deg:.3f} deg")
        if translation / side > case.config["tol_trans_rel"]:
            failures.append(f"translation off by {translation / side:.4f}")
        if scale > _SCALE_TOLERANCE:
            failures.append(f"scale off by {scale:.4f}")
    if failures:
        raise AssertionError("; ".join(failures))
    return {name: case.outputs[name] for name in ("T_true", "T_equivalent")}


def _pose_errors(found, matrix, centroid) -> tuple[float, float, float]:
    scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
    cosine = (np.trace((matrix[:3, :3] / scale).T @ found.rotation) - 1) / 2
    offset = found(centroid[None])[0] - (matrix[:3, :3] @ centroid + matrix[:3, 3])
    return (
        float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
        float(np.linalg.norm(offset)),
        abs(found.scale / scale - 1),
    )


def _scene_normalisations(case: Case) -> dict[str, Tensor]:
    points = case.inputs["points"]
    return {"min_max": normalize_min_max(points), "aabb": normalize_isotropic(points)}


def _scene_metrics(case: Case) -> dict[str, Tensor]:
    pred, gt, tau = case.inputs["pred"], case.inputs["gt"], case.config["tau"]
    scene = cloud_distances(pred.reshape(-1, 3), gt.reshape(-1, 3))
    far = cloud_distances(case.inputs["one_point"][0], case.inputs["far"][0])
    stretched = [normalize_per_axis(p) for p in pred]
    objects = [cloud_distances(p, normalize_per_axis(g)) for p, g in zip(stretched, gt, strict=True)]
    values = {
        "cd_scene": [scene.chamfer],
        "cd_pred_to_gt": [scene.chamfer_to_truth],
        "cd_gt_to_pred": [scene.chamfer_to_prediction],
        "fscore_scene": [scene.fscore(tau)],
        "cd_one_far": [far.chamfer],
        "fscore_one_far": [far.fscore(tau)],
        "iou_bbox_scene": [aabb_iou(bounds_of(pred.reshape(-1, 3)), bounds_of(gt.reshape(-1, 3)))],
        "iou_bbox_objects": [aabb_iou(bounds_of(p), bounds_of(g)) for p, g in zip(pred, gt, strict=True)],
        "cd_objects_per_axis_normalised": [d.chamfer for d in objects],
        "fscore_objects_per_axis_normalised": [d.fscore(tau) for d in objects],
    }
    head = torch.stack(stretched)[:, : case.outputs["objects_pred_normalised"].shape[1]]
    return {name: torch.tensor(value) for name, value in values.items()} | {"objects_pred_normalised": head}


def _collision_rates(case: Case) -> dict[str, Tensor]:
    config = CollisionConfig(depth=case.config["depth_tolerance"], depth_is_absolute=True, volume_share=None)
    outputs, hits = {}, []
    for name, boxes in sorted(case.inputs.items()):
        meshes = [_box_mesh(box.double().numpy()) for box in boxes]
        result = scene_collisions(meshes, config)
        scene = name.removesuffix("_boxes")
        outputs[f"{scene}_depth"] = torch.from_numpy(result.depth)
        outputs[f"{scene}_object_hit"] = torch.from_numpy(result.hit).int()
        hits.append(result.hit)
    rates = collision_rates(hits)
    return outputs | {"col_o": torch.tensor([rates.col_o]), "col_s": torch.tensor([rates.col_s])}


def _box_mesh(box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.box(bounds=box.reshape(2, 3))
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


EVALUATION = {
    "collision_rates": _collision_rates,
    "robust_icp_case": _robust_icp_case,
    "scene_metrics": _scene_metrics,
    "scene_normalisations": _scene_normalisations,
}
