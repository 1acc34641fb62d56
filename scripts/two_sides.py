"""Every object of generated scenes by itself, from two opposite sides: what a contact sheet of scenes hides.

    python -m scripts.two_sides GENERATED OUT.jpg

GENERATED is a folder of .glb files, such as `generated` in the --work folder of `scenewright evaluate`. One row is one
scene, its objects in their order.
"""

import argparse
from pathlib import Path

from scenewright.io.scene_file import load_scene
from scenewright.rendering.preview import PreviewStyle, preview_turntable
from scenewright.rendering.sheet import picture_sheet
from scenewright.types import Scene

STYLE = PreviewStyle(size=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generated", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    files = sorted(given.generated.glob("*.glb"))
    rows = [
        [view for item in load_scene(path).objects for view in preview_turntable(Scene((item,)), 2, style=STYLE)]
        for path in files
    ]
    picture_sheet(rows, row_labels=[path.stem for path in files]).save(given.out, quality=72)


if __name__ == "__main__":
    main()
