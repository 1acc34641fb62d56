"""The baseline of captures: a smooth surface through the points, in the colours of the photographs.

The normals of the points, blurred over the spacing of points, are taken for the gradient of an indicator function; its
Poisson equation is solved on a grid by Fourier transform, and the level at which the points lie is drawn. What is far
from all points is left open.
Source: Poisson reconstruction (Kazhdan et al. 2006) in its spectral form (Peng et al. 2021, section 3.1).

Legend: X/Y/Z cells. Frame: world, z up, metres.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import fft, ndimage

from scenewright.errors import EmptyStructureError
from scenewright.geometry.isosurface.level_surface import level_surface
from scenewright.progress import SILENT, Progress
from scenewright.systems.genrecon.captures import Capture
from scenewright.systems.genrecon.photographs import Photographs, chosen_pictures, photographed
from scenewright.systems.genrecon.pipeline import ReconstructOptions, SceneSurface
from scenewright.systems.genrecon.scene_plan import ScenePlan
from scenewright.systems.genrecon.seen_points import SeenPoints, capture_points
from scenewright.systems.genrecon.system import CaptureSystem
from scenewright.systems.mini.genrecon import MINI_OPTIONS
from scenewright.types import Mesh

__all__ = ["PoissonSystem", "indicator", "poisson_surface"]

_CELLS_PER_CHUNK = 64
_MARGIN_CELLS = 12
# Blur in cells, about half the spacing of points in a sparse reconstruction of a room, and how far points reach.
_BLUR = 2.0
_REACH = 9.0


class PoissonSystem(CaptureSystem):
    """See the module; chunks and finishing are mini's."""

    name = "poisson"

    def __init__(self, options: ReconstructOptions = MINI_OPTIONS) -> None:
        super().__init__(options)

    def surface(
        self,
        capture: Capture,
        plan: ScenePlan,
        options: ReconstructOptions,
        *,
        seed: int,
        keep_in: Path | None = None,
        progress: Progress = SILENT,
    ) -> SceneSurface:
        """See `CaptureSystem.surface`.

        Raises:
            InputError: the capture has no points.
            EmptyStructureError: they outline nothing.
        """
        photographs = Photographs.of_plan(capture, plan, progress)
        points = capture_points(capture, chosen_pictures(plan), photographs.cam_from_world, photographs.intrinsics_unit)
        mesh = poisson_surface(points, plan.chunks.size / _CELLS_PER_CHUNK)
        if not len(mesh.faces):
            raise EmptyStructureError("No surface goes through the capture's points.")
        return photographed(mesh, photographs, plan)

    def weights_sha256(self) -> dict[str, str]:
        return {}


def poisson_surface(points: SeenPoints, cell: float) -> Mesh:
    """The surface through points, wound towards where they were seen from; memory grows with their box."""
    low = points.positions.min(0) - _MARGIN_CELLS * cell
    counts = np.ceil((points.positions.max(0) - low) / cell + _MARGIN_CELLS).astype(int)
    x, y, z = (fft.next_fast_len(int(count), real=True) for count in counts)
    places = (points.positions - low) / cell
    values, known = indicator(places, points.normals, (x, y, z))
    mesh = level_surface(values, known)
    return Mesh(mesh.vertices * cell + torch.from_numpy(low).float(), mesh.faces)


def indicator(
    places: Float[np.ndarray, "P 3"], normals: Float[np.ndarray, "P 3"], shape: tuple[int, int, int]
) -> tuple[Float[np.ndarray, "X Y Z"], Bool[np.ndarray, "X Y Z"]]:
    """A function that is zero about the points and grows along their normals, and where points are near enough.

    Args:
        places: in cells from the grid's low corner.
    """
    cells = tuple(places.astype(int).T)
    gradient = np.zeros((3, *shape), np.float32)
    for axis in range(3):
        np.add.at(gradient[axis], cells, normals[:, axis].astype(np.float32))
    waves = [2 * np.pi * fft.fftfreq(count) for count in shape[:2]] + [2 * np.pi * fft.rfftfreq(shape[2])]
    kx, ky, kz = np.meshgrid(*waves, indexing="ij")
    squared = kx**2 + ky**2 + kz**2
    divergence = sum(1j * k * fft.rfftn(part) for k, part in zip((kx, ky, kz), gradient, strict=True))
    squared[0, 0, 0] = 1
    spectrum = -divergence * np.exp(-0.5 * _BLUR**2 * squared) / squared
    spectrum[0, 0, 0] = 0
    values = fft.irfftn(spectrum, s=shape).astype(np.float32)
    at_points = ndimage.map_coordinates(values, places.T - 0.5, order=1)
    empty = np.ones(shape, dtype=bool)
    empty[cells] = False
    return values - float(np.median(at_points)), ndimage.distance_transform_edt(empty) < _REACH
