"""Scenes from photographs that others made, with masks from boxes: python -m scripts.photograph_sheet PHOTOS WORK.

`docs/pictures/photographs.csv` names the photographs, where they are from, and the boxes; PHOTOS has the files. Each is
generated with the mini weights as a newcomer would: `scenewright generate FILE --boxes ...`. One row of the sheet is
one photograph: itself, its masks, the scene from the same camera and from above.
"""

import csv
import subprocess
import sys
from pathlib import Path

from PIL import Image

LIST = Path("docs/pictures/photographs.csv")
TARGET = Path("docs/pictures/photographs.jpg")
WIDTH = 1000


def main(photographs: Path, work: Path) -> None:
    rows = []
    for entry in csv.DictReader(LIST.read_text().splitlines()):
        picture = work / Path(entry["file"]).stem / "scene_comparison.png"
        if not picture.exists():
            boxes = [part for box in entry["boxes"].split() for part in ("--boxes", box)]
            command = [sys.executable, "-m", "scenewright", "generate", str(photographs / entry["file"]), *boxes]
            picture.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run([*command, "--out", str(picture.with_name("scene.glb"))], check=True)
        image = Image.open(picture).convert("RGB")
        rows.append(image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.BOX))
    sheet = Image.new("RGB", (WIDTH, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    sheet.save(TARGET, quality=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
