"""All weight records in one table, and which of them each system needs."""

from dataclasses import dataclass

from scenewright.backbones.trellis1.weights import RECORDS as TRELLIS1
from scenewright.backbones.trellis2.weights import RECORDS as TRELLIS2
from scenewright.encoders.records import RECORDS as ENCODERS
from scenewright.systems.genrecon.weights import RECORDS as GENRECON
from scenewright.systems.inspace.weights import RECORDS as INSPACE
from scenewright.systems.iscene.weights import RECORDS as ISCENE
from scenewright.systems.scenegen.weights import RECORDS as SCENEGEN
from scenewright.weights.record import WeightsRecord

__all__ = ["RECORDS", "SYSTEMS", "SystemNeeds"]

RECORDS: dict[str, WeightsRecord] = (
    TRELLIS1 | TRELLIS2 | {record.name: record for record in ENCODERS} | SCENEGEN | ISCENE | GENRECON | INSPACE
)

_TRELLIS1_ASSETS = ("trellis1/structure_decoder", "trellis1/slat_flow", "trellis1/mesh_decoder")
_TRELLIS2_ASSETS = ("trellis1/structure_decoder", "trellis2/shape_decoder", "trellis2/texture_decoder")


@dataclass(frozen=True)
class SystemNeeds:
    """What a system turns into what, and the names of the published networks it needs."""

    name: str
    purpose: str
    networks: tuple[str, ...]

    @property
    def num_parameters(self) -> int | None:
        """Parameters of all networks together; None where one of them is not published."""
        counts = [RECORDS[name].num_parameters for name in self.networks]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


SYSTEMS = (
    SystemNeeds(
        "trellis1", "one picture to one object", ("dinov2-vitl14-reg", "trellis1/structure_flow", *_TRELLIS1_ASSETS)
    ),
    SystemNeeds(
        "trellis2",
        "one picture to one object with PBR materials",
        (
            "dinov3-vitl16",
            "trellis2/structure_flow",
            "trellis2/shape_flow_512",
            "trellis2/texture_flow_512",
            *_TRELLIS2_ASSETS,
        ),
    ),
    SystemNeeds(
        "scenegen",
        "one picture with masks to a scene",
        ("dinov2-vitl14-reg", "vggt-1b", "scenegen/structure_flow", *_TRELLIS1_ASSETS),
    ),
    SystemNeeds(
        "iscene", "one picture with masks to a scene", ("dinov2-vitl14-reg", "iscene/structure_flow", *_TRELLIS1_ASSETS)
    ),
    SystemNeeds(
        "inspace",
        "one panorama to a room",
        (
            "dinov3-vitl16",
            "inspace/structure_flow",
            "inspace/box_network",
            "inspace/shape_flow",
            "inspace/texture_flow",
            *_TRELLIS2_ASSETS,
        ),
    ),
    SystemNeeds(
        "genrecon",
        "posed pictures to a room",
        (
            "dinov3-vitl16",
            "genrecon/sparse_structure",
            "genrecon/shape_slat",
            "genrecon/texture_slat",
            *_TRELLIS2_ASSETS,
        ),
    ),
)
