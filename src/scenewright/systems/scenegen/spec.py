"""Facts of SceneGen that need no network."""

from scenewright.systems.scenegen.weights import RECORDS, REPOSITORY
from scenewright.systems.spec import Published, SystemSpec, WorkingMemory

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
    tasks={
        "mini_scenegen": "scenewright.systems.mini.tasks:scenegen",
        "scenegen_structure": "scenewright.systems.scenegen.opening:structure_task",
    },
)
