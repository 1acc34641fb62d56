"""Facts of I-Scene that need no network."""

from scenewright.systems.iscene.weights import PACKAGE_FILE, RECORDS, REPOSITORY
from scenewright.systems.spec import Published, SystemSpec, WorkingMemory

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
    tasks={
        "iscene_structure": "scenewright.systems.iscene.opening:structure_task",
        "mini_iscene": "scenewright.systems.mini.tasks:iscene",
    },
)
