"""Training samples composed and rendered when they are asked for: single objects, and scenes of several.

A sample depends on its generator alone, so any number of workers gives the same samples. Geometry comes in two frames:
canonical (each object in its own cube, as TRELLIS wants it) and view-centric (the whole scene in one cube, turned about
the vertical so that the camera looks along +y, as I-Scene wants it).

Legend: K objects, P points, R grid side, H, W picture. Frames: world z up, metres; cubes are [-0.5, 0.5]^3
(docs/conventions.md#grid); `cube_from_object` matrices take the asset's metric frame (its own, unscaled) to a cube.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenewright.data.asset import merged_geometry
from scenewright.data.composition import ComposedScene, PlacedAsset
from scenewright.data.floor_scenes import compose_floor_scene, object_corners
from scenewright.data.ground_truth import prepare_scene
from scenewright.data.held_out import TrainingAsset
from scenewright.data.library import TrainingLibrary
from scenewright.data.occupancy import cube_from_points, mesh_occupancy, surface_occupancy
from scenewright.data.random_scenes import compose_random_scene
from scenewright.data.selection import Selector
from scenewright.data.viewpoints import SingleViewRanges, sample_single_view
from scenewright.errors import InputError
from scenewright.geometry.frames import view_centric_rotation
from scenewright.rendering.augment import random_backdrop, random_lights
from scenewright.rendering.render import RenderOptions, render
from scenewright.rendering.triangles import TriangleScene, pack_objects
from scenewright.types import Camera, SceneObject

__all__ = ["ObjectSamples", "SceneSamples", "surface_points", "view_centric_matrix"]

_AROUND = SingleViewRanges((30.0, 60.0), (-5.0, 45.0), (-180.0, 180.0), (0.02, 0.12), (1.0, 1.25))
_PACKED_OBJECTS = 256
_TRIES = 12


def surface_points(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], count: int, rng: np.random.Generator
) -> Float[np.ndarray, "P 3"]:
    """Points spread over a surface in proportion to area.

    Raises:
        InputError: the surface has no area.
    """
    corners = vertices.astype(np.float64)[faces]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas = np.linalg.norm(np.cross(first, second), axis=1)
    total = np.cumsum(areas)
    if not len(total) or total[-1] <= 0:
        raise InputError("Expected a mesh whose surface has an area, got none; repair the model first.")
    chosen = np.searchsorted(total, rng.uniform(0, total[-1], count), side="right").clip(max=len(areas) - 1)
    root, share = np.sqrt(rng.uniform(size=(count, 1))), rng.uniform(size=(count, 1))
    return corners[chosen, 0] + root * ((1 - share) * first[chosen] + share * second[chosen])


def view_centric_matrix(
    cam_from_world: Float[Tensor, "4 4"], points_world: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "4 4"]:
    """`cube_from_world`: the yaw that turns the camera's heading to +y, then the points' box fitted to the cube."""
    pose = cam_from_world.double()
    # Rows of the rotation are the camera's right, down and forward axes in the world.
    turn = view_centric_rotation(pose[2, :2] if float(pose[2, :2].norm()) > 1e-6 else -pose[1, :2]).numpy()
    centre, scale = cube_from_points(points_world @ turn.T)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = scale * turn, -scale * centre
    return matrix


def _moved(matrix: Float[np.ndarray, "4 4"], points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _numpy_rng(generator: torch.Generator) -> np.random.Generator:
    return np.random.default_rng(torch.randint(2**31, (2,), generator=generator).tolist())


def _camera_tensors(camera: Camera) -> dict[str, Tensor]:
    return {"intrinsics_px": camera.intrinsics_px.float(), "cam_from_world": camera.cam_from_world.float()}


@dataclass(frozen=True)
class _Settings:
    """What both kinds of samples share.

    `packs` are model packs or compact packs; `parametric_share` of the objects are new members of our families.
    `length` is the number of distinct samples. `size` and `resolution` are the picture's and the grids' sides.
    """

    packs: tuple[str, ...] = ()
    size: int = 128
    resolution: int = 32
    points: int = 1024
    parametric_share: float = 0.5
    supersample: int = 1
    shadow_size: int = 192
    length: int = 10**9

    def __len__(self) -> int:
        return self.length

    def __getstate__(self) -> dict[str, Any]:
        """The settings alone: a worker opens the packs itself."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def selector(self) -> Selector:
        """The library, opened when it is first used."""
        return Selector(TrainingLibrary(self.packs), self.parametric_share)


