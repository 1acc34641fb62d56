"""Every object of generated scenes by itself, from two opposite sides: what a contact sheet of scenes hides.

    python -m scripts.two_sides GENERATED OUT.jpg

GENERATED is a folder of .glb files, such as `generated` in the --work folder of `scenewright evaluate`.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from scenewright.io.scene_file import load_scene
from scenewright.rendering.framing import turntable
from scenewright.rendering.preview import preview_pictures
from scenewright.types import Scene, SceneObject

SIDE, COLUMNS = 130, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generated", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    tiles = [
        tile(item, f"{path.stem} {item.name}")
        for path in sorted(given.generated.glob("*.glb"))
        for item in load_scene(path).objects
    ]
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (2 * SIDE * COLUMNS, SIDE * rows), "white")
    for number, picture in enumerate(tiles):
        sheet.paste(picture, (number % COLUMNS * 2 * SIDE, number // COLUMNS * SIDE))
    sheet.save(given.out, quality=72)


def tile(item: SceneObject, label: str) -> Image.Image:
    """Both views side by side."""
    points = torch.cat([mesh.vertices for mesh in item.placed_parts()])
    views = preview_pictures(Scene((item,)), turntable(points, 2, width=SIDE, height=SIDE))
    both = Image.new("RGB", (2 * SIDE, SIDE))
    for number, view in enumerate(views):
        both.paste(view.convert("RGB"), (number * SIDE, 0))
    ImageDraw.Draw(both).text((3, 2), label, fill="black")
    return both


if __name__ == "__main__":
    main()
