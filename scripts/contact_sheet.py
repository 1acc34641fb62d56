"""Input, generated scene and truth of every scene of an evaluation, side by side on one page.

    python scripts/contact_sheet.py WORK_FOLDER OUT.jpg [--columns 4]

The pictures are those that `scenewright evaluate` keeps in its work folder for the report.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw

ROLES = ("input", "prediction", "truth")
SIDE, GAP, TITLE = 160, 6, 14


def contact_sheet(work: Path, columns: int) -> Image.Image:
    truths = sorted(work.rglob("*_truth.jpg"))
    if not truths:
        raise SystemExit(f"'{work}' holds no pictures; run `scenewright evaluate` with --work {work}.")
    rows = -(-len(truths) // columns)
    width, height = len(ROLES) * SIDE + GAP, SIDE + TITLE + GAP
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, truth in enumerate(truths):
        name = truth.name.removesuffix("_truth.jpg")
        left, top = number % columns * width, number // columns * height
        draw.text((left + 2, top), f"{name}: {', '.join(ROLES)}", fill="black")
        for place, role in enumerate(ROLES):
            path = truth.with_name(f"{name}_{role}.jpg")
            if path.exists():
                with Image.open(path) as picture:
                    sheet.paste(picture.convert("RGB").resize((SIDE, SIDE)), (left + place * SIDE, top + TITLE))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--columns", type=int, default=4)
    arguments = parser.parse_args()
    contact_sheet(arguments.work, arguments.columns).save(arguments.out, quality=82)


if __name__ == "__main__":
    main()
