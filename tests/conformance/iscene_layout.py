"""Adapters for I-Scene's random layout, its view-centric space and its output frames."""

import io

import numpy as np
import torch
import trimesh
from torch import Tensor

from scenewright.data.support_surface import find_support, footprint_radius, largest_scale
from scenewright.geometry.isosurface.dual_marching_cubes import average_corners
from scenewright.geometry.isosurface.mesh_extraction import FEATURE_CHANNELS, extract_mesh
from scenewright.io.gaussian_ply import gaussian_columns
from scenewright.io.glb import glb_bytes
from scenewright.types import Gaussians, Mesh, Scene, SceneObject
from tests.conformance.case import Case
from tests.support.iscene_view_centric import view_centric_transform, view_centric_voxels
from tests.support.layout_oracles import accept_candidates, layout_slack

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


def mesh_grid_affine(case: Case) -> dict[str, Tensor]:
    """Grid vertices of the mesh extraction on grids of the sizes that the outputs are named after.

    `x4` is the decoder's own, of 4 * resolution cells, `x5` that of the released I-Scene.
    """
    coords, sdf, deform = (case.inputs[name] for name in ("cube_coords", "sdf", "deform"))
    rest = torch.zeros(
        len(coords), sum(FEATURE_CHANNELS[name] for name in ("edge_weight", "corner_weight", "split_weight"))
    )
    feats = torch.cat([sdf.flatten(1), deform.flatten(1), rest], 1)
    size = case.config["upsampled"] + 1
    ids = average_corners(coords, sdf, size - 1)[0]
    outputs = {"grid_vertices": torch.stack([ids // size**2, ids // size % size, ids % size], 1)}
    for factor in {int(name[1 : -len("_pos")]) for name in case.outputs if name.endswith("_pos")}:
        mesh = extract_mesh(coords, feats, factor * case.config["resolution"], training=True)
        assert mesh.grid_positions is not None
        assert mesh.grid_sdf is not None
        outputs |= {f"x{factor}_pos": mesh.grid_positions, f"x{factor}_sdf": mesh.grid_sdf}
    return outputs


def export_axes(case: Case) -> dict[str, Tensor]:
    """Where points of our frame end up in the files we write."""
    points = case.inputs["points_zup"]
    centres = (case.inputs["voxels"] + 0.5) / 64 - 0.5
    count = len(points)
    splats = Gaussians(
        points,
        torch.ones(count, 3),
        torch.eye(4)[:1].repeat(count, 1),
        torch.full((count,), 0.5),
        torch.zeros(count, 1, 3),
    )
    return {
        "glb_yup": _written_positions(points),
        "gaussian_ply": gaussian_columns(splats)[:, :3],
        "voxel_centre_zup": centres,
        "debug_ply": 2 * _written_positions(centres),
    }


def _written_positions(points: Tensor) -> Tensor:
    """Vertex positions as they stand in a GLB file."""
    faces = torch.arange(len(points) - len(points) % 3).reshape(-1, 3)
    faces = torch.cat([faces, torch.arange(len(points) - 3, len(points))[None]])
    content = glb_bytes(Scene((SceneObject("points", (Mesh(points, faces),)),)))
    loaded = trimesh.load(io.BytesIO(content), file_type="glb", process=False)
    return torch.from_numpy(np.array(next(iter(loaded.geometry.values())).vertices))


LAYOUT_MODULES = {
    "export_axes": export_axes,
    "layout_acceptance": layout_acceptance,
    "layout_checker": layout_checker,
    "layout_stacking": layout_stacking,
    "mesh_grid_affine": mesh_grid_affine,
    "view_centric_transform": view_centric,
}
