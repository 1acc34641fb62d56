from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError, MissingExtraError
from scenewright.rendering.lights import Ambient, Lights, SunLight
from scenewright.rendering.preview import PreviewStyle, preview_still, preview_turntable, save_animation
from scenewright.types import Gaussians, PBRMaterial, Scene, SceneObject
from tests.rendering.shapes import box, square

SCENE = Scene((SceneObject("box", (box(),)),))
FAST = PreviewStyle(
    size=48,
    supersample=1,
    lights=Lights(suns=(SunLight((-1.0, -1.0, 2.0)),), ambient=Ambient(occlusion_directions=4), shadow_size=64),
)
SPLATS = Gaussians(
    torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]]),
    torch.full((2, 3), 0.2),
    torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(2, 1),
    torch.full((2,), 0.9),
    torch.zeros(2, 1, 3),
)


def test_a_still_shows_the_object_on_the_asked_background():
    picture = preview_still(SCENE, style=FAST)
    assert picture.size == (48, 48)
    assert picture.getpixel((0, 0)) == (221, 221, 221)
    assert max(picture.getpixel((24, 24))) < 215


def test_transparent_stills_have_alpha():
    style = PreviewStyle(size=32, background=None, has_ground=False, supersample=1, lights=FAST.lights)
    picture = preview_still(SCENE, style=style)
    assert picture.mode == "RGBA"
    assert picture.getpixel((0, 0))[3] == 0


def test_scenes_of_splats_are_drawn_too():
    picture = preview_still(Scene((SceneObject("cloud", splats=SPLATS),)), style=FAST)
    assert max(abs(a - b) for a, b in zip(picture.getpixel((24, 24)), picture.getpixel((0, 0)), strict=True)) > 20


def test_empty_and_damaged_scenes_are_refused():
    with pytest.raises(InputError, match="nothing to render"):
        preview_still(Scene(()))
    broken = box()
    broken.vertices[0, 0] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        preview_still(Scene((SceneObject("broken", (broken,)),)))


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_turntables_become_looping_animations(tmp_path, suffix):
    calls = []
    pictures = preview_turntable(SCENE, 4, style=FAST, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    path = save_animation(pictures, tmp_path / f"turn.{suffix}", seconds=1.0)
    with Image.open(path) as animation:
        assert animation.n_frames == 4
        assert animation.info["loop"] == 0
        animation.seek(1)
        animation.load()
        assert animation.info["duration"] == 250
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_animations_need_a_known_suffix_and_pictures(tmp_path):
    with pytest.raises(InputError, match=r"\.gif, \.webp or \.mp4"):
        save_animation([Image.new("RGB", (4, 4))], tmp_path / "turn.avi")
    with pytest.raises(InputError, match="at least one"):
        save_animation([], tmp_path / "turn.gif")


def test_mp4_works_or_names_the_extra(tmp_path):
    pictures = [Image.new("RGB", (32, 32), color) for color in ("red", "green")]
    if find_spec("imageio_ffmpeg"):
        assert save_animation(pictures, tmp_path / "turn.mp4").stat().st_size > 0
    else:
        with pytest.raises(MissingExtraError, match=r"scenewright\[video\]"):
            save_animation(pictures, tmp_path / "turn.mp4")


def test_command_writes_a_picture_and_a_turntable(tmp_path):
    SCENE.save(tmp_path / "scene.glb")
    arguments = ["render", str(tmp_path / "scene.glb"), "-o", str(tmp_path / "a.png"), "--size", "24", "--frames", "2"]
    result = CliRunner().invoke(app, [*arguments, "--turntable", str(tmp_path / "a.gif"), "--view", "30,10"])
    assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "a.png").size == (24, 24)
    assert Image.open(tmp_path / "a.gif").n_frames == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--view", "sideways"], "three-quarter"),
        (["--view", "camera"], "has no camera"),
        (["--view", "10,95"], "pitch"),
        (["--background", "mauve"], "grey, white"),
        (["--turntable", "turn.avi"], "to end in"),
    ],
)
def test_command_explains_bad_arguments(tmp_path, arguments, message):
    SCENE.save(tmp_path / "scene.glb")
    result = CliRunner().invoke(app, ["render", str(tmp_path / "scene.glb"), *arguments, "--size", "16"])
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


@pytest.mark.parametrize("size", [40, 64])
def test_what_lies_on_the_ground_is_seen_whole(size):
    rug = square(0.0, half=1.0, material=PBRMaterial(base_color_factor=(0.8, 0.0, 0.0, 1.0)))
    style = replace(FAST, size=size)
    with_ground, without = (
        np.asarray(preview_still(Scene((SceneObject("rug", (rug,)),)), style=replace(style, has_ground=ground)))
        for ground in (True, False)
    )
    red = [int((picture[..., 0] > picture[..., 1] + 40).sum()) for picture in (with_ground, without)]
    assert red[1] > 200
    assert red[0] == pytest.approx(red[1], rel=0.02)


@pytest.mark.parametrize(("scale", "offset"), [(1e-6, 0.0), (1e6, 0.0), (1.0, 1e5)])
def test_models_of_any_size_and_place_are_framed(scale, offset):
    usual = np.asarray(preview_still(SCENE, style=FAST), dtype=float)
    placement = torch.diag(torch.tensor([scale, scale, scale, 1.0]))
    placement[0, 3] = offset
    moved = Scene((SceneObject("box", (box(),), world_from_object=placement),))
    assert np.abs(np.asarray(preview_still(moved, style=FAST), dtype=float) - usual).mean() < 2
