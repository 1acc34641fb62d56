"""Pictures of a composed scene with everything that is known about them: masks, depth, visibility, boxes, poses.

Instance k is object k of the scene; in rooms, codes from 100 name the fixed parts (`FIXTURE_CODES`). The rules of the
sheets are here too: a view counts only if every object can be seen well enough and none is a speck.

Frame: world z up, metres; cameras OpenCV; depth along z (single views), distance along the ray (panoramas).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from scenewright.data.composition import ComposedScene
from scenewright.rendering.gbuffer import rasterize
from scenewright.rendering.lights import STUDIO, Ambient, Lights, PointLight
from scenewright.rendering.panorama import render_panorama
from scenewright.rendering.render import RenderOptions, render, shadows_of
from scenewright.rendering.triangles import TriangleScene, pack_objects, place
from scenewright.rendering.view import View, view_of_camera
from scenewright.types import Camera

__all__ = ["ObjectView", "Picture", "PreparedScene", "ViewRules", "fixture_code", "object_views", "prepare_scene"]

FIXTURE_CODES = {"floor": 100, "ceiling": 101, "wall": 102, "opening": 150, "lamp": 170, "outside": 190}
"""First instance code of each kind of fixture in rooms; walls, openings and lamps count up from theirs."""


@dataclass(frozen=True)
class ViewRules:
    """Which views are kept: shares of an object's own pixels that are visible, and of the picture that it fills.

    I-Scene drops a view when any object is fully hidden; the public test scenes show at least 24 % of each object.
    """

    min_visible_fraction: float = 0.24
    min_picture_share: float = 0.001
    keeps_inside: bool = True


@dataclass(frozen=True)
class ObjectView:
    """One object in one picture. `amodal_pixels` are those it would have alone; `bbox_xyxy` bounds the visible ones."""

    visible_pixels: int
    amodal_pixels: int
    bbox_xyxy: tuple[int, int, int, int]
    touches_border: bool

    @property
    def visible_fraction(self) -> float:
        return self.visible_pixels / self.amodal_pixels if self.amodal_pixels else 0.0

    def obeys(self, rules: ViewRules, num_pixels: int) -> bool:
        """Whether the object is visible, large and central enough."""
        is_seen = self.visible_fraction >= rules.min_visible_fraction and self.visible_pixels > 0
        is_large = self.visible_pixels >= rules.min_picture_share * num_pixels
        return is_seen and is_large and not (rules.keeps_inside and self.touches_border)


@dataclass(frozen=True)
class Picture:
    """The picture of a camera, 8-bit colour and exact channels; `depth_m` is 0 where nothing is hit."""

    rgb: UInt8[Tensor, "height width 3"]
    instance: Int[Tensor, "height width"]
    depth_m: Float[Tensor, "height width"]


@dataclass(frozen=True)
class PreparedScene:
    """A composed scene packed for rendering, with its light; `objects_only` leaves the fixtures out."""

    packed: TriangleScene
    lights: Lights
    num_objects: int

    def _options(self, supersample: int) -> RenderOptions:
        # A process that was told to use one thread (a data worker) does not start more.
        return RenderOptions(supersample=supersample, threads=1 if torch.get_num_threads() == 1 else None)

    def picture(self, camera: Camera, *, supersample: int = 2) -> Picture:
        """A perspective picture with z-depth."""
        result = render(self.packed, camera, self.lights, self._options(supersample))
        return Picture(_bytes(result.rgb), result.instance, result.depth_z_m)

    def pictures(self, cameras: tuple[Camera, ...], *, supersample: int = 2) -> list[Picture]:
        """Several pictures that share their shadows."""
        shadows = shadows_of(self.packed, self.lights, threads=self._options(1).threads)
        results = [render(self.packed, camera, shadows, self._options(supersample)) for camera in cameras]
        return [Picture(_bytes(r.rgb), r.instance, r.depth_z_m) for r in results]

    def panorama(self, cam_from_world: Float[Tensor, "4 4"], height: int, *, supersample: int = 2) -> Picture:
        """An equirectangular picture with distance along the ray."""
        options = self._options(supersample)
        result = render_panorama(self.packed, cam_from_world, height, self.lights, options)
        return Picture(_bytes(result.rgb), result.instance, result.distance_m)

    def views(self, camera: Camera, *, shrink: int = 1) -> list[ObjectView]:
        """Each object's appearance in a picture, optionally judged at a resolution `shrink` times lower."""
        view = view_of_camera(_shrunk(camera, shrink))
        visible = self._front_instances(view)
        amodal = []
        for number in range(1, self.num_objects + 1):
            alone = rasterize(self.packed, view, selected=self.packed.face_instance == number).face >= 0
            amodal.append(alone)
        return object_views(visible, amodal)

    def num_seen(self, camera: Camera, *, shrink: int = 4) -> int:
        """Number of objects that fill at least 0.1 % of a picture, judged at a resolution `shrink` times lower."""
        visible = self._front_instances(view_of_camera(_shrunk(camera, shrink)))
        counts = torch.bincount(visible.flatten().long(), minlength=self.num_objects + 1)[1 : self.num_objects + 1]
        return int((counts >= max(1.0, 0.001 * visible.numel())).sum())

    def _front_instances(self, view: View) -> Int[Tensor, "height width"]:
        front = rasterize(self.packed, view).face
        return torch.where(front >= 0, self.packed.face_instance[front.clamp(min=0).long()], 0)


