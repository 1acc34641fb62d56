"""Pictures: light that can be computed by hand, shadows, transparency, masks, and agreement of both backends."""

import math
from dataclasses import replace

import pytest
import torch

from scenewright.geometry.color import linear_from_srgb, srgb_from_linear
from scenewright.rendering.lights import Ambient, Lights, PointLight, SunLight
from scenewright.rendering.render import Rendering, RenderOptions, render, render_batch, shadows_of
from scenewright.rendering.shade_torch import tone_map_neutral
from scenewright.rendering.triangles import add_ground, pack_meshes, pack_scene
from scenewright.types import Mesh, PBRMaterial, Scene, SceneObject
from tests.rendering.shapes import box, camera_above, camera_at, square

BACKENDS = ("numba", "torch")
NONE = Ambient((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
CENTRE = (32, 32)
PLAIN = RenderOptions(supersample=1, tone_map=False, background=(0.0, 0.0, 0.0))


def linear(picture: Rendering, at: tuple[int, int] = CENTRE) -> torch.Tensor:
    return linear_from_srgb(picture.rgb[at])


@pytest.mark.parametrize("backend", BACKENDS)
def test_matt_surface_follows_the_cosine_law(backend):
    material = PBRMaterial(base_color_factor=(0.5, 0.25, 0.1, 1.0), roughness_factor=1.0)
    options = replace(PLAIN, backend=backend)
    for angle in (0.0, 60.0):
        direction = (math.sin(math.radians(angle)), 0.0, math.cos(math.radians(angle)))
        lights = Lights(suns=(SunLight(direction, (1.0, 1.0, 1.0), has_shadow=False),), ambient=NONE)
        color = linear(render(pack_meshes([square(material=material)]), camera_above(), lights, options))
        expected = math.cos(math.radians(angle)) * torch.tensor([0.5, 0.25, 0.1])
        torch.testing.assert_close(color, expected, atol=0.025, rtol=0)  # the rest is the 4 % gloss


@pytest.mark.parametrize("backend", BACKENDS)
def test_lamp_falls_with_the_square_of_the_distance(backend):
    scene, options = pack_meshes([square()]), replace(PLAIN, backend=backend)

    def brightness(height: float) -> float:
        lights = Lights(points=(PointLight((0.0, 0.0, height), (0.5, 0.5, 0.5)),), ambient=NONE)
        return float(linear(render(scene, camera_above(), lights, options))[0])

    assert brightness(2.0) == pytest.approx(brightness(1.0) / 4, rel=0.02)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("is_lamp", [False, True])
def test_a_shadow_falls_where_the_light_is_blocked(backend, is_lamp):
    scene = pack_meshes([square(half=2.0), square(1.0, half=0.3)])
    if is_lamp:
        lights = Lights(points=(PointLight((0.0, 0.0, 2.0), (2.0, 2.0, 2.0), True),), ambient=NONE, shadow_size=256)
    else:
        lights = Lights(suns=(SunLight((0.0, 0.0, 1.0)),), ambient=NONE, shadow_size=256)
    camera = camera_at((2.0, 0.0, 0.5), (0.0, 0.0, 0.0))  # looks in below the small square
    lit = render(scene, camera, lights, replace(PLAIN, backend=backend))
    floor = lit.mask(1)
    column = torch.nonzero(floor[:, 32]).flatten()
    values = lit.rgb[column, 32, 0]
    assert float(values.min()) < 0.02
    assert float(values.max()) > 0.3


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_closed_surface_does_not_shadow_itself(backend):
    lights = Lights(suns=(SunLight((1.0, -1.0, 1.5)),), ambient=NONE, shadow_size=256)
    unshadowed = Lights(suns=(SunLight((1.0, -1.0, 1.5), has_shadow=False),), ambient=NONE)
    scene, camera = pack_meshes([box()]), camera_at((2.0, -2.0, 1.5), (0.0, 0.0, 0.0))
    pictures = [render(scene, camera, item, replace(PLAIN, backend=backend)).rgb for item in (lights, unshadowed)]
    torch.testing.assert_close(*pictures, atol=0.02, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_masked_texels_are_holes_in_every_channel(backend):
    texture = torch.full((2, 2, 4), 255, dtype=torch.uint8)
    texture[:, 0, 3] = 0  # the left half is cut out
    leaf = PBRMaterial(base_color_texture=texture, alpha_mode="MASK")
    scene = pack_meshes([square(-1.0, half=4.0), square(0.0, material=leaf)])
    seen = render(scene, camera_above(), Lights(), replace(PLAIN, backend=backend))
    assert int(seen.instance[32, 36]) == 2
    assert int(seen.instance[32, 28]) == 1
    assert float(seen.depth_z_m[32, 36]) == pytest.approx(3.0, rel=1e-4)
    assert float(seen.depth_z_m[32, 28]) == pytest.approx(4.0, rel=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_glass_mixes_colours_but_owns_its_pixels(backend):
    glow = (0.0, 0.0, 0.0, 1.0)
    back = PBRMaterial(glow, 1.0, 1.0, emissive_factor=(0.0, 0.8, 0.0))
    panes = PBRMaterial((0.0, 0.0, 0.0, 0.5), 1.0, 1.0, emissive_factor=(0.4, 0.0, 0.0), alpha_mode="BLEND")
    dark = Lights(ambient=NONE)
    one = pack_meshes([square(0.0, material=back), square(0.5, material=panes)])
    two = pack_meshes([square(0.0, material=back), square(0.5, material=panes), square(1.0, material=panes)])
    options = replace(PLAIN, backend=backend)
    first, second = (render(scene, camera_above(), dark, options) for scene in (one, two))
    torch.testing.assert_close(linear(first), torch.tensor([0.2, 0.4, 0.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(linear(second), torch.tensor([0.3, 0.2, 0.0]), atol=1e-3, rtol=0)
    assert int(first.instance[CENTRE]) == 2
    assert float(second.depth_z_m[CENTRE]) == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_textures_are_placed_with_v_down_and_decoded_from_srgb(backend):
    texture = torch.zeros(4, 4, 3, dtype=torch.uint8)
    texture[:2, :2, 0] = 128  # top left of the picture: -x, +y
    material = PBRMaterial(base_color_texture=texture)
    seen = render(pack_meshes([square(material=material)]), camera_above(), Lights(), replace(PLAIN, backend=backend))
    assert float(seen.albedo[24, 24, 0]) == pytest.approx(0.2158605, rel=1e-4)
    assert float(seen.albedo[40, 24].max()) == float(seen.albedo[24, 40].max()) == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_metallic_roughness_and_normal_maps_reach_the_channels(backend):
    rough_metal = torch.zeros(1, 1, 3, dtype=torch.uint8)
    rough_metal[..., 1], rough_metal[..., 2] = 51, 204
    tilted = torch.tensor([[[218, 128, 218]]], dtype=torch.uint8)  # leans towards +u
    material = PBRMaterial(
        metallic_factor=1.0, roughness_factor=1.0, metallic_roughness_texture=rough_metal, normal_texture=tilted
    )
    seen = render(pack_meshes([square(material=material)]), camera_above(), Lights(), replace(PLAIN, backend=backend))
    torch.testing.assert_close(seen.metallic_roughness[CENTRE], torch.tensor([0.8, 0.2]))
    torch.testing.assert_close(seen.normal[CENTRE], torch.tensor([0.5**0.5, 0.0, 0.5**0.5]), atol=0.01, rtol=0)


def test_both_sides_of_an_open_sheet_are_lit_alike():
    lights = Lights(suns=(SunLight((0.0, 0.0, 1.0), has_shadow=False),), ambient=NONE)
    sheet = square()
    flipped = replace(sheet, faces=sheet.faces.flip(1))
    pictures = [render(pack_meshes([mesh]), camera_above(), lights, PLAIN) for mesh in (sheet, flipped)]
    torch.testing.assert_close(pictures[0].rgb, pictures[1].rgb)
    assert float(pictures[1].normal[CENTRE][2]) == pytest.approx(1.0)


def test_objects_are_numbered_and_placed():
    moved = torch.eye(4)
    moved[0, 3] = 0.7
    scene = Scene((SceneObject("a", (box(0.2),)), SceneObject("b", (box(0.2),), world_from_object=moved)))
    seen = render(scene, camera_above(), Lights())
    assert sorted(seen.instance.unique().tolist()) == [0, 1, 2]
    assert seen.mask(1)[32, 32]
    assert seen.mask(2)[32, 48]
    packed = pack_scene(scene)
    assert packed.bank.factors.shape[0] == 1  # one shared material


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_background_comes_out_as_asked_and_edges_average(backend):
    options = RenderOptions(supersample=2, background=(1.0, 0.5, 0.0), backend=backend)
    seen = render(pack_meshes([box(0.5)]), camera_at((2.0, -2.0, 1.5), (0.0, 0.0, 0.0)), Lights(), options)
    torch.testing.assert_close(seen.rgb[0, 0], srgb_from_linear(torch.tensor([1.0, 0.5, 0.0])))
    assert set((4 * seen.alpha).unique().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_scene_is_background(backend):
    seen = render(pack_meshes([]), camera_above(), Lights(), RenderOptions(backend=backend))
    assert float(seen.alpha.max()) == 0
    assert int(seen.instance.max()) == 0
    assert float((seen.rgb - seen.rgb[0, 0]).abs().max()) == 0


def test_ground_is_invisible_but_for_its_shadow():
    scene = add_ground(pack_meshes([box(0.5)]))
    lights = Lights(suns=(SunLight((1.0, 0.0, 1.0)),), ambient=Ambient(occlusion_directions=8), shadow_size=256)
    seen = render(
        scene, camera_at((0.0, -5.0, 3.0), (0.0, 0.0, 0.0)), lights, RenderOptions(background=(0.7, 0.7, 0.7))
    )
    assert sorted(seen.instance.unique().tolist()) == [0, 1]
    assert float(seen.depth_z_m[seen.instance == 0].max()) == 0
    backdrop = float(srgb_from_linear(torch.tensor(0.7)))
    assert float(seen.rgb[34:40, 12:26].min()) < 0.85 * backdrop  # on the ground to the left, away from the sun
    assert float(seen.rgb[34:40, -10:].min()) > 0.95 * backdrop


def test_both_backends_draw_the_same_picture():
    texture = torch.randint(0, 256, (8, 8, 4), generator=torch.Generator().manual_seed(0)).byte()
    blend = PBRMaterial((0.9, 0.6, 0.3, 0.6), 0.2, 0.4, base_color_texture=texture, alpha_mode="BLEND")
    shiny = PBRMaterial((0.8, 0.5, 0.2, 1.0), 1.0, 0.3)
    scene = add_ground(pack_meshes([box(0.5, material=shiny), square(0.8, half=0.7, material=blend)]))
    lights = Lights(
        suns=(SunLight((-0.6, -0.5, 1.0)),),
        points=(PointLight((1.0, -1.0, 2.0), (1.0, 0.9, 0.7), True),),
        ambient=Ambient(occlusion_directions=16),
        shadow_size=128,
        shadow_radius=2,
    )
    camera = camera_at((2.0, -2.5, 2.0), (0.0, 0.0, 0.2))
    fast, slow = (render(scene, camera, lights, RenderOptions(backend=backend)) for backend in BACKENDS)
    assert torch.equal(fast.instance, slow.instance)
    for name, tolerance in (("depth_z_m", 1e-5), ("albedo", 1e-5), ("normal", 1e-5), ("metallic_roughness", 1e-6)):
        torch.testing.assert_close(getattr(fast, name), getattr(slow, name), atol=tolerance, rtol=1e-5)
    # A shadow test may tip over by rounding at single samples; nothing else may differ.
    difference = (fast.rgb - slow.rgb).abs()
    assert float(difference.mean()) < 1e-4
    assert float((difference > 2e-3).float().mean()) < 0.005


def test_a_batch_is_the_pictures_one_by_one():
    scene, lights = pack_meshes([box()]), Lights(suns=(SunLight((1.0, -1.0, 1.0)),), shadow_size=64)
    cameras = [camera_at((2.0, y, 1.0), (0.0, 0.0, 0.0), 32) for y in (-1.0, 0.0, 1.0)]
    together = render_batch([scene] * 3, cameras, [shadows_of(scene, lights)] * 3, RenderOptions(threads=2))
    for camera, item in zip(cameras, together, strict=True):
        assert torch.equal(item.rgb, render(scene, camera, lights).rgb)


def test_neutral_tone_mapping_keeps_base_colours_and_bounds_highlights():
    greys = torch.linspace(0.1, 0.7, 7)[:, None].expand(-1, 3)
    torch.testing.assert_close(tone_map_neutral(greys), greys - 0.04)
    bright = tone_map_neutral(torch.tensor([[50.0, 5.0, 0.5]]))
    assert float(bright.max()) < 1
    assert bright[0, 0] > bright[0, 1] > bright[0, 2]


def test_pictures_have_eight_bits_and_alpha_on_request():
    seen = render(pack_meshes([box(0.4)]), camera_above(), Lights(), RenderOptions(background=None))
    picture = seen.image(transparent=True)
    assert picture.mode == "RGBA"
    assert picture.size == (64, 64)
    assert picture.getpixel((0, 0))[3] == 0
    assert picture.getpixel((32, 32))[3] == 255


def test_flat_shading_without_normals_and_smooth_with():
    sphere_like = Mesh(
        torch.tensor([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 1.0, 0.0]]),
        torch.tensor([[0, 1, 2]]),
        vertex_normals=torch.nn.functional.normalize(
            torch.tensor([[-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [0.0, 1.0, 1.0]])
        ),
    )
    smooth = render(pack_meshes([sphere_like]), camera_above(), Lights()).normal
    flat = render(pack_meshes([replace(sphere_like, vertex_normals=None)]), camera_above(), Lights()).normal
    hit = flat.norm(dim=-1) > 0.5
    torch.testing.assert_close(flat[hit], torch.tensor([0.0, 0.0, 1.0]).expand_as(flat[hit]))
    assert float(smooth[hit].std(0).max()) > 0.1
