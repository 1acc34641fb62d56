"""The Gradio Space: the page is built, and its function makes a scene or says one sentence."""

import importlib.util
from pathlib import Path

import pytest

import scenewright

gradio = pytest.importorskip("gradio", reason="the Space is tested with the group space: uv run --group space pytest")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def space():
    spec = importlib.util.spec_from_file_location("scenewright_space", ROOT / "integrations/space/app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_asks_for_picture_and_masks_and_shows_the_scene(space):
    page = space.build()
    kinds = {type(block) for block in page.blocks.values()}
    assert {gradio.Image, gradio.File, gradio.Dropdown, gradio.Model3D, gradio.Button} <= kinds
    [made] = [function for function in page.fns.values() if function.fn is space.make_scene]
    assert [type(item) for item in made.outputs] == [gradio.Model3D, gradio.Image]


def test_its_function_makes_a_scene_and_a_comparison(space):
    masks = [str(space.EXAMPLE / "instances.png")]
    scene, comparison = space.make_scene(str(space.EXAMPLE / "rgb.jpg"), masks, "cuboid", 1.0)
    assert len(scenewright.load_scene(scene).objects) > 1
    assert Path(comparison).stat().st_size > 1000


@pytest.mark.parametrize("masks", [None, ["masks.png"]], ids=["none", "missing file"])
def test_what_cannot_be_used_is_a_sentence_on_the_page(space, masks):
    with pytest.raises(gradio.Error, match=r"its masks|masks.png"):
        space.make_scene(str(space.EXAMPLE / "rgb.jpg"), masks, "cuboid", 0.0)
