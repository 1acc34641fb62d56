"""Facts of the baselines: two stand objects on the floor under the masks, one draws a surface through points."""

from scenewright.systems.spec import SystemSpec

__all__ = ["CUBOID", "POISSON", "RETRIEVAL"]

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
POISSON = SystemSpec(
    name="poisson",
    summary="baseline: the smooth surface through a capture's points, in its photographs' colours",
    reads="posed",
    max_views=None,
    open="scenewright.systems.baselines.opening:open_poisson",
    notice="The Poisson baseline draws a surface through the capture's points; it uses no network.",
    takes=frozenset({"max_faces", "texture_size"}),
)
