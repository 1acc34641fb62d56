"""Adapter of the narrow-band remeshing goldens of TRELLIS.2."""

from torch import Tensor

from scenewright.geometry.mesh.remesh import remesh_narrow_band
from scenewright.types import Mesh
from tests.conformance.case import Case


def remesh_narrow_band_dc(case: Case) -> dict[str, Tensor]:
    mesh = remesh_narrow_band(
        Mesh(case.inputs["vertices"], case.inputs["faces"]),
        resolution=case.config["resolution"],
        band=case.config["band"],
        project_back=case.config["project_back"],
        center=tuple(case.config["center"]),
        scale=case.config["scale"],
    )
    return {"vertices": mesh.vertices, "faces": mesh.faces}


MODULES = {"remesh_narrow_band_dc": remesh_narrow_band_dc}
