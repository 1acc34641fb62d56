"""Training examples from composed scenes: small pictures of every object, its shape in two cubes, and where it stands.

    compose_views -> example_of -> SceneExample; write_examples: a .npz file per chunk of scenes, read by read_examples

Frame: the world turned about the vertical so that the camera looks along +y ("turned world"), z up, metres. An object's
own cube has its box's centre and longest side; the scene's cube those of all objects together.

Legend: K scenes, N objects, R resolution, P side of pictures.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from scenewright.data.asset import Asset, merged_geometry
from scenewright.data.composition import ComposedScene
from scenewright.data.floor_scenes import compose_floor_scene, object_corners
from scenewright.data.ground_truth import prepare_scene
from scenewright.data.selection import Selector
from scenewright.data.viewpoints import SingleViewRanges, sample_single_view
from scenewright.geometry.frames import view_centric_rotation
from scenewright.geometry.mesh.sample import sample_surface
from scenewright.io.archives import read_npz_arrays
from scenewright.io.atomic import atomic_path, make_folder
from scenewright.systems.mini.occupancy import filled, outer_shell
from scenewright.systems.mini.pictures import ScenePictures, crop_from_pixels, cut_out_pictures, occluder_pictures
from scenewright.systems.mini.sizes import RESOLUTION
from scenewright.types import Camera, Mask, ObjectMasks

__all__ = [
    "Painter",
    "SceneExample",
    "SeenObjects",
    "compose_views",
    "example_files",
    "example_of",
    "first_scene",
    "is_mirrored",
    "mirror_examples",
    "picture_bytes",
    "points_occupancy",
    "read_examples",
    "seen_objects",
    "solid",
    "write_examples",
]

# Enough that a wall of 32 x 32 voxels has no hole by chance, through which its inside would count as outside.
_NUM_POINTS = 120_000
PICTURE_SIDE = 448
_VIEWS = 4
_RANGES = SingleViewRanges(pitch_down_deg=(9.0, 36.0), yaw_deg=(-110.0, 110.0))
_MIN_VISIBLE_FRACTION = 0.2
_MIN_VISIBLE_PIXELS = 160
_FILL = 0.9999
Painter = Callable[[ComposedScene, np.random.Generator], UInt8[torch.Tensor, "H W 3"]]
# Added to the number of a file's first scene; no set has so many.
_MIRRORED = 5_000_000
_GRIDS = ("own_solid", "own_occupancy", "placed_occupancy")


@dataclass(frozen=True)
class SceneExample:
    """The well visible objects of one scene. Pictures are colours times alpha, and alpha, in bytes.

    `own_occluders` are other objects' shares of the own pictures' pixels, `crop_from_world` takes homogeneous points of
    the turned world to homogeneous places in the own pictures (axes from -1 to 1), the third of which is the depth in
    metres. `own_solid` is occupied inside too, `own_occupancy` only where it can be seen from outside.
    """

    own_pictures: UInt8[np.ndarray, "N P P 4"]
    placed_pictures: UInt8[np.ndarray, "N P P 4"]
    scene_picture: UInt8[np.ndarray, "P P 4"]
    own_occluders: UInt8[np.ndarray, "N P P"]
    crop_from_world: Float[np.ndarray, "N 3 4"]
    own_solid: Bool[np.ndarray, "N R R R"]
    own_occupancy: Bool[np.ndarray, "N R R R"]
    placed_occupancy: Bool[np.ndarray, "N R R R"]
    centres: Float[np.ndarray, "N 3"]
    sides: Float[np.ndarray, " N"]
    scene_centre: Float[np.ndarray, " 3"]
    scene_side: float


def compose_views(selector: Selector, seed: int, number: int) -> list[ComposedScene]:
    """Scene `number` without walls and ceiling (pictures are cut out), once for each of its cameras."""
    rng = np.random.default_rng([seed, number])
    scene = compose_floor_scene(selector, rng, size=PICTURE_SIDE)
    scene = replace(scene, fixtures=tuple(item for item in scene.fixtures if item[0] == "floor"))
    corners = object_corners(scene.objects)
    cameras = [sample_single_view(corners, rng, size=PICTURE_SIDE, ranges=_RANGES) for _ in range(_VIEWS)]
    return [replace(scene, cameras=(camera,)) for camera in cameras]


@dataclass(frozen=True)
class SeenObjects:
    """The well visible objects of a scene with one camera: the picture, who is where in it, and the turned world.

    `turned_from_object[i]` takes points of object i's model to the turned world, `camera` sees that world.
    """

    rgb: UInt8[torch.Tensor, "H W 3"]
    objects: ObjectMasks
    assets: list[Asset]
    turned_from_object: Float[np.ndarray, "N 4 4"]
    camera: Camera

    @cached_property
    def pictures(self) -> ScenePictures:
        """Inputs of mini's networks."""
        return cut_out_pictures(Image.fromarray(self.rgb.numpy()), self.objects)


