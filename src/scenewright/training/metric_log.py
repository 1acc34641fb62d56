"""Numbers of a run: one JSON object per line in `metrics.jsonl`, and TensorBoard where it is installed."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenewright.errors import InputError
from scenewright.io.atomic import write_bytes

__all__ = ["MetricLog", "MetricWindow", "read_metrics"]

logger = logging.getLogger(__name__)


@dataclass
class MetricWindow:
    """Sums of metrics over some steps; a metric counts the steps that have it."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        return {name: total / self.counts[name] for name, total in self.sums.items()}


class MetricLog:
    """Appends lines; when a run resumes, lines after the step it resumes from are dropped first."""

    def __init__(self, run: Path, tensorboard: bool = True, *, resumed_step: int = 0) -> None:
        self.path = run / "metrics.jsonl"
        self._drop_after(resumed_step)
        self._writer: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                logger.info("TensorBoard is not installed (scenewright[train]); metrics go to %s only.", self.path)
            else:
                self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=resumed_step + 1)

    def _drop_after(self, step: int) -> None:
        if self.path.exists():
            lines = [json.dumps(row) for row in read_metrics(self.path) if row["step"] <= step]
            write_bytes(self.path, "".join(line + "\n" for line in lines).encode())

    def write(self, step: int, values: dict[str, float]) -> None:
        """Appends one line.

        Raises:
            InputError: the disk is full.
        """
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise InputError(f"Cannot write '{self.path}': {error.strerror}; free some space and --resume.") from error
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Rows of a metrics file; a last line that a killed process left unfinished is skipped."""
    rows = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            logger.warning("'%s' has an unfinished line, which is left out.", path)
    return rows
