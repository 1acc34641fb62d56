"""Facts of the baselines: both stand objects on the floor under the masks."""

from scenewright.systems.spec import SystemSpec

__all__ = ["CUBOID", "RETRIEVAL"]

CUBOID = SystemSpec(
    name="cuboid",
    summary="baseline: every mask becomes a box on the floor",
    reads="masks",
    open="scenewright.systems.baselines.opening:open_cuboid",
    notice="The cuboid baseline makes a box of every mask; it uses no network.",
    takes=frozenset({"settle"}),
)
RETRIEVAL = SystemSpec(
    name="retrieval",
    summary="baseline: every mask is answered with the most similar training model",
    reads="masks",
    open="scenewright.systems.baselines.opening:open_retrieval",
    weights_help="PACK.zip, a pack of training models",
    takes=frozenset({"settle"}),
)
