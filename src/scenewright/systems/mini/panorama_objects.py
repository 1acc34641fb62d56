"""Structures of a room's furniture in cubes of their own, from boxes and, where there are any, distances.

    PanoramaView, boxes -> object_crops -> ObjectCrops (pictures, what is seen, what is hidden)
                        -> sampled_shapes -> voxels that are seen, or hidden and likely

Every object's cube is turned about the vertical so that the panorama's camera looks along +y, as mini's networks were
trained; the longest side of its box, seen from there, fills the cube. A cell is seen where a distance ends in it, free
where a ray passes through it, hidden behind what is seen.

Legend: A boxes, R resolution, P side of the small pictures, S slots. Frame: world around the camera, z up, metres.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from scenewright.backbones.structure_vae import StructureDecoder
from scenewright.geometry.camera.cubemap import sample_equirect
from scenewright.nn.embed import grid_coords
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.flow import interpolate
from scenewright.systems.inspace.asset_views import box_corners
from scenewright.systems.inspace.panorama import Panorama
from scenewright.systems.inspace.room_frame import depth_points
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.systems.mini.pictures import PICTURE_SIZE

__all__ = ["ObjectCrop", "looked_up", "object_crop", "sampled_shapes", "shape_of"]

_MARGIN = 1.2
_GROWN_M = 0.04
_FLOOR_M = 0.03
# A ray passes through a cell where what it hits lies this many cells behind the cell's middle.
_PASSED = 0.9


@dataclass(frozen=True)
class ObjectCrop:
    """One object as mini's networks read it.

    Attributes:
        picture: colours times alpha, and alpha.
        world_from_cube: turns, scales and moves the object's cube into the world.
        seen, hidden: cells of the cube's grid; both False is free.
        pixels: of the panorama that show the object.
    """

    picture: Float[Tensor, "4 P P"]
    world_from_cube: Float[Tensor, "4 4"]
    seen: Bool[Tensor, "R R R"]
    hidden: Bool[Tensor, "R R R"]
    pixels: int


def object_crop(
    panorama: Panorama, box: Float[Tensor, " 7"], floor_m: float, *, resolution: int = 32, size: int = PICTURE_SIZE
) -> ObjectCrop:
    """The crop and the evidence of one box, in metres around the camera.

    Args:
        floor_m: height of the floor over the camera; what lies on it is not the object's.
    """
    center = box[:3].double()
    azimuth = math.atan2(float(center[0]), float(center[1]))  # to the right of +y
    c, s = math.cos(azimuth), math.sin(azimuth)
    # Columns: the cube's axes in the world; +y points away from the camera.
    turn = torch.tensor([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    corners = box_corners(box[None].double())[0]
    local = (corners - center) @ turn
    side = float((local.amax(0) - local.amin(0)).amax())
    world_from_cube = torch.eye(4, dtype=torch.float64)
    world_from_cube[:3, :3] = turn * side
    world_from_cube[:3, 3] = center
    seen, hidden = _evidence(panorama, box, world_from_cube, floor_m, resolution)
    picture, pixels = _picture(panorama, box, corners, floor_m, size)
    return ObjectCrop(picture, world_from_cube.float(), seen, hidden, pixels)


def _inside(points: Float[Tensor, "*n 3"], box: Float[Tensor, " 7"], grown: float) -> Bool[Tensor, "*n"]:
    x, y, z = (points - box[:3].to(points)).unbind(-1)
    c, s = box[6].cos().to(points), box[6].sin().to(points)
    local = torch.stack([c * x + s * y, c * y - s * x, z], -1)
    return (local.abs() <= box[3:6].to(points) / 2 + grown).all(-1)


def _shown(points: Float[Tensor, "*n 3"], box: Float[Tensor, " 7"], floor_m: float) -> Bool[Tensor, "*n"]:
    """Which points belong to the object in a box: those inside it that do not lie on the floor."""
    # Flat things (rugs) lie on the floor themselves.
    is_flat = float(box[5]) < 2 * _FLOOR_M
    above = points[..., 2] > floor_m + (-1.0 if is_flat else _FLOOR_M)
    return _inside(points, box, _GROWN_M) & above


def _evidence(
    panorama: Panorama, box: Tensor, world_from_cube: Tensor, floor_m: float, resolution: int
) -> tuple[Bool[Tensor, "R R R"], Bool[Tensor, "R R R"]]:
    centers = (grid_coords(resolution).double() + 0.5) / resolution - 0.5
    world = centers @ world_from_cube[:3, :3].T + world_from_cube[:3, 3]
    hidden = _inside(world, box, 0.0) & (world[:, 2] > floor_m)
    seen = torch.zeros(resolution**3, dtype=torch.bool)
    if panorama.distance_m is not None:
        side = float(world_from_cube[:3, 0].norm())
        distance = world.norm(dim=1)
        hit = looked_up(panorama.distance_m, world)
        hidden &= ~(hit > distance + _PASSED * side / resolution)
        points = depth_points(panorama.distance_m).flatten(0, 1)
        points = points[_shown(points, box, floor_m) & (panorama.distance_m.flatten() > 0)]
        inverse = torch.linalg.inv(world_from_cube)
        cube = points @ inverse[:3, :3].T + inverse[:3, 3]
        cells = ((cube.clamp(-0.4999, 0.4999) + 0.5) * resolution).long()
        seen[(cells[:, 0] * resolution + cells[:, 1]) * resolution + cells[:, 2]] = True
    shape = (resolution,) * 3
    return seen.view(shape), (hidden & ~seen).view(shape)


def looked_up(distance_m: Float[Tensor, "h w"], world: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
    """Distance seen along the rays of points, of the nearest pixel; infinite where nothing is hit."""
    height, width = distance_m.shape
    azimuth = torch.atan2(world[:, 0], world[:, 1])
    latitude = torch.atan2(world[:, 2], world[:, :2].norm(dim=1))
    u = ((azimuth / (2 * math.pi) + 0.5) * width).round().long() % width
    v = ((0.5 - latitude / math.pi) * height).round().long().clamp(0, height - 1)
    found = distance_m[v, u]
    return torch.where(torch.isfinite(found) & (found > 0), found, torch.inf).double()


def _picture(
    panorama: Panorama, box: Tensor, corners: Tensor, floor_m: float, size: int
) -> tuple[Float[Tensor, "4 P P"], int]:
    """A square perspective picture aimed at the box, cut out by the distances (else by the box's outline)."""
    forward = F.normalize(box[:3].double(), dim=0)
    right = F.normalize(torch.linalg.cross(forward, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)), dim=0)
    down = torch.linalg.cross(forward, right)
    axes = torch.stack([right, down, forward])
    seen = corners @ axes.T
    ahead = seen[:, 2].clamp(min=0.15 * float(seen[:, 2].abs().max()))
    reach = float((seen[:, :2].abs() / ahead[:, None]).max()) * _MARGIN
    half = min(reach, 2.5)
    steps = ((torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1) * half
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    rays = F.normalize(torch.stack([x, y, torch.ones_like(x)], -1), dim=-1) @ axes
    directions = torch.stack([rays[..., 0], -rays[..., 2], rays[..., 1]], -1).float()
    rgb = sample_equirect(panorama.rgb.float(), directions).permute(2, 0, 1) / 255
    if panorama.distance_m is None:
        alpha = _box_outline(seen[:, :2] / ahead[:, None] / half, size)
        return torch.cat([rgb * alpha, alpha[None]]), size**2
    distance = looked_up(panorama.distance_m, rays.flatten(0, 1)).view(size, size)
    points = rays * torch.where(distance.isfinite(), distance, 0.0)[..., None]
    alpha = (_shown(points, box, floor_m) & distance.isfinite()).float()
    cropped = torch.cat([rgb * alpha, alpha[None]])
    shown = int(alpha.sum())
    return _centred(cropped, size) if shown > 12 else cropped, shown


def _centred(picture: Float[Tensor, "4 P P"], size: int) -> Float[Tensor, "4 P P"]:
    """The square 1.2 times the longer side of what is shown, at the picture's size."""
    rows, columns = picture[3].amax(1).nonzero()[:, 0], picture[3].amax(0).nonzero()[:, 0]
    low = torch.stack([columns[0], rows[0]]).double()
    high = torch.stack([columns[-1], rows[-1]]).double() + 1
    middle, half = (low + high) / 2, float((high - low).max()) * _MARGIN / 2
    steps = ((torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1) * half
    grid = torch.stack(torch.meshgrid(middle[1] + steps, middle[0] + steps, indexing="ij")[::-1], -1)
    grid = (grid / size * 2 - 1)[None].float()
    return F.grid_sample(picture[None], grid, mode="bilinear", align_corners=False)[0].clamp(0, 1)


def _box_outline(corners: Float[Tensor, "8 2"], size: int) -> Float[Tensor, "P P"]:
    """The rectangle around projected corners, in a picture whose axes run from -1 to 1."""
    low, high = (((corners.amin(0) + 1) / 2 * size), ((corners.amax(0) + 1) / 2 * size))
    axis = torch.arange(size) + 0.5
    x, y = ((axis > low[k]) & (axis < high[k]) for k in (0, 1))
    return (y[:, None] & x).float()


@torch.no_grad()
def sampled_shapes(
    flow: SceneContextFlow,
    decoder: StructureDecoder,
    tokens: Float[Tensor, "A L Ctoken"],
    noise: Float[Tensor, "A S C r r r"],
    config: SamplerConfig,
    *,
    partial: Float[Tensor, "A C r r r"] | None = None,
    start: float = 1.0,
) -> Float[Tensor, "A R R R"]:
    """Likelihood of every cell of the objects' cubes, by I-Scene's flow on each object as if alone in its scene.

    Args:
        partial: structure latents of what is known; sampling starts from them at time `start`.
    """
    slots = noise.shape[1]
    cond = tokens[:, None].expand(-1, slots, -1, -1)
    state, times = noise, config.times
    if partial is not None:
        known = partial[:, None].expand(-1, slots, -1, -1, -1, -1)
        state = interpolate(known, noise, start, config.sigma_min)
        times = times * start

    def velocity(x: Tensor, t: float, step: int) -> Tensor:
        return flow.forward_slots(x, torch.full((len(x),), 1000 * t), cond)

    sampled = euler(velocity, state, times)
    return decoder(sampled[:, -1])[:, 0].sigmoid()


def shape_of(crop: ObjectCrop, likely: Float[Tensor, "R R R"] | None, threshold: float) -> Bool[Tensor, "R R R"]:
    """Cells that are seen, and those hidden and likely (all that are hidden where nothing is known of them)."""
    if likely is None:
        return crop.seen | crop.hidden
    return crop.seen | (crop.hidden & (likely >= threshold))
