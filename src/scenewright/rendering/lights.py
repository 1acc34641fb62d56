"""Light sources, and the shadow maps that go with them.

Strengths are chosen so that a white matt surface facing a light of strength 1 (at 1 m for lamps) shows as 1: the
factor pi of the Lambert law is folded in. Ambient light comes from a sky above and a ground below; it can be occluded
by a dome of parallel shadow maps.

Frame: world, z up. Legend: S suns, P lamps, D dome directions, R shadow map size.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.geometry.camera.cubemap import cube_face_rotations
from scenewright.rendering.triangles import CATCHER, TriangleScene
from scenewright.rendering.view import View, parallel_view

__all__ = ["STUDIO", "Ambient", "Lights", "PointLight", "ShadowMaps", "SunLight", "cast_shadows", "dome_directions"]

Color = tuple[float, float, float]


@dataclass(frozen=True)
class SunLight:
    """Parallel light; `direction` points from the scene to the light (any length)."""

    direction: tuple[float, float, float]
    color: Color = (1.0, 1.0, 1.0)
    has_shadow: bool = True


@dataclass(frozen=True)
class PointLight:
    """A lamp; `color` is its strength at one metre, falling with the square of the distance."""

    position: tuple[float, float, float]
    color: Color = (1.0, 1.0, 1.0)
    has_shadow: bool = False


@dataclass(frozen=True)
class Ambient:
    """Light from all around, `sky` from above and `ground` from below; `occlusion_directions` maps darken corners."""

    sky: Color = (0.5, 0.5, 0.5)
    ground: Color = (0.3, 0.3, 0.3)
    occlusion_directions: int = 0


@dataclass(frozen=True)
class Lights:
    """The lights of a scene. `shadow_radius` is the softness of shadow edges in shadow map texels (0: hard)."""

    suns: tuple[SunLight, ...] = ()
    points: tuple[PointLight, ...] = ()
    ambient: Ambient = field(default_factory=Ambient)
    shadow_size: int = 1024
    shadow_radius: int = 1


STUDIO = Lights(
    suns=(
        SunLight((-0.55, -0.75, 1.15), (0.86, 0.84, 0.8)),
        SunLight((0.9, -0.5, 0.6), (0.12, 0.13, 0.15), has_shadow=False),
    ),
    ambient=Ambient(sky=(0.68, 0.7, 0.73), ground=(0.4, 0.39, 0.38), occlusion_directions=48),
    shadow_size=1536,
    shadow_radius=2,
)


@dataclass(frozen=True)
class ShadowMaps:
    """Lights as arrays, with the nearest depth each shadowing light sees (0: nothing).

    `suns` and `points` rows: direction or position (3), colour (3), first shadow map (-1: none). Lamps have six maps
    (cube faces). `ambient`: sky, ground. `dome` rows: unit directions, one dome map each.
    """

    suns: Float[Tensor, "S 7"]
    points: Float[Tensor, "P 7"]
    ambient: Float[Tensor, " 6"]
    dome: Float[Tensor, "D 3"]
    sun_views: Float[Tensor, "sun_maps 17"]
    sun_depths: Float[Tensor, "sun_maps R R"]
    point_views: Float[Tensor, "point_maps 17"]
    point_depths: Float[Tensor, "point_maps R2 R2"]
    dome_views: Float[Tensor, "D 17"]
    dome_depths: Float[Tensor, "D R3 R3"]
    radius: int

    def to(self, device: torch.device | str) -> "ShadowMaps":
        moved = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return ShadowMaps(**moved, radius=self.radius)


def cast_shadows(scene: TriangleScene, lights: Lights, draw: Callable[..., Tensor]) -> ShadowMaps:
    """Shadow maps of a scene; `draw(scene, view, selected)` returns the depth image of a view (selected None: all).

    Blended materials and shadow catchers cast no shadow.
    """
    is_caster = (scene.bank.kinds[:, 0] != 2) & (scene.bank.kinds[:, 0] != CATCHER)
    casters = None if bool(is_caster.all()) else is_caster[scene.face_material.long()]
    # All vertices, used or not, unless something in them is out of the ordinary: exact bounds cost as much as drawing.
    bounds = torch.stack(scene.vertices.aminmax(dim=0)) if len(scene.vertices) else scene.bounds()
    if not bool(torch.isfinite(bounds).all()) or bool((scene.bank.kinds[:, 0] == CATCHER).any()):
        bounds = scene.bounds()

    def maps(views: list[View], size: int) -> tuple[Tensor, Tensor]:
        numbers = torch.stack([v.numbers for v in views]) if views else torch.zeros(0, 17, dtype=torch.float64)
        depths = torch.stack([draw(scene, v, casters) for v in views]) if views else torch.zeros(0, size, size)
        return numbers, depths

    sun_rows: list[list[float]] = []
    sun_views: list[View] = []
    for sun in lights.suns:
        unit = torch.nn.functional.normalize(torch.tensor(sun.direction), dim=0)
        sun_rows.append([*unit.tolist(), *sun.color, len(sun_views) if sun.has_shadow else -1])
        if sun.has_shadow:
            sun_views.append(parallel_view(unit, bounds, lights.shadow_size))
    point_rows: list[list[float]] = []
    point_views: list[View] = []
    point_size = max(lights.shadow_size // 2, 16)
    for point in lights.points:
        point_rows.append([*point.position, *point.color, len(point_views) if point.has_shadow else -1])
        if point.has_shadow:
            point_views += _cube_views(point.position, point_size)
    dome = dome_directions(lights.ambient.occlusion_directions)
    dome_size = max(min(lights.shadow_size // 3, 512), 64)
    suns = maps(sun_views, lights.shadow_size)
    points = maps(point_views, point_size)
    domes = maps([parallel_view(d, bounds, dome_size) for d in dome], dome_size)
    return ShadowMaps(
        torch.tensor(sun_rows, dtype=torch.float32).reshape(-1, 7),
        torch.tensor(point_rows, dtype=torch.float32).reshape(-1, 7),
        torch.tensor([*lights.ambient.sky, *lights.ambient.ground]),
        dome, *suns, *points, *domes, lights.shadow_radius,
    )  # fmt: skip


def dome_directions(count: int) -> Float[Tensor, "count 3"]:
    """Unit directions spread evenly over the sky from 6 degrees up (a Fibonacci lattice, equal areas).

    Light along the horizon would draw long faint streaks on the ground and adds next to nothing there.
    """
    index = torch.arange(count, dtype=torch.float64)
    z = 0.1 + 0.9 * (index + 0.5) / max(count, 1)
    angle = index * math.pi * (3 - math.sqrt(5))
    ring = (1 - z * z).sqrt()
    return torch.stack([ring * angle.cos(), ring * angle.sin(), z], -1).float()


def _cube_views(position: tuple[float, float, float], size: int) -> list[View]:
    center = torch.tensor(position, dtype=torch.float64)
    tail = torch.tensor([size / 2, size / 2, 0.0, size / 2, size / 2], dtype=torch.float64)
    views = []
    for rotation in cube_face_rotations().double():
        views.append(View(torch.cat([rotation.flatten(), -rotation @ center, tail]), size, size, near=0.02))
    return views
