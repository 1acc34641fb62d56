"""Facts of TRELLIS v1 that need no network."""

from scenewright.backbones.spec import BackboneSpec
from scenewright.backbones.trellis1.weights import IMAGE_REPOSITORY, RECORDS
from scenewright.geometry.mesh.finish_options import FinishOptions

__all__ = ["SPEC"]

SPEC = BackboneSpec(
    name="trellis1",
    summary="colour, also splats",
    repository=IMAGE_REPOSITORY,
    records=RECORDS,
    networks=(
        "dinov2-vitl14-reg",
        "trellis1/structure_flow",
        "trellis1/structure_decoder",
        "trellis1/slat_flow",
        "trellis1/mesh_decoder",
    ),
    # The decoder's surface has an inner sheet that no view sees; removing it is part of the published post-processing.
    finish=FinishOptions(max_faces=30_000, texture_size=1024, remove_invisible=True),
    steps=25,
    guidance_strength=5.0,
    decoder="scenewright.systems.assembly.trellis1_decoder:Trellis1Decoder",
    objects="scenewright.systems.single_object.trellis1:Trellis1Objects",
    options={"splats": (), "multi_image": ("stochastic", "multidiffusion")},
)
