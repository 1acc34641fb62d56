"""A picture of rooms beside their panoramas: what was given, and of every run the room drawn again and from above.

    python -m scripts.room_sheet SCENES OUT.jpg GENERATED [GENERATED2 ...]

GENERATED is the `generated` folder of `scenewright evaluate --protocol scenewright-room-1 --work WORK`.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from scenewright.data.probe_scenes import find_test_scenes
from scenewright.evaluation.pictures import default_camera, draw
from scenewright.evaluation.room_scoring import RoomTruth, read_room_truth, redrawn
from scenewright.io.scene_file import load_scene
from scenewright.types import Scene

HEIGHT = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("generated", type=Path, nargs="+")
    given = parser.parse_args()
    rows = []
    for folder in find_test_scenes(given.scenes):
        name = f"{folder.relative_to(given.scenes).as_posix()}.glb"
        paths = [generated / name for generated in given.generated]
        if not all(path.is_file() for path in paths):
            continue
        truth = read_room_truth(folder)
        panorama = np.array(Image.fromarray(truth.rgb.numpy()).resize((2 * HEIGHT, HEIGHT), Image.Resampling.BOX))
        rows.append(np.concatenate([panorama, *(part for path in paths for part in shown(path, truth))], 1))
    Image.fromarray(np.concatenate(rows)).save(given.out, quality=88)


def shown(path: Path, truth: RoomTruth) -> tuple[np.ndarray, np.ndarray]:
    """The room from its panorama's camera, and from above without walls and ceiling."""
    scene = load_scene(path)
    again = (redrawn(scene, truth, HEIGHT).numpy() * 255).round().astype(np.uint8)
    inside = [item for item in scene.objects if not item.name.startswith(("wall", "ceiling"))]
    return again, np.array(draw(inside, default_camera(Scene(tuple(inside)), side=HEIGHT)))


if __name__ == "__main__":
    main()
