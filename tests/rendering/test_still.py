"""Views of a still that are given as numbers."""

import pytest

from scenewright.errors import InputError
from scenewright.rendering.still import render
from scenewright.types import Scene, SceneObject
from tests.rendering.shapes import box


@pytest.mark.parametrize("view", ["nan,0", "inf,0", "0,nan"])
def test_a_direction_that_is_no_number_is_refused(view: str):
    with pytest.raises(InputError, match=r"Expected a (yaw|pitch)"):
        render(Scene((SceneObject("box", (box(),)),)), view=view, size=16)
