"""Adapters of GenRecon's projection conditioning: projection, aggregation, lattices of a scene."""

import torch
from torch import Tensor

from scenewright.geometry.camera.patches import camera_embedding, patch_of_points
from scenewright.systems.genrecon.aggregator import (
    AggregatorConfig,
    MultiViewAggregator,
    finest_of_children,
    seen_pairs,
)
from scenewright.systems.genrecon.conditioning import EncodedViews, condition_points
from scenewright.systems.genrecon.lattice import ChunkLattice
from scenewright.weights.load import load_state
from tests.conformance.case import Case

Outputs = dict[str, Tensor]


def cell_centres(resolution: int) -> Tensor:
    axis = (torch.arange(resolution) + 0.5) / resolution - 0.5
    return torch.cartesian_prod(axis, axis, axis)


def aggregator(case: Case) -> MultiViewAggregator:
    config = case.config
    width = config["channels"]
    network = MultiViewAggregator(
        AggregatorConfig(
            width,
            has_camera=config.get("use_camera", False),
            refines_by_convolution=config.get("use_conv_net", False),
            refines_by_attention=config.get("use_self_attention", False),
        )
    )
    return load_state(network, case.params).eval()


def projected(cond: Tensor, patch: Tensor, seen: Tensor, skipped: int) -> Tensor:
    """The plain form: the feature of every view at every point, zero where it is not seen."""
    index = (patch + skipped)[..., None].expand(*patch.shape, cond.shape[-1])
    return cond.gather(-2, index) * seen[..., None]


def projection_dense(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    points = cell_centres(config["grid_res"] * config["refinement_factor"])
    patch, seen = patch_of_points(points, given["extrinsics"], given["intrinsics"], config["img_patch_res"])
    skipped = config["global_img_tokens"]
    return {
        "projection": projected(given["cond"], patch, seen, skipped),
        "valid": seen.int(),
        "patch_ids": patch + skipped,
        "camera_emb": camera_embedding(points, given["extrinsics"]),
    }


def projection_points(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    patch, seen = patch_of_points(given["points"], given["extrinsics"], given["intrinsics"], config["img_patch_res"])
    return {
        "projection": projected(given["cond"], patch, seen, config["global_img_tokens"]),
        "valid": seen.int(),
        "camera_emb": camera_embedding(given["points"], given["extrinsics"]),
    }


@torch.no_grad()
def aggregator_dense(case: Case) -> Outputs:
    config, feats, mask = case.config, case.inputs["feats"], case.inputs["mask"].bool()
    network = aggregator(case)
    items, _, voxels = mask.shape
    own = torch.arange(voxels).expand(mask.shape)
    pairs = seen_pairs(own, mask, voxels, camera=case.inputs.get("camera_emb"))
    rows = network(feats.flatten(0, 2), pairs).view(items, voxels, -1)
    return {"aggregated": network.on_grid(rows, config["resolution"], config["refinement_factor"])}


def children_of(coords: Tensor, refinement: int) -> Tensor:
    """Rows (item, x, y, z) of the cells of a finer grid, those of one voxel together and x slowest."""
    child = torch.cartesian_prod(*[torch.arange(refinement)] * 3).reshape(-1, 3)
    cells = (coords[:, None, 1:] * refinement + child).flatten(0, 1)
    return torch.cat([coords[:, :1].repeat_interleave(refinement**3, 0), cells.int()], 1)


@torch.no_grad()
def aggregator_sparse(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    network = aggregator(case)
    side, refinement, coords = config["grid_res"], config["refinement_factor"], given["coords"].int()
    skipped, cond = config["global_img_tokens"], given["cond"]
    fine = children_of(coords, refinement)
    points = (fine[:, 1:] + 0.5) / (side * refinement) - 0.5
    rows, seen_rows, aggregated = [], [], []
    for item in range(len(cond)):
        mine = points[fine[:, 0] == item]
        cameras = given["extrinsics"][item], given["intrinsics"][item]
        patch, seen = patch_of_points(mine, *cameras, config["img_patch_res"])
        rows.append(projected(cond[item], patch, seen, skipped).transpose(0, 1))
        seen_rows.append(seen.T.int())
        pairs = seen_pairs(patch, seen, cond.shape[2], skipped=skipped)
        aggregated.append(finest_of_children(network(cond[item].flatten(0, 1), pairs), refinement))
    return {
        "projection": torch.cat(rows),
        "valid": torch.cat(seen_rows),
        "proj_coords": fine,
        "aggregated": torch.cat(aggregated),
        "aggregated_coords": coords,
    }


def scene_conditioning(case: Case) -> Outputs:
    config, given = case.config, case.inputs
    network, side = aggregator(case), config["resolution"]
    lattice = ChunkLattice.from_translations(given["relative_translation"], side)
    views = EncodedViews(given["img_feats"][0], given["extrinsics"][0], given["intrinsics"][0])
    # A ceiling low enough that the blocks are about as small as the published ones.
    limit = config["proj_batch_voxels"] * 24 * config["channels"]
    points = lattice.centres(lattice.all_cells())
    grid = condition_points(network, views, points, memory_bytes=limit).unflatten(0, lattice.size)
    outputs = {
        "grid_mins": lattice.low,
        "grid_offsets": lattice.offsets,
        "grid_points": points,
        "grid_size": torch.tensor(lattice.size),
    }
    for chunk in range(len(lattice.offsets)):
        cells = lattice.scene_cells(chunk, given[f"coords_{chunk}"][:, 1:])
        outputs[f"dense_cond3D_{chunk}"] = lattice.cut(grid, chunk).flatten(0, 2)
        outputs[f"sparse_cond3D_{chunk}"] = condition_points(network, views, lattice.centres(cells))
    return outputs


CONDITIONING = {
    "projection+aggregator.sparse": aggregator_sparse,
    "scene_conditioning": scene_conditioning,
    "aggregator.dense": aggregator_dense,
    "projection.dense": projection_dense,
    "projection.points": projection_points,
}
