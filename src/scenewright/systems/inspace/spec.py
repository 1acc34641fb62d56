"""What is known of InSpace before any network is loaded; this version cannot generate with it yet."""

from scenewright.systems.inspace.weights import RECORDS
from scenewright.systems.spec import SystemSpec

__all__ = ["SPEC"]

SPEC = SystemSpec(
    name="inspace",
    summary="one panorama to a room",
    reads="panorama",
    records=RECORDS,
    networks=(
        "dinov3-vitl16",
        "inspace/structure_flow",
        "inspace/box_network",
        "inspace/shape_flow",
        "inspace/texture_flow",
        "trellis1/structure_decoder",
        "trellis2/shape_decoder",
        "trellis2/texture_decoder",
    ),
)
