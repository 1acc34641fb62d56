"""Volume, centre of mass and inertia of a mesh that may be open, flat or cross itself.

Frame and unit: those of the vertices, in metres.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from scenewright.geometry.bodies.colliders import convex_hull
from scenewright.types import Mesh

__all__ = ["MassProperties", "mass_properties"]

# A closed surface that crosses itself counts space twice or negatively; beyond its hull by this share, it is not used.
_TOLERANCE = 1e-3
_LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class MassProperties:
    """Values for a density of 1: `volume` is the mass, `inertia` is about `centre`.

    `note` says why the hull replaced the mesh, of which then only `area` is known; it is empty where it did not.
    """

    volume: float
    centre: Float[np.ndarray, "3"]
    inertia: Float[np.ndarray, "3 3"]
    area: float
    note: str = ""

    def kilograms(self, density_kg_m3: float, wall_m: float | None) -> float:
        """Kilograms: of the solid, or of walls of that thickness where the surface encloses no volume."""
        if not self.note or wall_m is None:
            return self.volume * density_kg_m3
        # A needle has no area, but no body may weigh nothing.
        walls = max(self.area * wall_m, _LEAST_SHARE * self.volume)
        return min(self.volume, walls) * density_kg_m3


def mass_properties(mesh: Mesh) -> MassProperties:
    """The integrals over the solid inside `mesh`; over its convex hull where the surface encloses none.

    A hull thinner than 2 mm is thickened as colliders are. Signed integrals of a watertight surface are those of
    Eberly, "Polyhedral Mass Properties" (2002), by trimesh.

    Raises:
        InputError: the mesh has no vertices.
    """
    import trimesh

    solid = trimesh.Trimesh(mesh.vertices.detach().cpu().double().numpy(), mesh.faces.cpu().numpy(), process=False)
    solid.merge_vertices(merge_tex=True, merge_norm=True)
    hull = _trimesh(convex_hull(mesh))
    note = ""
    if not solid.is_watertight:
        note = "its surface is open"
    elif not solid.is_winding_consistent or not 0 < abs(solid.volume) <= hull.volume * (1 + _TOLERANCE):
        note = "its surface encloses no clear volume"
    elif not _is_physical(solid.moment_inertia * np.sign(solid.volume)):
        note = "its surface crosses itself"
    used = hull if note else solid
    sign = np.sign(used.volume)
    return MassProperties(
        abs(float(used.volume)), used.center_mass, used.moment_inertia * sign, float(solid.area), note
    )


def _trimesh(mesh: Mesh) -> Any:
    import trimesh

    return trimesh.Trimesh(mesh.vertices.double().numpy(), mesh.faces.numpy(), process=False)


def _is_physical(inertia: Float[np.ndarray, "3 3"]) -> bool:
    """Principal moments of a body are positive, and none exceeds the sum of the others."""
    moments = np.linalg.eigvalsh(inertia)
    return bool(moments[0] > 0 and moments[2] <= (moments[0] + moments[1]) * (1 + 1e-9))