def _shrunk(camera: Camera, factor: int) -> Camera:
    """The same view with fewer pixels."""
    scale = torch.tensor([[1 / factor], [1 / factor], [1.0]])
    width, height = max(camera.width // factor, 1), max(camera.height // factor, 1)
    return replace(camera, intrinsics_px=camera.intrinsics_px * scale, width=width, height=height)


def object_views(instance: Int[Tensor, "height width"], amodal: list[Tensor]) -> list[ObjectView]:
    """Visibility of objects 1, 2, ... from the instance picture and each object's own mask."""
    result = []
    for number, alone in enumerate(amodal, 1):
        seen = instance == number
        rows, columns = torch.nonzero(seen, as_tuple=True)
        box = (0, 0, 0, 0)
        if len(rows):
            box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        edge = bool(alone[0].any() or alone[-1].any() or alone[:, 0].any() or alone[:, -1].any())
        result.append(ObjectView(int(seen.sum()), int(alone.sum()), box, edge))
    return result


def fixture_code(name: str) -> int:
    """The instance code of a fixture by its name, such as `wall_3`."""
    kind, _, number = name.partition("_")
    return FIXTURE_CODES[kind] + (int(number) if number and kind != "outside" else 0)


def prepare_scene(scene: ComposedScene, *, shadow_size: int = 512) -> PreparedScene:
    """Pack a scene and set its lamps; fixtures have instance 0 in single views and their codes in rooms.

    Args:
        shadow_size: side of the lamps' shadow maps; the cost of small pictures is mostly theirs.
    """
    items = scene.scene().objects
    packed = pack_objects(items)
    count = len(scene.objects)
    is_room = scene.kind != "single"
    codes = [*range(1, count + 1), *(fixture_code(name) if is_room else 0 for name, _ in scene.fixtures)]
    joined = place(packed, [item.world_from_object for item in items], codes)
    if not scene.lamps:
        return PreparedScene(joined, STUDIO, count)
    points = tuple(PointLight(position, color, has_shadow=True) for position, color in scene.lamps)
    # Bounced light of a closed room: a share of what the lamps give, stronger from above.
    strength = float(np.mean([color[1] for _, color in scene.lamps])) * len(scene.lamps)
    level = 0.18 + 0.035 * strength
    ambient = Ambient((level, level, level), (0.75 * level, 0.72 * level, 0.7 * level))
    return PreparedScene(joined, Lights((), points, ambient, shadow_size, 1), count)


def _bytes(rgb: Float[Tensor, "height width 3"]) -> UInt8[Tensor, "height width 3"]:
    return (rgb.clamp(0, 1) * 255).round().byte()
