"""Made floor scenes as folders that `scenewright evaluate --scenes` reads: to choose by; public ones only measure.

    python -m scripts.made_scenes FOLDER PACK.zip [PACK2.zip] --scenes 36 [--seed 31]

Folder, files and frames are those of the test scenes (`scenewright.data.probe_scenes`): the camera and the true
surfaces are known. Objects come from the packs' training splits and our families; mini learned from other scenes.
"""

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scenewright.data.composition import ComposedScene, PlacedAsset
from scenewright.data.ground_truth import prepare_scene
from scenewright.data.recipes import DataRecipe
from scenewright.data.stream import SceneStream
from scenewright.geometry.frames import ZUP_FROM_YUP, yup_from_zup
from scenewright.geometry.mesh.occlusion import is_seen_from_outside
from scenewright.geometry.mesh.parts import face_normals
from scenewright.geometry.mesh.sample import sample_faces
from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.io.glb import save_glb
from scenewright.types import Scene, SceneObject, merged_mesh
from scripts.mini_training.examples import Painter

POINTS = 4096
# Points drawn for each that is kept: inner walls and drawers are up to three quarters of a model's surface.
SPARE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("packs", nargs="+")
    parser.add_argument("--scenes", type=int, default=36)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--path-traced", action="store_true", help="pictures by Mitsuba, which must be installed")
    given = parser.parse_args()
    painter = None
    if given.path_traced:
        from scripts.mini_training.path_traced import path_traced

        painter = partial(path_traced, samples=16)
    stream = SceneStream(DataRecipe("floor", given.scenes, given.seed, tuple(given.packs)))
    for number in range(given.scenes):
        scene = stream.scene(number)
        if scene is not None:
            write(scene, given.folder / f"{number:03d}", np.random.default_rng([given.seed, number]), painter)


def write(scene: ComposedScene, folder: Path, rng: np.random.Generator, painter: Painter | None = None) -> None:
    """One scene's folder; `painter` draws the picture in place of our own renderer."""
    folder.mkdir(parents=True, exist_ok=True)
    camera = scene.cameras[0]
    picture = prepare_scene(scene).pictures((camera,))[0]
    rgb = picture.rgb if painter is None else painter(scene, rng)
    Image.fromarray(rgb.numpy()).save(folder / "rgb.jpg", quality=92)
    Image.fromarray(picture.instance.numpy().astype(np.uint8)).save(folder / "instances.png")
    items = [named(item, number) for number, item in enumerate(scene.scene().objects[: len(scene.objects)], 1)]
    save_glb(Scene(tuple(items), is_metric=True), folder / "gt.glb")
    points: dict[str, np.ndarray | np.float32] = {}
    for number, item in enumerate(items, 1):
        points |= surface_points(item, f"{number:02d}", rng)
    np.savez_compressed(folder / "gt_points.npz", **points)
    facts = {
        "kind": "single_view",
        "width": camera.width,
        "height": camera.height,
        "intrinsics": {"K": camera.intrinsics_px.tolist()},
        "world_to_camera": (camera.cam_from_world.double() @ ZUP_FROM_YUP).tolist(),
        "objects": [entry(number, placed) for number, placed in enumerate(scene.objects, 1)],
    }
    (folder / "scene.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def named(item: SceneObject, number: int) -> SceneObject:
    return replace(item, name=f"obj_{number:02d}")


def surface_points(item: SceneObject, key: str, rng: np.random.Generator) -> dict[str, np.ndarray | np.float32]:
    """Points on steps of a grid, as the files of test scenes hold them: of what is seen from outside, and no more."""
    mesh = merged_mesh(item.placed_parts())
    drawn, face = sample_faces(mesh.vertices.double().numpy(), mesh.faces.numpy(), SPARE * POINTS, rng)
    points, normals = torch.from_numpy(drawn), face_normals(mesh)[torch.from_numpy(face)]
    outside = points[is_seen_from_outside(TriangleTree(mesh), points, normals)]
    positions = yup_from_zup(outside[torch.from_numpy(rng.permutation(len(outside))[:POINTS])]).numpy()
    low = positions.min(0)
    scale = max(float((positions.max(0) - low).max()), 1e-9) / 65535
    return {
        f"{key}_p": np.round((positions - low) / scale).astype(np.uint16),
        f"{key}_lo": low.astype(np.float32),
        f"{key}_scale": np.float32(scale),
        f"{key}_n": np.zeros((len(positions), 3), np.int8),
    }


def entry(number: int, placed: PlacedAsset) -> dict[str, object]:
    width, depth, height = placed.size_m
    turned = ZUP_FROM_YUP.T @ placed.world_from_object.double() @ ZUP_FROM_YUP
    return {
        "instance": number,
        "model_id": placed.asset.id,
        "model_to_world": turned.tolist(),
        "obb": {"size": [width, height, depth]},
    }


if __name__ == "__main__":
    main()
