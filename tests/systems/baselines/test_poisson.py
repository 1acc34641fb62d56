"""The surface through points, in the colours of photographs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenewright.geometry.mesh.parts import face_normals
from scenewright.systems.baselines.poisson import PoissonSystem, poisson_surface
from scenewright.systems.genrecon.captures import Alignment, aligned, read_capture
from scenewright.systems.genrecon.seen_points import SeenPoints
from tests.systems.genrecon.tiny_capture import write_capture


def test_points_of_a_ball_give_the_ball_back() -> None:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(1500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    seen = np.stack([np.zeros(1500, int), np.arange(1500)], 1)
    surface = poisson_surface(SeenPoints(0.6 * directions + 2, directions, seen), 0.05)
    from_centre = surface.vertices - 2
    assert float((from_centre.norm(dim=1) - 0.6).abs().quantile(0.95)) < 0.03
    middles = from_centre[surface.faces.long()].mean(1)
    assert float(((face_normals(surface) * middles).sum(1) > 0).double().mean()) > 0.99


def test_a_capture_becomes_a_textured_scene(tmp_path: Path) -> None:
    capture = aligned(read_capture(write_capture(tmp_path, count=4)), Alignment(metres_per_unit=2.0))
    system = PoissonSystem()
    finish = replace(system.options.finish, max_faces=600, texture_size=32)
    scene = PoissonSystem(replace(system.options, finish=finish)).generate_capture(capture, seed=1)
    bounds = torch.stack([item.world_bounds() for item in scene.objects])
    height = float(bounds[:, 1, 2].max() - bounds[:, 0, 2].min())
    assert height == pytest.approx(np.ptp(capture.points[:, 2]), abs=0.6)
    assert all(part.material is not None for item in scene.objects for part in item.parts)