@dataclass(frozen=True)
class ObjectSamples(_Settings):
    """One object a picture, on a random backdrop in random light.

    A sample holds `rgb` uint8 [H, W, 3], `mask` bool [H, W], `occupancy` and `occupancy_view` bool [1, R, R, R]
    (canonical, view-centric), `points` [P, 3] and `points_view` [P, 3] in the same two cubes, `intrinsics_px` [3, 3],
    `cam_from_world` [4, 4] (the object stands at the world's origin), and `size_m` [3].
    """

    @cached_property
    def _packed(self) -> OrderedDict[str, TriangleScene]:
        return OrderedDict()

    def _triangles(self, source: TrainingAsset) -> TriangleScene:
        """The asset packed for rendering, kept for the catalogue's models, which come again."""
        key = source.asset.id
        if key not in self._packed:
            (self._packed[key],) = pack_objects([SceneObject("object", source.asset.parts)])
            if len(self._packed) > _PACKED_OBJECTS:
                self._packed.popitem(last=False)
        return self._packed[key]

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        """A sample; all randomness comes from `generator`."""
        rng = _numpy_rng(generator)
        source = self.selector.anything(rng)
        asset = source.asset
        corners = object_corners([PlacedAsset(source, (0.0, 0.0, 0.0), 0.0)])
        camera = sample_single_view(corners, rng, size=self.size, ranges=_AROUND)
        lights = random_lights(generator, shadow_size=self.shadow_size)
        options = RenderOptions(supersample=self.supersample, background=(0.0, 0.0, 0.0), threads=1)
        picture = render(self._triangles(source), camera, lights, options)
        backdrop = random_backdrop(self.size, self.size, generator)
        mask = picture.instance == 1
        rgb = torch.where(mask[..., None], picture.rgb, backdrop)
        vertices, faces = merged_geometry(asset.parts)
        metric = vertices.astype(np.float64)
        centre, scale = cube_from_points(metric[np.unique(faces)])
        view = view_centric_matrix(camera.cam_from_world, metric[np.unique(faces)])
        points = surface_points(vertices, faces, self.points, rng)
        return {
            "rgb": (rgb.clamp(0, 1) * 255).round().byte(),
            "mask": mask,
            "occupancy": surface_occupancy(asset, self.resolution)[None],
            "occupancy_view": mesh_occupancy(_moved(view, metric), faces, self.resolution)[None],
            "points": torch.from_numpy((points - centre) * scale).float(),
            "points_view": torch.from_numpy(_moved(view, points)).float(),
            "size_m": torch.tensor(asset.size_m),
            **_camera_tensors(camera),
        }


@dataclass(frozen=True)
class SceneSamples(_Settings):
    """Two to `max_objects` objects a picture: scenes on a floor, or I-Scene's random scenes.

    A sample holds `rgb` uint8 [H, W, 3], `instance` uint8 [H, W] (k: object k from 1, 0: anything else), `num_objects`,
    and per object, padded with zeros to `max_objects`: `visible` bool [K], `occupancy` and `occupancy_view` bool
    [K, R, R, R] (each in its own cube; all in the scene's one cube), `points` [K, P, 3] in the world, `size_m` [K, 3],
    `world_from_object` and `cube_from_object` [K, 4, 4] (the latter into the object's own cube); and
    `view_from_world` [4, 4] into the scene's cube, `intrinsics_px` [3, 3], `cam_from_world` [4, 4].
    """

    max_objects: int = 6
    random_share: float = 0.0

    def compose(self, rng: np.random.Generator) -> ComposedScene:
        """A scene with one camera; the first of several tries that has at least two objects and not too many."""
        for _ in range(_TRIES):
            if rng.uniform() < self.random_share:
                scene = compose_random_scene(self.selector, rng, size=self.size, views=1)
            else:
                limits = (2, min(6, self.max_objects))
                scene = compose_floor_scene(self.selector, rng, size=self.size, num_objects=limits)
            if 2 <= len(scene.objects) <= self.max_objects:
                return scene
        raise InputError(f"No scene of 2 to {self.max_objects} objects was found in {_TRIES} tries; use other packs.")

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        """A sample; all randomness comes from `generator`."""
        rng = _numpy_rng(generator)
        scene = self.compose(rng)
        camera = scene.cameras[0]
        prepared = prepare_scene(scene, shadow_size=self.shadow_size)
        picture = prepared.picture(camera, supersample=self.supersample)
        sample = self._geometry(scene.objects, camera, rng)
        instance = torch.where(picture.instance <= len(scene.objects), picture.instance, 0)
        seen = torch.bincount(instance.flatten().long(), minlength=self.max_objects + 1)[1 : self.max_objects + 1]
        return sample | {
            "rgb": picture.rgb,
            "instance": instance.byte(),
            "visible": seen > 0,
            "num_objects": torch.tensor(len(scene.objects)),
            **_camera_tensors(camera),
        }

    def _geometry(self, objects: Sequence[PlacedAsset], camera: Camera, rng: np.random.Generator) -> dict[str, Tensor]:
        count, side = self.max_objects, self.resolution
        own = torch.zeros(count, side, side, side, dtype=torch.bool)
        shared = torch.zeros_like(own)
        points, sizes = torch.zeros(count, self.points, 3), torch.zeros(count, 3)
        placed_at, into_cube = torch.zeros(count, 4, 4), torch.zeros(count, 4, 4)
        worlds = []
        for k, placed in enumerate(objects):
            vertices, faces = merged_geometry(placed.asset.parts)
            metric = vertices.astype(np.float64)
            centre, scale = cube_from_points(metric[np.unique(faces)])
            world = placed.world_from_object.double().numpy()
            worlds.append((_moved(world, metric), faces))
            own[k] = surface_occupancy(placed.asset, side)
            points[k] = torch.from_numpy(_moved(world, surface_points(vertices, faces, self.points, rng)))
            sizes[k] = torch.tensor(placed.size_m)
            placed_at[k] = placed.world_from_object
            into_cube[k, :3, :3], into_cube[k, 3, 3] = scale * torch.eye(3), 1.0
            into_cube[k, :3, 3] = torch.from_numpy(-scale * centre)
        view = view_centric_matrix(camera.cam_from_world, np.concatenate([v[np.unique(f)] for v, f in worlds]))
        for k, (vertices, faces) in enumerate(worlds):
            shared[k] = mesh_occupancy(_moved(view, vertices), faces, side)
        return {
            "occupancy": own,
            "occupancy_view": shared,
            "points": points,
            "size_m": sizes,
            "world_from_object": placed_at,
            "cube_from_object": into_cube,
            "view_from_world": torch.from_numpy(view).float(),
        }
