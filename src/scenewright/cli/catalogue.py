"""All weight records in one table, and which of them each backbone and system needs; both follow from their specs."""

from dataclasses import dataclass

from scenewright.backbones.registry import BACKBONES
from scenewright.encoders.records import RECORDS as ENCODERS
from scenewright.systems import registry
from scenewright.weights.record import WeightsRecord

__all__ = ["SystemNeeds", "all_records", "needs"]


@dataclass(frozen=True)
class SystemNeeds:
    """The purpose of a system or backbone, and the records of the published networks it needs.

    `can_run` says whether this version can generate with it.
    """

    name: str
    purpose: str
    networks: tuple[WeightsRecord, ...]
    can_run: bool = True

    @property
    def num_parameters(self) -> int | None:
        """Parameters of all networks together; None where one of them is not published."""
        known = [record.num_parameters for record in self.networks if record.num_parameters is not None]
        return sum(known) if len(known) == len(self.networks) else None


def all_records() -> dict[str, WeightsRecord]:
    """Every published file that this version knows, by name."""
    encoders = {record.name: record for record in ENCODERS}
    records: dict[str, WeightsRecord] = {}
    for own in (*(spec.records for spec in BACKBONES), encoders, *(spec.records for spec in registry.SPECS)):
        records |= own
    return records


def needs() -> tuple[SystemNeeds, ...]:
    """Backbones, then the systems that have networks."""
    records = all_records()
    rows = [
        *((spec.name, f"one picture to one object: {spec.summary}", spec.networks, True) for spec in BACKBONES),
        *((spec.name, spec.summary, spec.networks, bool(spec.open)) for spec in registry.SPECS if spec.networks),
    ]
    return tuple(
        SystemNeeds(name, purpose, tuple(records[network] for network in networks), can_run)
        for name, purpose, networks, can_run in rows
    )
