"""A picture of rooms beside their panoramas: what was given, the room drawn again from there, and the room from above.

    python -m scripts.room_sheet SCENES GENERATED OUT.jpg

GENERATED is the `generated` folder of `scenewright evaluate --protocol scenewright-room-1 --work WORK`.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from scenewright.data.probe_scenes import find_test_scenes
from scenewright.evaluation.pictures import default_camera, draw
from scenewright.evaluation.room_scoring import read_room_truth, redrawn
from scenewright.io.scene_file import load_scene
from scenewright.types import Scene

HEIGHT = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("generated", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    rows = []
    for folder in find_test_scenes(given.scenes):
        path = given.generated / f"{folder.relative_to(given.scenes).as_posix()}.glb"
        if not path.is_file():
            continue
        truth, scene = read_room_truth(folder), load_scene(path)
        panorama = np.array(Image.fromarray(truth.rgb.numpy()).resize((2 * HEIGHT, HEIGHT), Image.Resampling.BOX))
        again = (redrawn(scene, truth, HEIGHT).numpy() * 255).round().astype(np.uint8)
        inside = [item for item in scene.objects if not item.name.startswith(("wall", "ceiling"))]
        above = np.array(draw(inside, default_camera(Scene(tuple(inside)), side=HEIGHT)))
        rows.append(np.concatenate([panorama, again, above], 1))
    Image.fromarray(np.concatenate(rows)).save(given.out, quality=88)


if __name__ == "__main__":
    main()
