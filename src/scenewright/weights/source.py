"""A place that weights are taken from, with what goes for everything taken from it.

    source = WeightsSource("./my-run", offline=True)
    path = source.fetch(RECORD)                  # that file of the folder; of a hub repository, verified
    if stored := source.beside("encoder"):       # encoder.json and encoder.safetensors in the folder itself
        arguments, path = stored
    base = source.at("owner/base-model")         # another place under the same conditions

Functions that load networks take one of these, the device and the dtype.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scenewright.weights.config import read_config
from scenewright.weights.hub import fetch, find_file, is_local_source, list_files, refuse_unlisted
from scenewright.weights.record import WeightsRecord

__all__ = ["Report", "WeightsSource"]

Report = Callable[[str], None]


def _silent(line: str) -> None:
    pass


@dataclass(frozen=True)
class WeightsSource:
    """A local folder or a hub repository in a published layout; errors are `WeightsError`s.

    Attributes:
        place: folder or `owner/repository`; see `weights.hub` for how they are told apart.
        offline: never download.
        report: called with one line per network that is being loaded.
    """

    place: str | Path
    offline: bool = False
    report: Report = _silent

    def __str__(self) -> str:
        return str(self.place)

    @property
    def is_local(self) -> bool:
        return is_local_source(self.place)

    def at(self, place: str | Path) -> "WeightsSource":
        """Another folder or repository under the same conditions."""
        return replace(self, place=place)

    def named_by_file(self, place: str, records: Collection[WeightsRecord], file: str) -> "WeightsSource":
        """Another place, which a file names: a repository of the records, unless the user allowed more.

        Raises:
            WeightsError: it is another repository.
        """
        refuse_unlisted(place, {str(self.place), *(record.repository for record in records)}, file)
        return self.at(place)

    def find(self, file: str) -> Path:
        """A file on this machine, downloaded if need be, unverified (configurations)."""
        return find_file(self.place, file, offline=self.offline)

    def files(self) -> list[str]:
        """Paths of all files of the folder or repository."""
        return list_files(self.place, offline=self.offline)

    def weights(self, file: str, records: Collection[WeightsRecord] = ()) -> Path:
        """A weight file by its path: verified with its record, or where no record has it as first seen here."""
        if self.is_local:
            return self.find(file)
        for record in records:
            if (record.repository, record.file) == (str(self.place), file):
                return self.fetch(record)
        return self.fetch(WeightsRecord(file, str(self.place), file, architecture="", licence="", paper=""))

    def fetch(self, record: WeightsRecord) -> Path:
        """The weight file of a record: verified where it comes from the hub; a folder may hold other weights."""
        return self.find(record.file) if self.is_local else fetch(record, self.place, offline=self.offline)

    def holds(self, file: str) -> bool:
        """Whether the place is a folder with that file."""
        return self.is_local and os.path.isfile(Path(self.place).expanduser() / file)

    def beside(self, name: str) -> tuple[dict[str, Any], Path] | None:
        """Constructor arguments and weight file of a network that a folder holds itself, or None where it does not.

        The files are `<name>.json`, `{"name": class, "args": arguments}`, and `<name>.safetensors`.
        """
        if not self.holds(f"{name}.json"):
            return None
        return dict(read_config(self.find(f"{name}.json"))[1]), self.find(f"{name}.safetensors")
