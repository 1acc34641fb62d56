"""Retrieval: features tell shapes apart, a model finds itself, and is placed by its outline."""

import math

import pytest
import torch
from PIL import Image

from scenewright.data.asset import Asset
from scenewright.errors import InputError
from scenewright.rendering.render import RenderOptions, render
from scenewright.systems.baselines.retrieval import RetrievalSystem, StoredModel, appearance, build_library, cut_out
from scenewright.systems.baselines.retrieval.pack_library import pictures_of
from scenewright.types import Mask, Mesh, ObjectMasks, Scene, SceneObject, View
from tests.evaluation.small_scenes import chair
from tests.systems.baselines.cuboid.test_placement import camera

CHAIR = Asset("chair", "Chair", "chair", chair("chair", (0, 0, 0)).parts)
PLATE = Asset(
    "plate",
    "Plate",
    "plate",
    (
        Mesh(
            torch.tensor([[-0.8, -0.3, 0], [0.8, -0.3, 0], [0.8, 0.3, 0.1], [-0.8, 0.3, 0.1]]),
            torch.tensor([[0, 1, 2], [0, 2, 3], [0, 2, 1], [0, 3, 2]]),
        ),
    ),
)


def library():
    models = ((StoredModel(a.id, lambda a=a: a.parts), pictures_of(a)) for a in (CHAIR, PLATE))
    return build_library(models, appearance)


def test_features_have_unit_length_blocks_and_forget_the_picture_size() -> None:
    _, picture = next(iter(pictures_of(CHAIR)))
    small, large = appearance(picture), appearance(picture.resize((picture.width * 2, picture.height * 2)))
    assert small.shape == (1024,)
    assert float(small.norm()) ** 2 == pytest.approx(2.25, rel=1e-4)
    assert float(torch.nn.functional.cosine_similarity(small, large, dim=0)) > 0.97
    assert bool(torch.isfinite(appearance(Image.new("RGBA", (8, 8)))).all())


def test_a_cut_out_is_square_and_transparent_outside_the_mask() -> None:
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[5:15, 10:14] = True
    picture = cut_out(Image.new("RGB", (30, 20), (9, 8, 7)), Mask.of(mask))
    assert picture.width == picture.height
    assert picture.getchannel("A").getextrema() == (0, 255)
    assert picture.getpixel((picture.width // 2, picture.height // 2)) == (9, 8, 7, 255)


@pytest.mark.parametrize("turn_deg", [0, 60, 210])
def test_a_model_finds_itself_its_turn_and_its_place(turn_deg: int) -> None:
    angle = math.radians(turn_deg)
    c, s = math.cos(angle), math.sin(angle)
    pose = torch.tensor([[c, -s, 0, 0.2], [s, c, 0, 3.0], [0, 0, 1, 0], [0, 0, 0, 1]])
    true = SceneObject("obj", CHAIR.parts, world_from_object=pose)
    drawn = render(Scene((true,)), camera(), options=RenderOptions())
    system = RetrievalSystem(library(), appearance)
    (found,) = system.generate(View(drawn.image(), ObjectMasks(drawn.mask(1)[None]), camera())).objects
    assert found.extras["model"] == "chair"
    assert found.world_bounds().numpy() == pytest.approx(true.world_bounds().numpy(), abs=0.2)
    assert float(found.world_bounds()[0, 2]) == pytest.approx(0, abs=1e-4)
    facing = torch.atan2(found.world_from_object[1, 0], found.world_from_object[0, 0])
    assert math.cos(float(facing) - angle) > 0.85


def test_an_empty_library_is_refused() -> None:
    with pytest.raises(InputError, match="at least one model"):
        build_library([], appearance)
