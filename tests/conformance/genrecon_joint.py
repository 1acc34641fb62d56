"""Adapters of GenRecon's joint decode: merged latents, groups, occupancy on one canvas, surface of the scene."""

import torch
import torch.nn.functional as F
from torch import Tensor

from scenewright.backbones.trellis2.shape_vae import ShapeFields
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.genrecon.joint_decode import (
    cells_in_box,
    chunk_cells,
    decode_joint_structure,
    decode_part,
    fine_vertices,
    merged_latent,
)
from scenewright.systems.genrecon.lattice import ChunkLattice
from scenewright.types import Mesh
from tests.conformance.case import Case
from tests.conformance.genrecon_sampling import numbered
from tests.support.genrecon_published_groups import chunk_groups, group_box, grouped_surface, inflated

Outputs = dict[str, Tensor]


def merged(case: Case) -> tuple[ChunkLattice, SparseTensor]:
    lattice = ChunkLattice.from_translations(case.inputs["relative_translation"], case.config["R_in"])
    cells = [rows[:, 1:] for rows in numbered(case.inputs, "coords")]
    return lattice, merged_latent(lattice, cells, numbered(case.inputs, "feats"))


def scene_bounds(lattice: ChunkLattice) -> tuple[Tensor, Tensor]:
    """Smallest and largest cell in the joint frame's cells."""
    low = (lattice.low * lattice.resolution).round().int()
    return low, low + torch.tensor(lattice.size)


def joint_merge(case: Case) -> Outputs:
    lattice, latent = merged(case)
    cells = latent.coords[:, 1:]
    low, high = scene_bounds(lattice)
    outputs = {"joint_coords": latent.coords, "joint_feats": latent.feats, "mins": low, "maxs": high}
    for index, grouping in enumerate(case.config["groupings"]):
        limit, overlap = grouping["max_inflated_voxels"], grouping["overlap_r_in"]
        groups = chunk_groups(
            lattice, cells, max_chunks=grouping["max_chunks_per_group"], max_cells=limit, overlap=overlap
        )
        boxes = [group_box(lattice, group) for group in groups]
        held = [cells_in_box(cells, inflated(box, overlap)) for box in boxes]
        group_of_chunk = torch.empty(len(lattice.offsets), dtype=torch.int32)
        for number, group in enumerate(groups):
            group_of_chunk[group] = number
        outputs |= {
            f"group_of_chunk_{index}": group_of_chunk,
            f"owned_aabb_{index}": torch.stack([torch.stack(box) for box in boxes]),
            f"group_inflated_voxels_{index}": torch.tensor([0 if limit is None else int(rows.sum()) for rows in held]),
            f"group0_inflated_coords_{index}": latent.coords[held[0]],
        }
    return outputs


def joint_structure(case: Case) -> Outputs:
    config, given, params = case.config, case.inputs, case.params

    def decoder(canvas: Tensor) -> Tensor:
        hidden = F.conv3d(canvas, params["c.weight"], params["c.bias"], padding=1).tanh()
        return F.conv_transpose3d(hidden, params["u.weight"], params["u.bias"], stride=config["toy_upscale"])

    latents = torch.cat(numbered(given, "z"))
    logits = decode_joint_structure(decoder, latents, given["relative_translation"], config["ss_res"])
    outputs = {f"occ_logit_{chunk}": rows[None] for chunk, rows in enumerate(logits)}
    for index, settings in enumerate(config["cases"]):
        for chunk, rows in enumerate(logits):
            cells = chunk_cells(rows, settings["threshold"], settings["target_resolution"])
            outputs[f"coords_case{index}_{chunk}"] = F.pad(cells, (1, 0))
    return outputs


def joint_mesh(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    lattice, latent = merged(case)
    factor, margin = config["upscale"], config["voxel_margin"]

    def raw(z: SparseTensor, name: str, fine: VoxelSet) -> Tensor:
        wave = (0.7 * fine.coords[:, 1:].float()).sin() @ given[f"{name}_P"]
        return (z.feats @ given[f"{name}_W"]).repeat_interleave(factor**3, 0) + wave

    def decode_shape(z: SparseTensor):
        child = torch.cartesian_prod(*[torch.arange(factor)] * 3)
        coords = F.pad((z.coords[:, None, 1:] * factor + child).flatten(0, 1), (1, 0)).int()
        fine = VoxelSet(coords, 1)
        h = raw(z, "toy", fine)
        vertices = (1 + 2 * margin) * h[:, :3].sigmoid() - margin
        return ShapeFields(fine, vertices, h[:, 3:6], F.softplus(h[:, 6])), ()

    def decode_texture(z: SparseTensor, pyramid) -> SparseTensor:
        fine = decode_shape(z)[0].voxels
        return SparseTensor(raw(z, "tex", fine) * 0.5 + 0.5, fine)

    side = lattice.resolution * factor

    def decoded(box, overlap: int):
        part = decode_part(
            latent,
            decode_shape,
            box,
            voxels_per_cell=factor,
            margin=overlap,
            texture=latent,
            decode_texture=decode_texture,
        )
        return part, Mesh(fine_vertices(part.coords, part.dual_vertices, lattice, side), part.triangles)

    low, high = scene_bounds(lattice)
    everything = torch.zeros(3, dtype=torch.long), torch.tensor(lattice.size)
    part, single = decoded(everything, 0)
    outputs = {
        "aabb": torch.stack([low, high]) / lattice.resolution - 0.5,
        "grid_size": (high - low) * factor,
        "faces": single.faces,
        "vertices": single.vertices,
        "tex_coords": F.pad(part.coords, (1, 0)),
        "tex_feats": part.materials,
    }
    if config["max_chunks_per_group"] is None:
        return outputs
    groups = chunk_groups(
        lattice,
        latent.coords[:, 1:],
        max_chunks=config["max_chunks_per_group"],
        max_cells=config["max_inflated_voxels"],
        overlap=config["overlap_r_in"],
    )
    boxes = [group_box(lattice, group) for group in groups]
    inflated_boxes = [inflated(box, config["overlap_r_in"]) for box in boxes]
    # Published groups keep faces by their middle, so every quad of the inflated box has to be made.
    wide = [decoded(box, 0) for box in inflated_boxes]
    grouped = grouped_surface([(piece.coords, mesh) for piece, mesh in wide], boxes, lattice)
    held = [
        cells_in_box(piece.coords, (low * factor, high * factor))
        for (piece, _), (low, high) in zip(wide, boxes, strict=True)
    ]
    tex_coords = torch.cat([piece.coords[rows] for (piece, _), rows in zip(wide, held, strict=True)])
    return outputs | {
        "single_pass_faces": single.faces,
        "single_pass_vertices": single.vertices,
        "faces": grouped.faces,
        "vertices": grouped.vertices,
        "owned_aabbs": torch.stack([torch.stack(box) for box in boxes]),
        "inflated_aabbs": torch.stack([torch.stack(box) for box in inflated_boxes]),
        "tex_coords": F.pad(tex_coords, (1, 0)),
        "tex_feats": torch.cat([piece.materials[rows] for (piece, _), rows in zip(wide, held, strict=True)]),
    }


JOINT = {
    "joint_decode.merge": joint_merge,
    "joint_decode.mesh": joint_mesh,
    "joint_decode.sparse_structure": joint_structure,
}
