"""Made rooms: how far cells are from their surface, and the grid round their points."""

import numpy as np
import torch
from scripts.mini_training.room_examples import MadeRoom, room_grid, signed_distance

from scenewright.geometry.mesh.triangle_tree import TriangleTree
from scenewright.systems.genrecon.seen_points import SeenPoints
from scenewright.systems.mini.room_evidence import RoomGrid
from scenewright.systems.mini.room_network import FAR_CELLS, THIN_CELLS
from scenewright.types import Mesh


def box_room() -> MadeRoom:
    """A room of 2 x 1.6 x 2.4 m with a sheet of a table in it, one camera."""
    corners = np.array([[0, 0], [2, 0], [2, 1.6], [0, 1.6]])

    def quad(a: list[float], b: list[float], c: list[float], d: list[float], start: int) -> tuple[list, list]:
        return [a, b, c, d], [[start, start + 1, start + 2], [start, start + 2, start + 3]]

    quads = [([0, 0, z], [2, 0, z], [2, 1.6, z], [0, 1.6, z]) for z in (0, 2.4)]
    for a, b in zip(corners, np.roll(corners, -1, 0), strict=True):
        quads.append(([*a, 0], [*b, 0], [*b, 2.4], [*a, 2.4]))
    quads.append(([0.5, 0.4, 0.8], [1.5, 0.4, 0.8], [1.5, 1.2, 0.8], [0.5, 1.2, 0.8]))
    vertices, faces = [], []
    for own in quads:
        points, triangles = quad(*own, len(vertices))
        vertices += points
        faces += triangles
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, 3] = -torch.tensor([1.0, 0.8, 1.6])
    nothing = SeenPoints(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 2), int))
    surface = Mesh(torch.tensor(vertices, dtype=torch.float32), torch.tensor(faces, dtype=torch.int32))
    return MadeRoom((), pose[None], torch.eye(3, dtype=torch.float64)[None], nothing, surface, corners, 2.4)


def test_made_distances_are_positive_in_the_room_and_sheets_have_a_solid_middle() -> None:
    room, grid = box_room(), RoomGrid((-0.4, -0.4, -0.2), 0.04, (70, 60, 72), 0.0)
    distance = signed_distance(room, grid)
    centres = grid.centres().view(*grid.shape, 3)

    def at(x: float, y: float, z: float) -> float:
        return float(distance[tuple(int((v - low) / 0.04) for v, low in zip((x, y, z), grid.low, strict=True))])

    assert at(1, 0.8, 1.6) == FAR_CELLS
    assert at(1, 0.8, -0.15) < 0
    assert at(-0.3, 0.8, 1.0) == -FAR_CELLS
    # Below the table is free, the sheet itself solid.
    assert at(1, 0.8, 0.4) == FAR_CELLS
    assert float(distance[35, 30, 22:27].min()) < 0
    in_free = distance > 0
    true = TriangleTree(room.surface).query(centres[torch.from_numpy(in_free)]).distance / 0.04
    torch.testing.assert_close(
        torch.from_numpy(distance[in_free]), (true - THIN_CELLS).clamp(max=FAR_CELLS).float(), atol=1e-3, rtol=0
    )


def test_room_grid_holds_all_of_a_room() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform([0, 0, 0], [4, 3, 2.5], (5000, 3))
    grid = room_grid(points)
    high = np.array(grid.low) + np.array(grid.shape) * grid.cell
    assert (np.array(grid.low) < [-0.2, -0.2, -0.1]).all()
    assert (high > [4.2, 3.2, 2.6]).all()
    assert all(count % 2 == 0 for count in grid.shape)
