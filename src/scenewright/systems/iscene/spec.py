"""Facts of I-Scene that need no network."""

from scenewright.systems.iscene.weights import PACKAGE_FILE, RECORDS, REPOSITORY
from scenewright.systems.spec import MINI_OBJECT_COSTS, TRELLIS1_COSTS, Published, StageCost, SystemSpec, WorkingMemory

__all__ = ["SPEC"]

SPEC = SystemSpec(
    name="iscene",
    summary="one picture with masks to a scene; every object generated in its place",
    reads="masks",
    open="scenewright.systems.iscene.opening:open_iscene",
    published=Published(REPOSITORY, PACKAGE_FILE, "4 GB"),
    records=RECORDS,
    networks=(
        "dinov2-vitl14-reg",
        "iscene/structure_flow",
        "trellis1/structure_decoder",
        "trellis1/slat_flow",
        "trellis1/mesh_decoder",
    ),
    mini="scenewright.systems.mini.system:open_iscene",
    # The scene and one object at a time, of the published sizes (`iscene.memory`).
    working=WorkingMemory(960 * 2**20),
    # Over what was measured: 318 MiB for 2 objects (CPU).
    mini_working=WorkingMemory(300 * 2**20, 50 * 2**20),
    # Estimated from the published sizes, as SceneGen's: the scene once, every object as much again.
    costs=(
        StageCost("encode", 1, 2),
        StageCost("structure", 220, 220, 1),
        *TRELLIS1_COSTS,
    ),
    # An EPYC core, scenes of 2, 4 and 6 objects.
    mini_costs=(
        StageCost("load", 0.4),
        StageCost("encode", 0.1, 0.01),
        StageCost("structure", 1.4, 0.52),
        StageCost("voxels", 0, 0.8),
        StageCost("outline", 0.1, 0.52, 0.4, doubles=False),
        *MINI_OBJECT_COSTS,
    ),
    tasks={
        "iscene_structure": "scenewright.systems.iscene.opening:structure_task",
        "mini_iscene": "scenewright.systems.mini.tasks:iscene",
    },
)
