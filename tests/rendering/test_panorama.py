import math

import torch

from scenewright.geometry.camera.cameras import look_at
from scenewright.geometry.camera.cubemap import equirect_rays
from scenewright.rendering.lights import Lights
from scenewright.rendering.panorama import render_panorama
from scenewright.rendering.render import RenderOptions
from scenewright.rendering.triangles import pack_meshes
from tests.rendering.shapes import box


def test_inside_a_box_every_distance_is_known():
    center = (0.3, -0.2, 0.1)
    pose = look_at(torch.tensor(center), torch.tensor([5.0, 2.0, 0.1]))
    seen = render_panorama(pack_meshes([box(1.0)]), pose, 64, Lights(), RenderOptions(supersample=1))
    rays = equirect_rays(64, 128) @ pose[:3, :3]
    origin = torch.tensor(center)
    walls = torch.where(rays > 0, 1 - origin, -1 - origin) / rays
    error = (seen.distance_m / walls.amin(-1) - 1).abs()
    assert float((error < 1e-3).float().mean()) > 0.95  # exact on planes,
    assert float(error.max()) < 0.02  # and within half a pixel along the box's edges
    assert bool((seen.instance == 1).all())
    assert bool((seen.alpha > 0.999).all())


def test_the_picture_is_continuous_round_the_wrap_and_faces_up_is_up():
    mesh = box(0.5, (0.0, 0.0, 2.0))
    pose = look_at(torch.zeros(3), torch.tensor([0.0, 1.0, 0.0]))
    seen = render_panorama(pack_meshes([mesh]), pose, 48, Lights(), RenderOptions(supersample=1))
    assert bool((seen.instance[0] == 1).all())  # overhead
    assert bool((seen.instance[24:] == 0).all())
    assert float((seen.rgb[:, 0] - seen.rgb[:, -1]).abs().max()) < 0.2


def test_what_is_to_the_right_is_right_of_the_middle():
    pose = look_at(torch.zeros(3), torch.tensor([0.0, 1.0, 0.0]))  # looks along +y, so +x is to the right
    seen = render_panorama(pack_meshes([box(0.3, (2.0, 0.0, 0.0))]), pose, 48, Lights(), RenderOptions(supersample=1))
    columns = torch.nonzero(seen.instance == 1)[:, 1].float()
    longitude = (float(columns.mean()) + 0.5) / 96 * 2 * math.pi - math.pi
    assert abs(longitude - math.pi / 2) < 0.05
