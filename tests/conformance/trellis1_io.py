"""Adapter for the Gaussian PLY golden: activation of raw parameters, then the columns of the file."""

import torch
from torch import Tensor

from scenewright.backbones.trellis1.config import GaussianConfig
from scenewright.backbones.trellis1.slat_decoders import RawGaussians, activate_gaussians
from scenewright.io.gaussian_ply import gaussian_columns
from tests.conformance.case import Case


def gaussian_save_ply(case: Case) -> dict[str, Tensor]:
    config = GaussianConfig(
        scaling_activation=case.config["scaling_activation"],
        scaling_bias=case.config["scaling_bias"],
        opacity_bias=case.config["opacity_bias"],
        kernel_size_3d=case.config["mininum_kernel_size"],
    )
    gaussians = activate_gaussians(
        RawGaussians(
            positions=case.inputs["_xyz"],
            features_dc=case.inputs["_features_dc"],
            scaling=case.inputs["_scaling"],
            rotation=case.inputs["_rotation"],
            opacity=case.inputs["_opacity"],
        ),
        config,
    )
    columns = gaussian_columns(gaussians)
    # A quaternion and its negative are the same rotation; take the sign of the golden.
    same = (columns[:, 13:] * case.outputs["ply"][:, 13:]).sum(1, keepdim=True) >= 0
    columns = torch.cat([columns[:, :13], torch.where(same, columns[:, 13:], -columns[:, 13:])], dim=1)
    return {
        "get_xyz": gaussians.means,
        "get_scaling": gaussians.scales,
        "get_rotation": gaussians.quaternions_wxyz,
        "get_opacity": gaussians.opacities[:, None],
        "ply": columns,
    }


MODULES = {"Gaussian.save_ply": gaussian_save_ply}
