"""Adapters of GenRecon's GLB helpers."""

import torch
from torch import Tensor

from scenewright.geometry.mesh.edges import edge_table
from scenewright.systems.genrecon.assembly import (
    assign_faces,
    faces_of,
    halving_friendly,
    locked_vertices,
    smoothed_keeping_edges,
)
from scenewright.types import Mesh
from tests.conformance.case import Case

Outputs = dict[str, Tensor]


def face_partition(case: Case) -> Outputs:
    mesh = Mesh(case.inputs["vertices"], case.inputs["faces"])
    assignment = assign_faces(mesh, case.inputs["chunk_centers"])
    outputs: Outputs = {"assignment": assignment}
    for chunk in assignment.unique().tolist():
        piece = faces_of(mesh, assignment == chunk)
        outputs |= {f"chunk_faces_{chunk}": piece.faces, f"chunk_vertices_{chunk}": piece.vertices}
    return outputs


def grid_padding(case: Case) -> Outputs:
    return {"padded": torch.tensor([halving_friendly(count) for count in case.inputs["n"].tolist()])}


def taubin(case: Case) -> Outputs:
    config = case.config
    mesh = Mesh(case.inputs["vertices"], case.inputs["faces"])
    smooth = smoothed_keeping_edges(
        mesh,
        steps=config["iterations"],
        shrink=config["lambda"],
        inflate=config["mu"],
        feature_angle_deg=config["feature_angle_deg"],
    )
    edges = torch.from_numpy(edge_table(mesh.faces).edges)
    return {
        "smoothed": smooth.vertices,
        "locked": locked_vertices(mesh, config["feature_angle_deg"]).int(),
        "neighbour_count": torch.bincount(edges.flatten(), minlength=len(mesh.vertices)),
    }


ASSEMBLY = {"glb.grid_padding": grid_padding, "glb.partition": face_partition, "glb.taubin": taubin}
