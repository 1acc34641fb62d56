"""Input, generated scene and truth of every scene of an evaluation, side by side on one page.

    python scripts/contact_sheet.py WORK_FOLDER OUT.jpg [--columns 4]

The pictures are those that `scenewright evaluate` keeps in its work folder for the report.
"""

import argparse
from pathlib import Path

from PIL import Image

from scenewright.rendering.sheet import picture_sheet

ROLES = ("input", "prediction", "truth")
SIDE = 160


def contact_sheet(work: Path, columns: int) -> Image.Image:
    """Rows of `columns` scenes each, their names below."""
    truths = sorted(work.rglob("*_truth.jpg"))
    if not truths:
        raise SystemExit(f"'{work}' holds no pictures; run `scenewright evaluate` with --work {work}.")
    stems = [truth.with_name(truth.name.removesuffix("_truth.jpg")) for truth in truths]
    rows = [stems[start : start + columns] for start in range(0, len(stems), columns)]
    return picture_sheet(
        [[opened(stem.with_name(f"{stem.name}_{role}.jpg")) for stem in row for role in ROLES] for row in rows],
        ROLES * columns,
        row_labels=[", ".join(stem.name for stem in row) for row in rows],
        cell=SIDE,
    )


def opened(path: Path) -> Image.Image | None:
    return Image.open(path) if path.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--columns", type=int, default=4)
    arguments = parser.parse_args()
    contact_sheet(arguments.work, arguments.columns).save(arguments.out, quality=82)


if __name__ == "__main__":
    main()
