"""Facts of SceneGen that need no network."""

from scenewright.systems.scenegen.weights import RECORDS, REPOSITORY
from scenewright.systems.spec import MINI_OBJECT_COSTS, TRELLIS1_COSTS, Published, StageCost, SystemSpec, WorkingMemory

__all__ = ["SPEC"]

SPEC = SystemSpec(
    name="scenegen",
    summary="pictures with masks to a scene; shapes and places of all objects together",
    reads="masks",
    open="scenewright.systems.scenegen.opening:open_scenegen",
    max_views=None,
    published=Published(REPOSITORY, "pipeline.json", "9 GB"),
    records=RECORDS,
    networks=(
        "dinov2-vitl14-reg",
        "vggt-1b",
        "scenegen/structure_flow",
        "trellis1/structure_decoder",
        "trellis1/slat_flow",
        "trellis1/mesh_decoder",
    ),
    mini="scenewright.systems.mini.system:open_scenegen",
    # Activations and keys of an evaluation of the published sizes (`scenegen.memory`).
    working=WorkingMemory(256 * 2**20, 300 * 2**20),
    # Over what was measured: 157 MiB for 2 objects, 387 MiB for 8 (CPU).
    mini_working=WorkingMemory(200 * 2**20, 50 * 2**20),
    # Estimated from the published sizes, never timed: 25 steps of 24 blocks, 19 of them guided, attention among few
    # objects.
    costs=(
        StageCost("encode", 5, 4),
        StageCost("structure", 0, 600, 1),
        *TRELLIS1_COSTS,
    ),
    # An EPYC core, scenes of 2, 4 and 6 objects.
    mini_costs=(
        StageCost("load", 0.4),
        StageCost("encode", 0.1, 0.01),
        StageCost("structure", 0.45, 0.6),
        StageCost("voxels", 0, 0.45),
        StageCost("outline", 0.1, 0.52, 0.4, doubles=False),
        *MINI_OBJECT_COSTS,
    ),
    tasks={
        "mini_scenegen": "scenewright.systems.mini.tasks:scenegen",
        "scenegen_structure": "scenewright.systems.scenegen.opening:structure_task",
    },
)
