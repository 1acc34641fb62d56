"""Views of one scene: objects brought into one order by name, and what differs told."""

import pytest
import torch
from PIL import Image

from scenewright.errors import InputError
from scenewright.systems.system import in_same_order
from scenewright.types import ObjectMasks, View


def view_of(*names: str, name: str = "") -> View:
    """Object i fills row i of a picture of 8 x 4 pixels."""
    masks = torch.eye(4, dtype=torch.bool)[: len(names), :, None].expand(-1, -1, 8).clone()
    return View(Image.new("RGB", (8, 4)), ObjectMasks(masks, names), name=name)


def test_objects_come_in_the_order_of_the_first_view() -> None:
    first, second = in_same_order([view_of("sofa", "lamp", "chair"), view_of("chair", "sofa", "lamp")])
    assert first.objects.names == second.objects.names == ("sofa", "lamp", "chair")
    assert second.objects.masks.any(2).int().argmax(1).tolist() == [1, 2, 0]


def test_one_object_needs_no_name() -> None:
    _, second = in_same_order([view_of("left_masks"), view_of("right_masks")])
    assert second.objects.names == ("left_masks",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("sofa",), r"front.png has 2 and side.png has 1 \(side.png lacks 'lamp'\)"),
        (("sofa", "lamp", "rug"), r"has 2 and side.png has 3 \(front.png lacks 'rug'\)"),
        (("sofa", "vase"), r"side.png lacks 'lamp'; front.png lacks 'vase'"),
    ],
)
def test_views_of_other_objects_are_refused_and_the_objects_named(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        in_same_order([view_of("sofa", "lamp", name="front.png"), view_of(*names, name="side.png")])
    with pytest.raises(InputError, match="at least one view"):
        in_same_order([])
