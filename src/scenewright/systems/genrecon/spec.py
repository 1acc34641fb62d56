"""What is known of GenRecon before any network is loaded; this version cannot generate with it yet."""

from scenewright.systems.genrecon.weights import RECORDS
from scenewright.systems.spec import SystemSpec

__all__ = ["SPEC"]

SPEC = SystemSpec(
    name="genrecon",
    summary="posed pictures to a room",
    reads="posed",
    max_views=None,
    records=RECORDS,
    networks=(
        "dinov3-vitl16",
        "genrecon/sparse_structure",
        "genrecon/shape_slat",
        "genrecon/texture_slat",
        "trellis1/structure_decoder",
        "trellis2/shape_decoder",
        "trellis2/texture_decoder",
    ),
)
