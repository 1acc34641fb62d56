"""Options of finishing a raw surface (`finish.py`), as data that needs no library.

Legend: lengths and areas are for objects of unit size.
"""

from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["FinishOptions", "FinishOverride", "UnwrapMethod"]

UnwrapMethod = Literal["auto", "charts", "boxes"]


@dataclass(frozen=True)
class FinishOverride:
    """Changes of a user to the finishing of a backbone's surfaces (`FinishOptions`); None keeps the backbone's."""

    max_faces: int | None = None
    texture_size: int | None = None
    unwrap_method: UnwrapMethod | None = None


@dataclass(frozen=True)
class FinishOptions:
    """Steps of finishing a raw surface; lengths and areas for objects of unit size.

    Attributes:
        max_faces: face budget of the result.
        texture_size: side of every texture, in texels.
        max_hole_perimeter: boundary loops shorter than this are closed, before and after simplification.
        min_floater_area: connected pieces below this fraction of the largest piece's area are dropped; 0 keeps all.
        remove_invisible: delete inner sheets (meshes of the TRELLIS decoder have them).
        num_views, view_size: views and pixels for that; the published setting is 1000 and 1024.
        remesh_resolution: rebuild the surface as a closed shell on a grid of so many cells; None keeps the surface.
        remesh_project: how far the rebuilt surface is pulled back on to the original, 0 to 1.
        orient: wind all faces outwards; decoders of dual grids (TRELLIS.2) leave the winding open.
        smooth_steps: Taubin smoothing steps before simplification, against staircases.
        unwrap_method, uv_padding: see `unwrap`.
        normal_map: bake the fine surface's normals.
        alpha_mode: "auto" decides by the baked opacity.
        double_sided: render both sides; None means yes unless the surface was rebuilt.
    """

    max_faces: int = 100_000
    texture_size: int = 2048
    max_hole_perimeter: float = 0.03
    min_floater_area: float = 0.0
    remove_invisible: bool = False
    num_views: int = 200
    view_size: int = 512
    remesh_resolution: int | None = None
    remesh_project: float = 0.0
    orient: bool = False
    smooth_steps: int = 0
    unwrap_method: UnwrapMethod = "auto"
    uv_padding: int = 2
    normal_map: bool = False
    alpha_mode: Literal["auto", "OPAQUE", "MASK", "BLEND"] = "auto"
    double_sided: bool | None = None

    def overridden(self, override: FinishOverride) -> "FinishOptions":
        """These options with what the user has set."""
        changes = {name: value for name, value in vars(override).items() if value is not None}
        return replace(self, **changes)
