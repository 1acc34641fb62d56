"""Facts of GenRecon that need no network."""

from scenewright.systems.genrecon.weights import RECORDS
from scenewright.systems.spec import StageCost, SystemSpec, WorkingMemory

__all__ = ["SPEC"]

SPEC = SystemSpec(
    name="genrecon",
    summary="posed pictures to a room",
    reads="posed",
    open="scenewright.systems.genrecon.opening:open_genrecon",
    max_views=None,
    weights_help="a folder with sparse_structure, shape_slat and texture_slat (links in GenRecon's README)",
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
    mini="scenewright.systems.mini.genrecon:open_genrecon",
    mini_ignores=frozenset({"decoder", "decoder_weights", "dtype", "quality", "resolution", "steps"}),
    # From the sizes of a flow's activations over one chunk; not measured.
    working=WorkingMemory(2**30, holds_all_networks=False),
    # Over what was measured: 494 MiB for nine chunks, two of them at a time (CPU).
    mini_working=WorkingMemory(600 * 2**20),
    # An EPYC core, nine chunks of a walkthrough without masks.
    mini_costs=(
        StageCost("encode", 1.0),
        StageCost("structure", 0, 0.83),
        StageCost("clean", 0.2, 0.1),
        StageCost("texture", 0, 1.1),
        StageCost("write", 2.0),
    ),
    tasks={
        "genrecon_structure": "scenewright.systems.genrecon.opening:structure_task",
        "genrecon_shape": "scenewright.systems.genrecon.opening:shape_task",
        "genrecon_texture": "scenewright.systems.genrecon.opening:texture_task",
    },
)
