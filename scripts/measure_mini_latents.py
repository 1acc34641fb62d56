"""What mini's latent stages add to the voxels: surfaces and colours of held-out made scenes, against truth.

    python -m scripts.measure_mini_latents PACK.zip [--scenes 20] [--out docs/results/mini-latents.json]

The scenes are those that no flow was trained on (the first of `mini_data.py make`), their structures SceneGen-mini's.
Points of drawn and true surfaces are compared in the objects' own cubes of side 1; colours at the drawn points with
those of the nearest true ones, on the half towards the camera and on the other. "voxels" is the smoothed surface of the
structure in the picture's colours, without any latent.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial import cKDTree

from scenewright.systems.assembly.decoding import RawObject
from scenewright.systems.assembly.structures import PlacedStructures, SceneRequest, object_generator
from scenewright.systems.mini.latent_decoder import LatentDecoder
from scenewright.systems.mini.networks import LatentNetworks, MiniNetworks
from scenewright.systems.mini.picture_colors import picture_field
from scenewright.systems.mini.stages import MiniSceneGenStage
from scenewright.systems.mini.surface import surfaces_of
from scenewright.types import Mesh, OVoxel, View
from scripts.mini_data import CHUNK, SEED, selector
from scripts.mini_training.examples import SeenObjects, compose_views, seen_objects
from scripts.mini_training.latent_examples import turned_voxels
from scripts.mini_training.measured import tell

NUM_POINTS = 10_000
TRUE_RESOLUTION = 128
THRESHOLDS = (0.05, 0.025)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack")
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    stage, decoder = MiniSceneGenStage(MiniNetworks.load("scenegen")), LatentDecoder(LatentNetworks.load())
    rows: dict[str, list[dict[str, float]]] = {"voxels": [], "latents": []}
    for seen in held_out(given.pack, given.scenes):
        request = SceneRequest((View(Image.fromarray(seen.rgb.numpy()), seen.objects),))
        structures = stage.sample_structures(request)
        made = {
            "voxels": from_voxels(structures),
            "latents": decoder.decode(structures, lambda index, name: object_generator(0, f"object {index}", name)),
        }
        truths = [
            turned_voxels(asset, matrix, TRUE_RESOLUTION)
            for asset, matrix in zip(seen.assets, seen.turned_from_object, strict=True)
        ]
        for name, objects in made.items():
            rows[name] += [compared(item, truth) for item, truth in zip(objects, truths, strict=True)]
    tell(rows, "objects", given.out)


def held_out(pack: str, count: int) -> Iterator[SeenObjects]:
    """The first view of scenes of the chunk that is kept for validation."""
    for number in range(CHUNK):
        seen = seen_objects(compose_views(selector(pack), SEED, number)[0])
        if seen is not None and count > 0:
            count -= 1
            yield seen


def from_voxels(structures: PlacedStructures) -> list[RawObject | None]:
    surfaces = surfaces_of(structures)
    return [
        RawObject(surfaces[row], picture_field(surfaces[row].vertices, picture)) if row in surfaces else None
        for row, picture in enumerate(structures.pictures)
    ]


def compared(item: RawObject | None, truth: OVoxel) -> dict[str, float]:
    """Surface F-scores in percent and mean absolute errors; an object that was not made has the worst of all."""
    errors = ("color_front", "color_back", "roughness")
    if item is None:
        return {**{f"f_{tau}": 0.0 for tau in THRESHOLDS}, **dict.fromkeys(errors, 1.0)}
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(truth.grid.coords))[:NUM_POINTS]
    true = (truth.grid.coords.double() + truth.grid.dual_vertices.double()).numpy() / TRUE_RESOLUTION - 0.5
    true = true[rows]
    drawn = spread_points(item.surface, NUM_POINTS, rng)
    to_true, nearest = cKDTree(true).query(drawn)
    to_drawn, _ = cKDTree(drawn).query(true)
    found = {}
    for tau in THRESHOLDS:
        precision, recall = (to_true < tau).mean(), (to_drawn < tau).mean()
        found[f"f_{tau}"] = 200 * precision * recall / max(precision + recall, 1e-9)
    values = item.field.at(torch.from_numpy(drawn).float()).numpy()
    channel = {name: values[:, index] for index, name in enumerate(item.field.channels)}
    color, roughness = (
        truth.materials[name].float().numpy()[rows][nearest] / 255 for name in ("base_color", "roughness")
    )
    error = np.abs(np.stack([channel[name] for name in ("red", "green", "blue")], 1) - color).mean(1)
    is_front = drawn[:, 1] < np.median(drawn[:, 1])
    rough = np.abs(channel["roughness"] - roughness.reshape(-1)).mean()
    found |= dict(zip(errors, (error[is_front].mean(), error[~is_front].mean(), rough), strict=True))
    return {name: round(float(value), 5) for name, value in found.items()}


def spread_points(mesh: Mesh, count: int, rng: np.random.Generator) -> np.ndarray:
    corners = mesh.vertices.double().numpy()[mesh.faces.numpy()]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    weights = rng.dirichlet((1, 1, 1), count)
    return np.einsum("nk,nkd->nd", weights, corners[rng.choice(len(areas), count, p=areas / areas.sum())])


if __name__ == "__main__":
    main()
