"""Facts of TRELLIS.2 that need no network."""

from scenewright.backbones.spec import BackboneSpec
from scenewright.backbones.trellis2.weights import RECORDS, REPOSITORY
from scenewright.geometry.mesh.finish_options import FinishOptions

__all__ = ["SPEC"]

SPEC = BackboneSpec(
    name="trellis2",
    summary="physically based materials, finer",
    repository=REPOSITORY,
    records=RECORDS,
    networks=(
        "dinov3-vitl16",
        "trellis2/structure_flow",
        "trellis2/shape_flow_512",
        "trellis2/texture_flow_512",
        "trellis1/structure_decoder",
        "trellis2/shape_decoder",
        "trellis2/texture_decoder",
    ),
    # The decoder leaves the winding of faces open; a normal map keeps the detail that fewer faces lose.
    finish=FinishOptions(max_faces=50_000, texture_size=2048, orient=True, normal_map=True),
    steps=12,
    guidance_strength=6.5,
    decoder="scenewright.systems.assembly.trellis2_decoder:Trellis2Decoder",
    objects="scenewright.systems.single_object.trellis2:Trellis2Objects",
    loans=True,
    max_pictures=1,
    resolutions={512: "512", 1024: "1024_cascade", 1536: "1536_cascade"},
    options={"resolution": (512, 1024, 1536)},
)
