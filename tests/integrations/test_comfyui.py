"""The node pack is imported as ComfyUI does, follows its interface, and runs on its tensors."""

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

import scenewright
from scenewright.errors import InputError

ROOT = Path(__file__).parents[2]
LIVING_ROOM = Path(scenewright.__file__).parent / "assets/living_room"
TYPES = {"IMAGE", "MASK", "STRING", "INT", "FLOAT", "BOOLEAN", "SCENEWRIGHT_SCENE"}


def imported_as_comfyui_does(folder: Path) -> ModuleType:
    """A folder in custom_nodes, by its path; its name need not be one of Python."""
    spec = importlib.util.spec_from_file_location("custom_nodes.scenewright-nodes", folder / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def nodes() -> dict[str, type]:
    return imported_as_comfyui_does(ROOT / "integrations/comfyui").NODE_CLASS_MAPPINGS


@pytest.fixture(scope="module")
def loaded(nodes):
    node = nodes["ScenewrightLoadPicture"]()
    return node.load(str(LIVING_ROOM / "rgb.jpg"), str(LIVING_ROOM / "instances.png"))


@pytest.fixture(scope="module")
def scene(nodes, loaded) -> scenewright.Scene:
    picture, masks, names = loaded
    [made] = nodes["ScenewrightGenerateScene"]().generate(picture, masks, "cuboid", 1, False, names=names)
    return made


def test_every_node_has_what_comfyui_asks_of_it(nodes):
    package = sys.modules["custom_nodes.scenewright-nodes"]
    assert package.NODE_DISPLAY_NAME_MAPPINGS.keys() == nodes.keys()
    for node in nodes.values():
        inputs = node.INPUT_TYPES()
        assert set(inputs) <= {"required", "optional", "hidden"}
        known = {name: kind for group in inputs.values() for name, kind in group.items()}
        for kind, *settings in known.values():
            assert all(isinstance(choice, str) for choice in kind) if isinstance(kind, list) else kind in TYPES
            assert len(settings) <= 1
            assert all(isinstance(setting, dict) for setting in settings)
        assert set(node.RETURN_TYPES) <= TYPES
        assert len(node.RETURN_NAMES) == len(node.RETURN_TYPES)
        assert isinstance(node.CATEGORY, str)
        called = inspect.signature(getattr(node(), node.FUNCTION)).parameters
        assert set(called) == set(known)
        required = {name for name, parameter in called.items() if parameter.default is parameter.empty}
        assert required == set(inputs["required"])


def test_a_picture_and_masks_are_comfyuis_tensors(loaded):
    picture, masks, names = loaded
    width, height = Image.open(LIVING_ROOM / "rgb.jpg").size
    assert picture.shape == (1, height, width, 3)
    assert masks.shape == (len(names.splitlines()), height, width)
    assert (picture.dtype, masks.dtype) == (torch.float32, torch.float32)
    assert 0 <= float(picture.min()) < float(picture.max()) <= 1
    assert set(masks.unique().tolist()) == {0.0, 1.0}


def test_a_scene_has_an_object_per_mask_under_its_name(loaded, scene):
    assert [item.name for item in scene.objects] == loaded[2].splitlines()


def test_masks_without_names_are_numbered(nodes, loaded):
    picture, masks, _ = loaded
    [made] = nodes["ScenewrightGenerateScene"]().generate(picture, masks[:1], "cuboid", 1, False)
    assert [item.name for item in made.objects] == ["obj_01"]


@pytest.mark.parametrize("change", ["two pictures", "another size"])
def test_what_cannot_be_used_is_one_sentence(nodes, loaded, change):
    picture, masks, _ = loaded
    picture = picture.repeat(2, 1, 1, 1) if change == "two pictures" else picture
    masks = torch.zeros(1, 64, 64) if change == "another size" else masks
    with pytest.raises(InputError, match=r"Expected one picture|Expected masks of the picture's"):
        nodes["ScenewrightGenerateScene"]().generate(picture, masks, "cuboid", 1, False)


def test_a_scene_is_rendered_as_an_image(nodes, scene):
    [picture] = nodes["ScenewrightRenderScene"]().render(scene, "camera", 64)
    assert picture.shape[0] == 1
    assert picture.shape[3] == 3
    assert picture.std() > 0.02


def test_a_scene_is_saved_where_comfyui_says(nodes, scene, tmp_path, monkeypatch):
    folder_paths = ModuleType("folder_paths")
    folder_paths.get_output_directory = lambda: str(tmp_path)
    folder_paths.get_save_image_path = lambda prefix, root: (root, prefix, 7, "", prefix)
    monkeypatch.setitem(sys.modules, "folder_paths", folder_paths)
    saved = nodes["ScenewrightSaveScene"]().save(scene, "room", ".glb")
    assert saved["ui"] == {"3d": [{"filename": "room_00007_.glb", "subfolder": "", "type": "output"}]}
    [path] = saved["result"]
    again = scenewright.load_scene(path)
    assert [item.name for item in again.objects] == [item.name for item in scene.objects]


def test_a_picture_that_changed_is_read_again(nodes, tmp_path):
    node = nodes["ScenewrightLoadPicture"]
    (tmp_path / "a.png").write_bytes(b"1")
    before = node.IS_CHANGED(str(tmp_path / "a.png"), "auto")
    (tmp_path / "a.png").unlink()
    assert node.IS_CHANGED(str(tmp_path / "a.png"), "auto") != before
