"""Facts of InSpace that need no network."""

from scenewright.systems.inspace.weights import RECORDS, REPOSITORY
from scenewright.systems.spec import PresetNeeds, Published, StageCost, SystemSpec, WorkingMemory

__all__ = ["SPEC"]

# A room of some 7,500 tokens in all parts, from the sizes of the networks and their calls; never timed.
_STRUCTURE = (StageCost("encode", 4), StageCost("structure", 330, 0, 1), StageCost("boxes", 0.3))
_DETAIL = (StageCost("shape", 3300, 25, 1), StageCost("texture", 3300, 25, 1))
# An EPYC core, rooms with 5 and 14 pieces of furniture.
_MINI_STRUCTURE = (
    StageCost("load", 0.8),
    StageCost("encode", 0.2),
    StageCost("structure", 1.3, 0, 1),
    StageCost("boxes", 0.2),
    StageCost("objects", 5.6),
)
_MINI_DETAIL = (StageCost("shape", 6, 0, 1, doubles=False), StageCost("texture", 3.7))
_MINI_PUBLISHED = PresetNeeds(
    # The whole process held 1.1 to 1.3 GB at its peak, in rooms with 5 and 14 pieces of furniture (CPU).
    mini_working=WorkingMemory(500 * 2**20),
    mini_costs=(*_MINI_STRUCTURE, *_MINI_DETAIL, StageCost("decode", 5.5, 0.1), StageCost("draw", 0.4)),
)

SPEC = SystemSpec(
    name="inspace",
    summary="one panorama to a room",
    reads="panorama",
    open="scenewright.systems.inspace.opening:open_inspace",
    # The one training step that is known; with another one the user names the weights.
    published=Published(REPOSITORY, "ckpts/bbox_centerpoint/ckpts/bbox_centerpoint_ema0.9999_step0024500.pt", "22 GB"),
    records=RECORDS,
    networks=(
        "dinov3-vitl16",
        "inspace/structure_flow",
        "inspace/box_network",
        "inspace/shape_flow",
        "inspace/texture_flow",
        "trellis1/structure_encoder",
        "trellis1/structure_decoder",
        "trellis2/shape_decoder",
        "trellis2/texture_decoder",
    ),
    presets={
        "published": _MINI_PUBLISHED,
        "published_fixed": _MINI_PUBLISHED,
        "refined": PresetNeeds(
            networks=("trellis2/shape_flow_512", "trellis2/texture_flow_512"),
            mini_working=_MINI_PUBLISHED.mini_working,
            costs=(*_STRUCTURE, *_DETAIL, StageCost("finish", 0, 250), StageCost("draw", 1)),
            # What is made again is one stage here, "finish", as it counts the objects.
            mini_costs=(
                *_MINI_STRUCTURE,
                *_MINI_DETAIL,
                StageCost("finish", 0, 0.7),
                StageCost("decode", 0.2),
                StageCost("draw", 0.4),
            ),
        ),
    },
    takes=frozenset(
        {
            *("decoder_weights", "dtype", "guidance", "max_faces", "max_memory_bytes"),
            *("quality", "steps", "texture_size"),
        }
    ),
    mini="scenewright.systems.mini.panorama_system:open_inspace",
    # From the sizes of a flow's activations over a room; not measured.
    working=WorkingMemory(3 * 2**30, holds_all_networks=False),
    costs=(*_STRUCTURE, *_DETAIL, StageCost("decode", 100, 25), StageCost("draw", 1)),
    # Over what was measured: 191 MiB for a panorama of 1024 x 512 with distances (CPU).
    mini_working=WorkingMemory(250 * 2**20),
    # An EPYC core; what is in a room, 5 and 14 pieces of furniture there, is seen only after its coarse stage.
    mini_costs=(
        StageCost("load", 0.9),
        StageCost("encode", 0.2),
        StageCost("structure", 1.5, 0, 1),
        StageCost("boxes", 0.2),
        StageCost("objects", 0, 0.05),
        StageCost("samples", 0.2, 0.37, 1),
        StageCost("shape", 0, 0.24),
        StageCost("texture", 0, 0.2),
        StageCost("finish", 0, 0.43),
        StageCost("draw", 0.4),
    ),
    tasks={
        "inspace_structure": "scenewright.systems.inspace.tasks:structure",
        "inspace_boxes": "scenewright.systems.inspace.tasks:boxes",
        "inspace_shape": "scenewright.systems.inspace.tasks:detail",
        "inspace_texture": "scenewright.systems.inspace.tasks:detail",
    },
)
