"""Adapters for the O-Voxel half of the TRELLIS.2 sheet: dual grids, PBR voxels, files, curves and sparse sampling."""

import numpy as np
import torch
from torch import Tensor

from scenewright.geometry.grid_sample import sample_sparse_grid
from scenewright.geometry.ovoxel.dual_grid import DualGridConfig, mesh_to_lattice
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.geometry.ovoxel.volumetric_attributes import (
    SurfaceMaterial,
    TexturedTriangles,
    voxelize_textured_triangles,
)
from scenewright.geometry.ovoxel.volumetric_attributes_texture import FILTERS, WRAPS
from scenewright.geometry.ovoxel.voxelize import Lattice, fit_unit_cube
from scenewright.io.vxz import VxzOptions, decode_vxz, encode_vxz
from scenewright.io.vxz_codec import neighbor_encode, octree_encode, parent_encode
from scenewright.types import DualGrid
from tests.conformance.case import Case
from tests.support.space_curves import decode_curve, encode_curve

__all__ = ["MODULES"]


def lattice_of(case: Case) -> Lattice:
    config = case.config
    sizes = {"cells": config.get("grid_size"), "voxel_size": config.get("voxel_size")}
    if config.get("aabb") is None:
        return Lattice.around(case.inputs["vertices"], **sizes)
    return Lattice.of_bounds([[float(value) for value in corner] for corner in config["aabb"]], **sizes)


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
    lattice, given = lattice_of(case), case.inputs.get("split_weight")
    for name, weight, fan in (("auto", None, False), ("weighted", given, False), ("train", given, True)):
        mesh = dual_grid_to_mesh(
            DualGrid(
                inputs["coords"],
                inputs["dual"],
                inputs["intersected"].bool(),
                resolution=max(lattice.cells),
                split_weight=None if weight is None else weight[:, 0],
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
        order, _, digits = name.removeprefix("dec_").partition("_perm")
        curve = "hilbert" if order.startswith("h") else "z_order"
        permute = tuple(int(digit) for digit in digits) or (0, 1, 2)
        if name.startswith("dec_"):
            outputs[name] = decode_curve(case.inputs["codes"], curve, permute)
        else:
            outputs[name] = encode_curve(case.inputs["coords"], curve, permute)
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


def textured_mesh_to_volumetric_attr(case: Case) -> dict[str, Tensor]:
    lattice, inputs = lattice_of(case), case.inputs
    triangles = TexturedTriangles(
        # The golden's triangles are relative to the low corner of the box already.
        inputs["triangles"] + torch.tensor(lattice.low_corner),
        inputs["uvs"],
        inputs["material_ids"],
        tuple(golden_material(case, index) for index in range(len(case.config["materials"]))),
        inputs.get("normals"),
    )
    coords, values = voxelize_textured_triangles(triangles, lattice, case.config.get("mip_level_offset", 0.0))
    scalars = {name: values[name][:, 0] for name in ("metallic", "roughness", "alpha")}
    return {"coords": coords, **values, **scalars}


def golden_material(case: Case, index: int) -> SurfaceMaterial:
    config = case.config["materials"][index]

    def texture(name: str) -> Tensor | None:
        image = case.inputs.get(f"mat{index}_{name}")
        if image is None:
            return None
        return (image if image.ndim == 3 else image[..., None]).to(torch.uint8)

    scalars = {name: texture(key) for name, key in (("metallic", "mt"), ("roughness", "rt"), ("alpha", "at"))}
    return SurfaceMaterial(
        base_color_factor=tuple(config.get("bcf", (1.0, 1.0, 1.0))),
        metallic_factor=config.get("mf", 1.0),
        roughness_factor=config.get("rf", 1.0),
        alpha_factor=config.get("af", 1.0),
        alpha_mode=("OPAQUE", "MASK", "BLEND")[config.get("am", 0)],
        alpha_cutoff=config.get("ac", 0.5),
        filter=list(FILTERS)[config.get("filt", 1)],
        wrap=(list(WRAPS)[config.get("wrap", 0)],) * 2,
        base_color_texture=texture("bct"),
        **{f"{name}_texture": None if image is None else (image, 0) for name, image in scalars.items()},
    )


def vxz(case: Case) -> dict[str, Tensor]:
    coords, size = case.inputs["coords"], case.config["chunk_size"]
    attributes = {name: case.inputs[name].to(torch.uint8) for name in case.config["attr"]}
    outputs = {}
    for name, expected in case.outputs.items():
        if name.startswith("file_"):
            outputs[name] = vxz_file(case, name, expected, attributes)
    plain = decode_vxz(encode_vxz(coords, attributes, VxzOptions(size, "none", "none", "as_is")))
    outputs["read_coords"] = plain.coords
    outputs |= {f"read_{name}": values for name, values in plain.attributes.items()}
    if "chunk0_coords" in case.outputs:
        # Rows come chunk by chunk, so the first row lies in the first chunk.
        chunk_of = plain.coords // size
        in_chunk = (chunk_of == chunk_of[0]).all(1)
        local = (plain.coords[in_chunk] % size).contiguous()
        values = torch.cat([value[in_chunk] for value in plain.attributes.values()], 1).contiguous().numpy()
        codes, depth = encode_curve(local), size.bit_length() - 1
        nodes = octree_encode(codes.numpy(), depth)
        arrays = {
            "attr": values,
            "svo": nodes,
            "parent_delta": parent_encode(values, codes.numpy(), nodes, depth),
            "neighbor_delta": neighbor_encode(values, local.numpy()),
        }
        outputs |= {f"chunk0_{name}": torch.from_numpy(array) for name, array in arrays.items()}
        outputs |= {"chunk0_coords": local, "chunk0_morton": codes}
    return outputs


def vxz_file(case: Case, name: str, expected: Tensor, attributes: dict[str, Tensor]) -> Tensor:
    """Our bytes; a compressed golden that differs in bytes counts as equal when it decodes to the same voxels.

    What a compressor emits depends on its library's version, so only the decoded content is a contract there.
    """
    _, compression, predictor, interleave = name.split("_", 3)
    options = VxzOptions(case.config["chunk_size"], predictor, compression, interleave)
    ours = encode_vxz(case.inputs["coords"], attributes, options)
    golden = bytes(expected.to(torch.uint8).numpy())
    if ours != golden and compression != "none":
        first, second = decode_vxz(ours), decode_vxz(golden)
        same = torch.equal(first.coords, second.coords) and all(
            torch.equal(first.attributes[key], second.attributes[key]) for key in attributes
        )
        ours = golden if same else ours
    return torch.frombuffer(bytearray(ours), dtype=torch.uint8)


MODULES = {
    "flexible_dual_grid_to_mesh": flexible_dual_grid_to_mesh,
    "mesh_to_flexible_dual_grid": mesh_to_flexible_dual_grid,
    "serialize": serialize,
    "sparse_grid_sample_3d": sparse_grid_sample_3d,
    "textured_mesh_to_volumetric_attr": textured_mesh_to_volumetric_attr,
    "texturing_preprocess_mesh": texturing_preprocess_mesh,
    "vxz": vxz,
}
