"""Adapter of the narrow-band remeshing goldens of TRELLIS.2."""

from torch import Tensor

from scenewright.geometry.mesh.remesh import remesh_narrow_band
from scenewright.types import Mesh
from tests.conformance.case import Case


def remesh_narrow_band_dc(case: Case) -> dict[str, Tensor]:
    options = {name: case.config[name] for name in ("band", "project_back", "scale") if name in case.config}
    mesh = remesh_narrow_band(
        Mesh(case.inputs["vertices"], case.inputs["faces"]),
        resolution=case.config["resolution"],
        center=tuple(case.config.get("center") or (0.0, 0.0, 0.0)),
        **options,
    )
    return {"vertices": mesh.vertices, "faces": mesh.faces}


MODULES = {"remesh_narrow_band_dc": remesh_narrow_band_dc}
