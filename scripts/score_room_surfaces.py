"""Surfaces of places by the Poisson baseline and by mini's room network, before they are simplified, against the truth.

    python -m scripts.score_room_surfaces SCENES [WEIGHTS.safetensors ...]

SCENES holds places as `scenewright evaluate` takes them (those of `scripts.mini_rooms places`, or test scenes). Every
eighth picture is left out; scores are those of the protocol `scenewright-place-1` that need neither colours nor
objects. Without WEIGHTS, those that ship are scored.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from scenewright.evaluation.places import Place, find_places, score_place
from scenewright.evaluation.protocols import PLACE_1
from scenewright.geometry.frames import YUP_FROM_ZUP
from scenewright.systems.baselines.poisson import poisson_surface
from scenewright.systems.genrecon.captures import Alignment, aligned
from scenewright.systems.genrecon.photographs import Photographs, chosen_pictures
from scenewright.systems.genrecon.scene_plan import plan_scene
from scenewright.systems.genrecon.seen_points import capture_points
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.genrecon import MINI_OPTIONS
from scenewright.systems.mini.networks import genrecon_files, load_network
from scenewright.systems.mini.room_evidence import encoded_views
from scenewright.systems.mini.room_network import RoomNetwork
from scenewright.systems.mini.room_surface import predicted_field, surface_of_field
from scenewright.types import Mesh, Scene, SceneObject

METRICS = ("f_5cm", "f_10cm", "accuracy_m", "completeness_m", "normal_consistency")
PROTOCOL = replace(PLACE_1, metrics=METRICS, num_points=100_000)


@torch.no_grad()
def surfaces(place: Place, weights: list[Path]) -> dict[str, Mesh]:
    left_out = set(place.held_out(PROTOCOL.held_out_every))
    given = tuple(picture for row, picture in enumerate(place.capture.pictures) if row not in left_out)
    capture = aligned(replace(place.capture, pictures=given), Alignment(metres_per_unit=1.0))
    plan = plan_scene(capture, MINI_OPTIONS.plan)
    photographs = Photographs.of_plan(capture, plan)
    poses, unit = photographs.cam_from_world, photographs.intrinsics_unit
    points = capture_points(capture, chosen_pictures(plan), poses, unit)
    files = genrecon_files()
    views = encoded_views(load_network(files, "conditioner", PictureConditioner), photographs.pictures, poses, unit)
    found = {"poisson": poisson_surface(points, plan.chunks.size / 64)}
    for path in weights or [files["room_network"]]:
        network = load_network({"room_network": path}, "room_network", RoomNetwork)
        found[path.stem] = surface_of_field(predicted_field(network, plan.chunks, points, views))
    back = torch.linalg.inv(torch.from_numpy(np.asarray(capture.world_from_capture)) @ YUP_FROM_ZUP)
    return {
        name: Mesh((mesh.vertices.double() @ back[:3, :3].T + back[:3, 3]).float(), mesh.faces)
        for name, mesh in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("weights", type=Path, nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for label, folder in find_places(arguments.scenes).items():
        place = Place.read(folder, label)
        for name, mesh in surfaces(place, arguments.weights).items():
            scores = score_place(Scene((SceneObject("walls", (mesh,)),)), place, PROTOCOL)
            print(label, name, *(f"{metric} {value:.3f}" for metric, value in scores.items()), flush=True)


if __name__ == "__main__":
    main()
