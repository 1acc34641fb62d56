"""Truth of made scenes is held as that of the test scenes: what is inside an object is not scored."""

from dataclasses import replace

import numpy as np
import torch
from scripts.made_scenes import POINTS, surface_points

from scenewright.geometry.frames import zup_from_yup
from scenewright.types import SceneObject
from tests.geometry.shapes import icosphere


def test_points_lie_on_what_is_seen_from_outside_in_the_frame_of_the_files() -> None:
    ball = icosphere()
    inside = replace(ball, vertices=0.5 * ball.vertices)
    item = SceneObject("a", (ball, inside), world_from_object=torch.eye(4))
    stored = surface_points(item, "01", np.random.default_rng(0))
    points = stored["01_p"] * stored["01_scale"] + stored["01_lo"]
    radii = zup_from_yup(torch.from_numpy(points)).norm(dim=1)
    assert len(radii) == POINTS
    assert float(radii.min()) > 0.9 * float(radii.max())
