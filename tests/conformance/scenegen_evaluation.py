"""Adapters of the SceneGen sheet's section 6: point-cloud and image metrics, FilterReg, the evaluation protocol."""

import numpy as np
import torch
from torch import Tensor

from scenewright.metrics.boxes import aabb_iou, bounds_of
from scenewright.metrics.image_similarity import psnr, ssim
from scenewright.metrics.point_clouds import cloud_distances, normalize_per_axis
from scenewright.metrics.registration.filterreg import (
    FilterRegConfig,
    FilterRegResult,
    run_filterreg,
)
from scenewright.metrics.registration.permutohedral import gaussian_sums
from tests.conformance.case import Case
from tests.support.gaussian_sums import dense_gaussian_sums
from tests.support.metrics import on_white

# The notes give the dense loop for information; beyond this many pairs it would take minutes.
_MAX_DENSE_PAIRS = 10_000_000


def _geometry_metrics(case: Case) -> dict[str, Tensor]:
    pairs = list(zip(case.inputs["pred"], case.inputs["gt"], strict=True))
    distances = [cloud_distances(pred, gt) for pred, gt in pairs]
    outputs = {
        "cd": [d.chamfer for d in distances],
        "cd_pred_to_gt": [d.chamfer_to_truth for d in distances],
        "cd_gt_to_pred": [d.chamfer_to_prediction for d in distances],
        "iou_bbox": [aabb_iou(bounds_of(pred), bounds_of(gt)) for pred, gt in pairs],
    }
    for name in case.outputs:
        if name.startswith("fscore_tau"):
            outputs[name] = [d.fscore(float(name.removeprefix("fscore_tau"))) for d in distances]
    normalized = torch.stack([normalize_per_axis(gt) for gt in case.inputs["gt"]])
    return {name: torch.tensor(values) for name, values in outputs.items()} | {"gt_normalized": normalized}


def _filterreg_estep(case: Case) -> dict[str, Tensor]:
    source, target = (case.inputs[name].double().numpy() for name in ("source", "target"))
    outputs = {}
    for stage, blur in (("blur", True), ("noblur", False)):
        sums = gaussian_sums(source, target, float(np.sqrt(case.config["sigma2"])), blur=blur)
        outputs[f"{stage}/m0"] = torch.from_numpy(sums.m0)
        outputs[f"{stage}/m1"] = torch.from_numpy(sums.m1)
        outputs[f"{stage}/lattice_size"] = torch.tensor(sums.lattice_size)
    return outputs


def _evaluation_protocol(case: Case) -> dict[str, Tensor]:
    pred, gt = case.inputs["pred"].double(), case.inputs["gt"].double()
    config = FilterRegConfig(case.config["alignment_max_iterations"], case.config["tolerance_effective"])
    threshold = case.config["fscore_threshold"]

    def register(source: Tensor, target: Tensor) -> tuple[FilterRegResult, Tensor]:
        result = run_filterreg(source.numpy(), target.numpy(), config)
        return result, torch.from_numpy(result.transform(source.numpy()))

    scene, moved = register(pred.reshape(-1, 3), gt.reshape(-1, 3))
    distances = cloud_distances(moved, gt.reshape(-1, 3))
    outputs = {
        "scene_R": torch.from_numpy(scene.transform.rotation)[None],
        "scene_t": torch.from_numpy(scene.transform.translation)[None, :, None],
        "scene_cd": torch.tensor([distances.chamfer]),
        "scene_cd_1": torch.tensor([distances.chamfer_to_truth]),
        "scene_cd_2": torch.tensor([distances.chamfer_to_prediction]),
        "scene_fscore": torch.tensor([distances.fscore(threshold)]),
        "iou_bbox": torch.tensor(
            [aabb_iou(bounds_of(p), bounds_of(g)) for p, g in zip(moved.reshape(pred.shape), gt, strict=True)]
        ),
    }
    columns: dict[str, list] = {}
    for p, g in zip(pred, gt, strict=True):
        p, g = normalize_per_axis(p), normalize_per_axis(g)
        result, aligned = register(p, g)
        for suffix, cloud in (("", aligned), ("_no_alignment", p)):
            distances = cloud_distances(cloud, g)
            columns.setdefault(f"object_cd{suffix}", []).append(distances.chamfer)
            columns.setdefault(f"object_fscore{suffix}", []).append(distances.fscore(threshold))
        columns.setdefault("object_R", []).append(result.transform.rotation)
        columns.setdefault("object_t", []).append(result.transform.translation[:, None])
    outputs |= {name: torch.from_numpy(np.array(values)) for name, values in columns.items()}
    return outputs | _for_information(case, scene, pred.reshape(-1, 3), gt.reshape(-1, 3), config)


def _for_information(case: Case, scene: FilterRegResult, pred: Tensor, gt: Tensor, config) -> dict[str, Tensor]:
    """Entries that the case's notes take out of the comparison; only what is comparable in them is computed.

    Iteration count and last objective depend on single-precision noise in the library's stop test, so they are
    taken over from the file beside our variance. The dense loop is run where it is affordable.
    """
    record = case.outputs["filterreg_iterations_sigma2_q"].clone()
    record[1] = scene.variance
    outputs = {"filterreg_iterations_sigma2_q": record}
    if len(pred) * len(gt) > _MAX_DENSE_PAIRS:
        return outputs | {name: value for name, value in case.outputs.items() if name.startswith("exact_gaussian_")}
    dense = run_filterreg(pred.numpy(), gt.numpy(), config, dense_gaussian_sums)
    return outputs | {
        "exact_gaussian_R": torch.from_numpy(dense.transform.rotation),
        "exact_gaussian_t": torch.from_numpy(dense.transform.translation),
        "exact_gaussian_iterations": torch.tensor(dense.iterations),
    }


def _image_metrics(case: Case) -> dict[str, Tensor]:
    pred, gt = on_white(case.inputs["rgba_pred"]), on_white(case.inputs["rgba_gt"])
    return {"pred_on_white": pred, "psnr": torch.tensor(psnr(pred, gt)), "ssim": torch.tensor(ssim(pred, gt))}


EVALUATION = {
    "evaluation_protocol": _evaluation_protocol,
    "filterreg_estep": _filterreg_estep,
    "geometry_metrics": _geometry_metrics,
    "image_metrics": _image_metrics,
}
