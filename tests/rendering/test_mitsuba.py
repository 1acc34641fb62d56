"""The path tracer agrees with the rasteriser where light does not bounce."""

from importlib.util import find_spec

import pytest
import torch

from scenewright.errors import InputError, MissingExtraError
from scenewright.rendering.lights import Ambient, Lights, PointLight, SunLight
from scenewright.rendering.mitsuba import render_path_traced
from scenewright.rendering.render import RenderOptions, render
from scenewright.rendering.triangles import pack_meshes
from scenewright.types import PBRMaterial
from tests.rendering.shapes import box, camera_above, square

HAS_MITSUBA = find_spec("mitsuba") is not None
needs_mitsuba = pytest.mark.skipif(
    not HAS_MITSUBA, reason="needs the extra 'mitsuba': pip install 'scenewright[mitsuba]'"
)
PLAIN = RenderOptions(supersample=1, tone_map=False, background=(0.0, 0.0, 0.0))
NONE = Ambient((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


@pytest.mark.skipif(HAS_MITSUBA, reason="the extra is installed")
def test_without_the_extra_the_message_names_it():
    with pytest.raises(MissingExtraError, match=r"scenewright\[mitsuba\]"):
        render_path_traced(pack_meshes([box()]), camera_above(), Lights())


@needs_mitsuba
@pytest.mark.parametrize(
    "lights",
    [
        Lights(suns=(SunLight((0.5, 0.0, 1.0), (0.9, 0.8, 0.7), has_shadow=False),), ambient=NONE),
        Lights(points=(PointLight((0.2, 0.1, 1.5), (1.5, 1.4, 1.2)),), ambient=NONE),
        Lights(ambient=Ambient((0.6, 0.7, 0.8), (0.1, 0.1, 0.1))),
    ],
    ids=["sun", "lamp", "sky"],
)
def test_a_flat_surface_is_as_bright_and_textures_lie_the_same_way(lights):
    texture = torch.full((4, 4, 3), 60, dtype=torch.uint8)
    texture[:2, :2, 0] = 220  # top left: -x, +y
    scene = pack_meshes([square(material=PBRMaterial(base_color_texture=texture))])
    camera = camera_above()
    camera.intrinsics_px[0, 2] += 6.0  # an off-centre principal point, to catch sign errors
    camera.intrinsics_px[1, 2] -= 3.0
    fast = render(scene, camera, lights, PLAIN)
    traced = render_path_traced(scene, camera, lights, PLAIN, samples_per_pixel=16)
    assert float((fast.alpha - traced.alpha).abs().mean()) < 0.02
    inside = fast.alpha == 1
    error = (fast.rgb - traced.rgb).abs()[inside]
    assert float(error.median()) < 0.04
    assert float(error.mean()) < 0.06
    assert torch.equal(fast.instance, traced.instance)


@needs_mitsuba
def test_unknown_variants_and_skewed_cameras_are_refused():
    with pytest.raises(InputError, match="variant"):
        render_path_traced(pack_meshes([box()]), camera_above(), Lights(), variant="steam")
    camera = camera_above()
    camera.intrinsics_px[0, 1] = 3.0
    with pytest.raises(InputError, match="skew"):
        render_path_traced(pack_meshes([box()]), camera, Lights())
