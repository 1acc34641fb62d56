"""Adapters for the O-Voxel half of the TRELLIS.2 sheet: dual grids, PBR voxels, files, curves and sparse sampling."""

import numpy as np
import torch
from torch import Tensor

from scenewright.geometry.dual_grid import DualGridConfig, mesh_to_lattice
from scenewright.geometry.dual_grid_mesh import dual_grid_to_mesh
from scenewright.geometry.grid_sample import sample_sparse_grid
from scenewright.geometry.voxelize import Lattice, fit_unit_cube
from scenewright.sparse.serialize import decode_curve, encode_curve
from scenewright.types import DualGrid
from tests.conformance.case import Case

__all__ = ["MODULES"]


def lattice_of(case: Case) -> Lattice:
    config = case.config
    sizes = {"cells": config.get("grid_size"), "voxel_size": config.get("voxel_size")}
    if config.get("aabb") is None:
        return Lattice.around(case.inputs["vertices"], **sizes)
    return Lattice.of_bounds(config["aabb"], **sizes)


def mesh_to_flexible_dual_grid(case: Case) -> dict[str, Tensor]:
    weights = {
        name: case.config[name]
        for name in ("face_weight", "boundary_weight", "regularization_weight")
        if name in case.config
    }
    lattice = lattice_of(case)
    coords, dual, intersected = mesh_to_lattice(
        case.inputs["vertices"], case.inputs["faces"], lattice, DualGridConfig(**weights)
    )
    # Row order is not part of the contract: rows go where the golden has the same voxel.
    expected = case.outputs["voxel"].numpy()
    if len(expected) == len(coords):
        order = np.empty(len(coords), np.int64)
        order[np.lexsort(expected.T[::-1])] = np.lexsort(coords.numpy().T[::-1])
        coords, dual, intersected = coords[order], dual[order], intersected[order]
    return {
        "voxel": coords,
        "dual": (dual + coords) * torch.tensor(lattice.voxel_size),
        "intersected": intersected.int(),
    }


def flexible_dual_grid_to_mesh(case: Case) -> dict[str, Tensor]:
    inputs, outputs = case.inputs, {}
    lattice = lattice_of(case)
    for name, weight, fan in (
        ("auto", None, False),
        ("weighted", "split_weight", False),
        ("train", "split_weight", True),
    ):
        mesh = dual_grid_to_mesh(
            DualGrid(
                inputs["coords"],
                inputs["dual"],
                inputs["intersected"].bool(),
                resolution=max(lattice.cells),
                split_weight=inputs[weight][:, 0] if weight else None,
            ),
            fan=fan,
        )
        # A dual grid lives on the cube [-0.5, 0.5]^3; other boxes are a change of scale and corner per axis.
        grid_units = (mesh.vertices + 0.5) * max(lattice.cells)
        outputs[f"{name}_vertices"] = grid_units * torch.tensor(lattice.voxel_size) + torch.tensor(lattice.low_corner)
        outputs[f"{name}_faces"] = mesh.faces
    return outputs


def serialize(case: Case) -> dict[str, Tensor]:
    outputs = {}
    for name in case.outputs:
        if name.startswith("dec_"):
            outputs[name] = decode_curve(case.inputs["codes"], "hilbert" if name == "dec_h" else "z_order")
        else:
            curve, _, digits = name.partition("_perm")
            permute = tuple(int(digit) for digit in digits) or (0, 1, 2)
            outputs[name] = encode_curve(case.inputs["coords"], "hilbert" if curve == "hilbert" else "z_order", permute)
    return outputs


def sparse_grid_sample_3d(case: Case) -> dict[str, Tensor]:
    return {
        mode: sample_sparse_grid(case.inputs["coords"], case.inputs["feats"], case.inputs["query"], mode)
        for mode in ("nearest", "trilinear")
    }


def texturing_preprocess_mesh(case: Case) -> dict[str, Tensor]:
    fitted, _, _ = fit_unit_cube(case.inputs["vertices"])
    x, y, z = fitted.unbind(1)
    return {"vertices": torch.stack([x, -z, y], 1)}


MODULES = {
    "flexible_dual_grid_to_mesh": flexible_dual_grid_to_mesh,
    "mesh_to_flexible_dual_grid": mesh_to_flexible_dual_grid,
    "serialize": serialize,
    "sparse_grid_sample_3d": sparse_grid_sample_3d,
    "texturing_preprocess_mesh": texturing_preprocess_mesh,
}