def seen_objects(scene: ComposedScene, *, supersample: int = 1) -> SeenObjects | None:
    """The objects that the camera sees well; None where that is fewer than two objects."""
    camera = scene.cameras[0]
    prepared = prepare_scene(scene, shadow_size=256)
    scale = 4
    seen = [
        number
        for number, view in enumerate(prepared.views(camera, shrink=scale))
        if view.visible_fraction >= _MIN_VISIBLE_FRACTION
        and view.visible_pixels * scale**2 >= _MIN_VISIBLE_PIXELS
        and not view.touches_border
    ]
    if len(seen) < 2:
        return None
    picture = prepared.picture(camera, supersample=supersample)
    objects = ObjectMasks([Mask.of(picture.instance == number + 1) for number in seen])
    if min(mask.area for mask in objects.regions) < _MIN_VISIBLE_PIXELS // 2:
        return None
    turn = np.eye(4)
    turn[:3, :3] = view_centric_rotation(camera.cam_from_world[2, :2].double()).numpy()
    placed = [scene.objects[number] for number in seen]
    return SeenObjects(
        picture.rgb,
        objects,
        [item.asset for item in placed],
        np.stack([turn @ item.world_from_object.double().numpy() for item in placed]),
        replace(camera, cam_from_world=(camera.cam_from_world.double() @ torch.from_numpy(turn.T)).float()),
    )


def example_of(
    scene: ComposedScene, rng: np.random.Generator, *, supersample: int = 1, painter: Painter | None = None
) -> SceneExample | None:
    """Pictures and shapes of a scene with one camera; None where fewer than two objects can be seen well.

    Args:
        rng: draws the surface points.
        painter: draws the picture in place of our own renderer.
    """
    seen = seen_objects(scene, supersample=supersample)
    if seen is None:
        return None
    if painter is not None:
        seen = replace(seen, rgb=painter(scene, rng))
    clouds, boxes = [], []
    for asset, matrix in zip(seen.assets, seen.turned_from_object, strict=True):
        points, vertices = _surface(asset, rng)
        clouds.append(points @ matrix[:3, :3].T + matrix[:3, 3])
        corners = vertices @ matrix[:3, :3].T + matrix[:3, 3]
        boxes.append((corners.min(0), corners.max(0)))
    low, high = np.array([box[0] for box in boxes]), np.array([box[1] for box in boxes])
    centres, sides = (low + high) / 2, (high - low).max(1)
    scene_low, scene_high = low.min(0), high.max(0)
    scene_centre, scene_side = (scene_low + scene_high) / 2, float((scene_high - scene_low).max())
    occupied = [
        points_occupancy(cloud, centre, side, RESOLUTION)
        for cloud, centre, side in zip(clouds, centres, sides, strict=True)
    ]
    pixels_from_world = (seen.camera.intrinsics_px.double() @ seen.camera.cam_from_world[:3].double()).numpy()
    return SceneExample(
        own_pictures=picture_bytes(seen.pictures.own),
        placed_pictures=picture_bytes(seen.pictures.placed),
        scene_picture=picture_bytes(seen.pictures.scene[None])[0],
        own_occluders=(occluder_pictures(seen.objects) * 255).round().byte().numpy(),
        crop_from_world=np.stack([crop_from_pixels(mask).numpy() @ pixels_from_world for mask in seen.objects.regions]),
        own_solid=np.stack([solid(grid) for grid in occupied]),
        own_occupancy=np.stack([outer_shell(grid) for grid in occupied]),
        placed_occupancy=np.stack(
            [outer_shell(points_occupancy(cloud, scene_centre, scene_side, RESOLUTION)) for cloud in clouds]
        ),
        centres=centres.astype(np.float32),
        sides=sides.astype(np.float32),
        scene_centre=scene_centre.astype(np.float32),
        scene_side=scene_side,
    )


