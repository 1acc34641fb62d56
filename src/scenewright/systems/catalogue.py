"""All weight records in one table, which of them each backbone and system needs, and which may be used commercially.

All of it follows from the specs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scenewright.backbones.registry import BACKBONES
from scenewright.encoders.records import RECORDS as ENCODERS
from scenewright.errors import InputError
from scenewright.systems import registry
from scenewright.weights.record import WeightsRecord

__all__ = ["SystemNeeds", "all_records", "needs", "refuse_uncleared"]


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


def refuse_uncleared(networks: Iterable[str], places: Iterable[str | Path] = ()) -> None:
    """Refuses weights that are not known to be free for commercial use.

    Args:
        networks: names of records.
        places: folders and repositories that weights are taken from; only published ones have a known licence.

    Raises:
        InputError: one of them is not cleared; all are named, with their licences.
    """
    records = all_records()
    reasons = {name: f"{name} ({records[name].licence})" for name in networks if records[name].is_non_commercial}
    for place in map(str, places):
        known = [record for record in records.values() if record.repository == place]
        if not known:
            reasons[place] = f"{place} (licence not known here)"
        elif all(record.is_non_commercial for record in known) and not reasons:
            reasons[place] = f"{place} ({known[0].licence})"
    if reasons:
        raise InputError(
            f"Not cleared for commercial use: {', '.join(reasons.values())}. Use other weights (`scenewright list` "
            "shows all licences), or leave --commercial out where you have cleared them yourself."
        )
