"""From found models to a model pack: canonical frame, quality filter, held-out check, attribution, and a report.

Nothing is dropped in silence: every model has a line in the report, with what was wrong with it.
"""

import csv
import io
import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from scenewright.data.asset import Asset, Credit
from scenewright.data.catalogue import CatalogueEntry, read_entry
from scenewright.data.held_out import HeldOutError, TrainingAsset
from scenewright.errors import InputError
from scenewright.geometry.mesh.area_vectors import area_vectors
from scenewright.io.atomic import make_folder, remove, write_bytes, write_together
from scenewright.io.glb import glb_bytes
from scenewright.progress import Advance, ignore
from scenewright.types import Scene, SceneObject

__all__ = ["ImportReport", "QualityLimits", "ReportLine", "attribution_csv", "import_models", "quality_problems"]

logger = logging.getLogger(__name__)
_INDEX_FIELDS = [
    "id",
    "raw_id",
    "name",
    "category",
    "split",
    "width_m",
    "depth_m",
    "height_m",
    "catalogue_elevation_m",
    "door_or_window",
    "flags",
    "faces",
]


@dataclass(frozen=True)
class QualityLimits:
    """Limits of usable models: lengths in metres over the bounding box."""

    min_faces: int = 4
    max_faces: int = 200_000
    min_longest_m: float = 0.02
    max_longest_m: float = 15.0
    max_aspect: float = 400.0


def quality_problems(asset: Asset, limits: QualityLimits = QualityLimits()) -> list[str]:
    """Reasons to refuse a model; empty for a usable one."""
    problems = []
    longest, shortest = max(asset.size_m), sorted(asset.size_m)[1]
    if asset.num_faces < limits.min_faces:
        problems.append(f"{asset.num_faces} faces, at least {limits.min_faces} are needed")
    if asset.num_faces > limits.max_faces:
        problems.append(f"{asset.num_faces:,} faces, at most {limits.max_faces:,} are used; simplify it")
    if not limits.min_longest_m <= longest <= limits.max_longest_m:
        problems.append(
            f"longest side {longest:.4g} m, expected {limits.min_longest_m} to {limits.max_longest_m}; wrong unit?"
        )
    elif longest > limits.max_aspect * max(shortest, 1e-9):
        problems.append(f"no second dimension ({longest:.3g} m long, {shortest:.2g} m wide)")
    area = sum(_area(part.vertices, part.faces) for part in asset.parts)
    if area <= 1e-8 * longest**2:
        problems.append("its surface has no area")
    return problems


def _area(vertices: torch.Tensor, faces: torch.Tensor) -> float:
    corners = vertices[faces].double()
    return 0.5 * float(area_vectors(corners).norm(dim=1).sum())


@dataclass(frozen=True)
class ReportLine:
    """Verdict on one model: "kept", "refused" (unusable) or "held out" (must never be trained on)."""

    id: str
    source: str
    verdict: str
    reasons: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportReport:
    """All lines of an import and the counts by verdict."""

    lines: tuple[ReportLine, ...]

    @property
    def counts(self) -> dict[str, int]:
        return dict(sorted(Counter(line.verdict for line in self.lines).items()))

    def to_json(self) -> str:
        return json.dumps({"counts": self.counts, "models": [asdict(line) for line in self.lines]}, indent=1)


def attribution_csv(credits: Iterable[tuple[str, str, Credit]]) -> str:
    """The attribution table of (id, name, credit) rows, one model a line; ship it with renders and weights."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    fields = tuple(Credit.__dataclass_fields__)
    writer.writerow(["id", "name", *fields])
    for model_id, name, credit in sorted(credits, key=lambda row: row[0]):
        writer.writerow([model_id, name, *(getattr(credit, field) for field in fields)])
    return buffer.getvalue()


def import_models(
    entries: Sequence[CatalogueEntry],
    out: str | Path,
    *,
    limits: QualityLimits = QualityLimits(),
    progress: Advance = ignore,
) -> ImportReport:
    """Write a model pack of the usable models: `glb/`, `index.csv`, `ATTRIBUTION.csv`, `report.json`.

    Raises:
        InputError: the folder cannot be written. A bad model is a line in the report, not an error.
    """
    out = Path(out)
    make_folder(out / "glb")
    remove(out / "index.csv")  # a pack is whole when it has an index
    lines, rows, credits = [], [], []
    for number, entry in enumerate(entries, 1):
        source = f"{entry.files.path}:{entry.path}"
        try:
            asset = read_entry(entry)
            problems = quality_problems(asset, limits)
            if problems:
                raise InputError("; ".join(problems))
            TrainingAsset.admit(asset, aliases=(entry.raw_id,))
        except HeldOutError as error:
            lines.append(ReportLine(entry.id, source, "held out", (str(error),)))
        except InputError as error:
            lines.append(ReportLine(entry.id, source, "refused", (str(error),)))
        else:
            write_bytes(out / "glb" / f"{entry.id}.glb", glb_bytes(Scene((SceneObject(entry.id, asset.parts),))))
            lines.append(ReportLine(entry.id, source, "kept", (), tuple(sorted(asset.flags))))
            rows.append(_index_row(entry, asset))
            credits.append((entry.id, entry.name, entry.credit))
        progress(number, len(entries))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _INDEX_FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    report = ImportReport(tuple(lines))
    with write_together(out / "ATTRIBUTION.csv", out / "report.json", out / "index.csv") as (credit, verdicts, index):
        credit.write_bytes(attribution_csv(credits).encode())
        verdicts.write_bytes(report.to_json().encode())
        index.write_bytes(buffer.getvalue().encode())
    return report


def _index_row(entry: CatalogueEntry, asset: Asset) -> dict[str, object]:
    width, depth, height = asset.size_m
    return {
        "id": entry.id,
        "raw_id": entry.raw_id,
        "name": entry.name,
        "category": entry.category,
        "split": "train",
        "width_m": round(width, 5),
        "depth_m": round(depth, 5),
        "height_m": round(height, 5),
        "catalogue_elevation_m": entry.elevation_m,
        "door_or_window": int(entry.is_door_or_window),
        "flags": " ".join(sorted(asset.flags)),
        "faces": asset.num_faces,
    }