def write_examples(
    selector: Selector,
    folder: Path,
    *,
    seed: int,
    start: int = 0,
    count: int = 50,
    painter: Painter | None = None,
    painted_share: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Scenes `start` to `start + count` of a seed as one file, which is left alone if it exists.

    `painter` draws about `painted_share` of the pictures, our own renderer the others.
    """
    path = folder / f"scenes-{start:07d}.npz"
    if path.exists():
        return path
    examples = []
    for number in range(start, start + count):
        rng = np.random.default_rng([seed, number, 1])
        made = [
            example_of(view, rng, painter=painter if rng.uniform() < painted_share else None)
            for view in compose_views(selector, seed, number)
        ]
        examples += [example for example in made if example is not None]
        if progress is not None:
            progress(number - start + 1, count)
    arrays: dict[str, np.ndarray] = {"counts": np.array([len(item.sides) for item in examples])}
    for name in ("own_pictures", "own_occluders", "placed_pictures", "crop_from_world", "centres", "sides"):
        arrays[name] = np.concatenate([getattr(item, name) for item in examples])
    for name in _GRIDS:
        arrays[name] = np.packbits(
            np.concatenate([getattr(item, name) for item in examples]).reshape(-1, RESOLUTION**3), 1
        )
    for name in ("scene_picture", "scene_centre", "scene_side"):
        arrays[name] = np.stack([np.asarray(getattr(item, name)) for item in examples])
    make_folder(folder)
    _write(arrays, path)
    return path


def _write(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def mirror_examples(path: Path) -> Path:
    """Writes the examples of a file once more, as a mirror shows them; twice the objects for the cost of encoding.

    The world is mirrored at x = 0, which is a picture's left and right, as the camera looks along +y. The new file is
    left alone if it exists.
    """
    mirrored = path.with_name(f"scenes-{first_scene(path.stem) + _MIRRORED:07d}.npz")
    if mirrored.exists():
        return mirrored
    arrays = dict(read_npz_arrays(path))
    for name in ("own_pictures", "own_occluders", "placed_pictures", "scene_picture"):
        arrays[name] = arrays[name][:, :, ::-1]
    for name in _GRIDS:
        grids = np.unpackbits(arrays[name], axis=1).reshape(-1, *(RESOLUTION,) * 3)
        arrays[name] = np.packbits(grids[:, ::-1].reshape(-1, RESOLUTION**3), 1)
    arrays["crop_from_world"] = np.diag([-1, 1, 1]) @ arrays["crop_from_world"] @ np.diag([-1, 1, 1, 1])
    for name in ("centres", "scene_centre"):
        arrays[name] = arrays[name] * np.array([-1, 1, 1], dtype=np.float32)
    _write(arrays, mirrored)
    return mirrored


def is_mirrored(path: Path) -> bool:
    """Whether `mirror_examples` wrote a file."""
    return first_scene(path.stem) >= _MIRRORED


def first_scene(stem: str) -> int:
    """The number of the first scene of a file of that name, and of what is encoded from it."""
    return int(stem.split("-")[1])


def example_files(folder: Path) -> list[Path]:
    """All files of a folder's examples, in order."""
    return sorted((folder / "examples").glob("scenes-*.npz"))


def read_examples(path: Path) -> Iterator[SceneExample]:
    """The examples of one file."""
    content = read_npz_arrays(path)
    grids = {name: np.unpackbits(content[name], axis=1).astype(bool).reshape(-1, *(RESOLUTION,) * 3) for name in _GRIDS}
    stops = np.cumsum(content["counts"])
    for scene, stop in enumerate(stops):
        rows = slice(int(stop - content["counts"][scene]), int(stop))
        yield SceneExample(
            own_pictures=content["own_pictures"][rows],
            placed_pictures=content["placed_pictures"][rows],
            scene_picture=content["scene_picture"][scene],
            own_occluders=content["own_occluders"][rows],
            crop_from_world=content["crop_from_world"][rows],
            own_solid=grids["own_solid"][rows],
            own_occupancy=grids["own_occupancy"][rows],
            placed_occupancy=grids["placed_occupancy"][rows],
            centres=content["centres"][rows],
            sides=content["sides"][rows],
            scene_centre=content["scene_centre"][scene],
            scene_side=float(content["scene_side"][scene]),
        )


def _surface(asset: Asset, rng: np.random.Generator) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "V 3"]]:
    """Points spread evenly by area, and the vertices in use, in the model's frame."""
    vertices, faces = merged_geometry(asset.parts)
    vertices = vertices.astype(np.float64)
    return sample_surface(vertices, faces, _NUM_POINTS, rng), vertices[np.unique(faces)]


def points_occupancy(
    points: Float[np.ndarray, "N 3"], centre: Float[np.ndarray, " 3"], side: float, resolution: int
) -> Bool[np.ndarray, "R R R"]:
    """Voxels of the cube of that centre and side that hold a point; points outside the cube are left out."""
    unit = (points - centre) / side * _FILL + 0.5
    cells = np.floor(unit * resolution).astype(np.int64)
    cells = cells[((cells >= 0) & (cells < resolution)).all(1)]
    grid = np.zeros((resolution,) * 3, dtype=bool)
    grid[cells[:, 0], cells[:, 1], cells[:, 2]] = True
    return grid


def solid(occupied: Bool[np.ndarray, "R R R"]) -> Bool[np.ndarray, "R R R"]:
    """Occupied voxels and all that they enclose together with the floor below the lowest.

    Many models have no bottom; what stands on the floor is closed by it.
    """
    lowest = int(np.argmax(occupied.any((0, 1))))
    closed = np.concatenate([np.ones((*occupied.shape[:2], 1), dtype=bool), occupied[:, :, lowest:]], axis=2)
    inside = filled(closed)[:, :, 1:]
    return np.concatenate([occupied[:, :, :lowest], inside], axis=2)


def picture_bytes(pictures: torch.Tensor) -> UInt8[np.ndarray, "N P P 4"]:
    """Pictures in [0, 1], channels last."""
    return (pictures.permute(0, 2, 3, 1) * 255).round().byte().numpy()
