"""Adapters for I-Scene's random layout, its view-centric space and its output frames."""

import numpy as np
import torch
from torch import Tensor

from scenewright.data.random_layout import accept_candidates, layout_slack
from scenewright.data.support_surface import find_support, footprint_radius, largest_scale
from scenewright.systems.iscene.view_centric import view_centric_transform, view_centric_voxels
from tests.conformance.case import Case

__all__ = ["LAYOUT_MODULES"]


def layout_acceptance(case: Case) -> dict[str, Tensor]:
    radii, candidates = (case.inputs[name].double().numpy() for name in ("radii", "candidates"))
    centres, order, picked = accept_candidates(radii, float(case.inputs["gap"]), candidates)
    return {
        "centres": torch.from_numpy(centres),
        "order": torch.from_numpy(order),
        "picked": torch.from_numpy(picked),
    }


def layout_checker(case: Case) -> dict[str, Tensor]:
    result = {}
    for key in case.inputs:
        if key.endswith("_centres"):
            name = key.removesuffix("_centres")
            centres, radii, gap = (
                case.inputs[f"{name}_{part}"].double().numpy() for part in ("centres", "radii", "gap")
            )
            slack = layout_slack(centres, radii, float(gap[0]))
            result[f"{name}_min_slack"] = torch.tensor([slack])
            result[f"{name}_valid"] = torch.tensor([int(slack >= 0)])
    return result


def layout_stacking(case: Case) -> dict[str, Tensor]:
    x, y, z = case.inputs["vertices"].double().numpy().T
    support = find_support(np.stack([x, -z, y], axis=1), case.inputs["faces"].numpy())
    assert support is not None
    radius = footprint_radius(*case.inputs["object_extent_xz"].tolist())
    anchor_x, anchor_y = support.anchor_xy
    return {
        "anchor_xz": torch.tensor([anchor_x, -anchor_y]),
        "anchor_y": torch.tensor([support.height]),
        "centroid_inside": torch.tensor([int(support.is_centroid_inside)]),
        "distance_to_edge": torch.tensor([support.distance_to_edge]),
        "max_scale": torch.tensor([largest_scale(support, radius)]),
        "object_radius": torch.tensor([radius]),
        "top_area": torch.tensor([support.area]),
    }


def view_centric(case: Case) -> dict[str, Tensor]:
    inputs = {name: tensor.double() for name, tensor in case.inputs.items()}
    points = inputs["points_world"]
    transform = view_centric_transform(points, inputs["camera_position"], inputs["camera_target"], inputs["camera_up"])
    centred = transform.apply(points)
    return {
        "points_view_centric": centred,
        "rotation": transform.rotation,
        "scale": transform.scale[None],
        "voxels": view_centric_voxels(centred),
    }


LAYOUT_MODULES = {
    "layout_acceptance": layout_acceptance,
    "layout_checker": layout_checker,
    "layout_stacking": layout_stacking,
    "view_centric_transform": view_centric,
}
