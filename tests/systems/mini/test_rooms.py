"""Mini's GenRecon: what points and pictures say of cells, the network's windows, blended chunks, a scene."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.geometry.threads import free_threads, one_torch_thread
from scenewright.systems.genrecon.captures import Alignment, aligned, read_capture
from scenewright.systems.genrecon.photographs import photograph_field
from scenewright.systems.genrecon.seen_points import SeenPoints, oriented_normals, visible_points
from scenewright.systems.genrecon.tiling import Chunks
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.genrecon import MINI_OPTIONS, MiniGenRecon
from scenewright.systems.mini.room_evidence import (
    COARSE_CHANNELS,
    FINE_CHANNELS,
    Evidence,
    RoomGrid,
    RoomViews,
    room_evidence,
)
from scenewright.systems.mini.room_network import FAR_CELLS, PLANE_CHANNEL, THIN_CELLS, RoomNetwork, RoomNetworkConfig
from scenewright.systems.mini.room_surface import predicted_field, surface_of_field
from scenewright.systems.mini.room_training import open_rooms
from scenewright.types import Camera, Mesh
from tests.systems.genrecon.tiny_capture import write_capture

FREE, BEHIND = 7, 8
CELL = 0.05


def wall_seen_from_above() -> tuple[SeenPoints, RoomViews]:
    """A level sheet at z = 0.5 that one camera above it looks down on; a red and a blue half."""
    side = np.linspace(0.1, 1.5, 40)
    positions = np.stack([*np.meshgrid(side, side), np.full((40, 40), 0.5)], -1).reshape(-1, 3)
    seen = np.stack([np.zeros(len(positions), int), np.arange(len(positions))], 1)
    eye = np.array([[0.8, 0.8, 1.5]])
    pose = torch.eye(4)
    pose[1, 1] = pose[2, 2] = -1.0
    pose[:3, 3] = -pose[:3, :3] @ torch.from_numpy(eye[0]).float()
    pixels = torch.zeros(1, 3, 24, 32)
    pixels[0, 0, :, :16], pixels[0, 2, :, 16:] = 1, 1
    intrinsics = torch.tensor([[0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 1.0]])[None]
    views = RoomViews(pixels, torch.zeros(1, 8, 2, 2), pose[None], intrinsics)
    return SeenPoints(positions, oriented_normals(positions, seen, eye), seen), views


def test_evidence_tells_free_space_from_what_is_behind_a_surface() -> None:
    points, views = wall_seen_from_above()
    assert np.allclose(points.normals, [0, 0, 1], atol=1e-6)
    grid = RoomGrid((0, 0, 0), CELL, (32, 32, 32), 0.0)
    evidence = room_evidence(grid, points, views)
    assert evidence.fine.shape == (FINE_CHANNELS, 32, 32, 32)
    assert evidence.coarse.shape == (COARSE_CHANNELS, 16, 16, 16)
    middle = evidence.fine[:, 16, 16]
    assert (middle[FREE, 13:28] > 0).all()
    assert (middle[FREE, :9] == 0).all()
    assert (middle[BEHIND, 7:9] > 0).any()
    assert (middle[BEHIND, 14:] == 0).all()
    # The distance to the sheet in units of four cells, positive on the camera's side.
    heights = (torch.arange(32) + 0.5) * CELL
    expected = ((heights - 0.5) / CELL / 4).clamp(-1, 1)
    torch.testing.assert_close(middle[PLANE_CHANNEL, 4:18], expected[4:18], atol=0.02, rtol=0)
    red, blue = evidence.coarse[0, 4, 8, 8], evidence.coarse[2, 12, 8, 8]
    assert red > 0.9
    assert blue > 0.9


def test_points_hidden_by_nearer_ones_are_not_seen() -> None:
    points, views = wall_seen_from_above()
    below = points.positions - [0, 0, 0.4]
    pairs = visible_points(np.concatenate([points.positions, below]), views.cam_from_world, views.intrinsics_unit)
    inner = (np.abs(below[:, :2] - 0.8) < 0.4).all(1)
    assert np.isin(np.flatnonzero(inner), pairs[:, 1]).all()
    assert not np.isin(np.flatnonzero(inner) + len(below), pairs[:, 1]).any()


def test_blended_chunks_give_the_surface_back() -> None:
    """With the distance to a floor as the estimate, the surface is that floor in all chunks, wound upwards."""
    points, views = wall_seen_from_above()
    size = 64 * 0.04
    chunks = Chunks(torch.tensor([[0.0, 0.0, size / 2], [size / 2, 0.0, size / 2]], dtype=torch.float64), size)

    def estimate(evidence: Evidence) -> torch.Tensor:
        # The coarse evidence holds the height above the floor in chunk sides.
        height = evidence.coarse[-1].repeat_interleave(2, 2)[0, 0] * 64
        exact = height.view(-1, 2).mean(1).repeat_interleave(2) + torch.tensor([-0.5, 0.5]).repeat(32)
        return ((exact - 10.3 - THIN_CELLS) / FAR_CELLS).expand(64, 64, 64)

    field = predicted_field(RoomNetwork(), chunks, points, views, estimate=estimate)
    surface = surface_of_field(field)
    torch.testing.assert_close(
        surface.vertices[:, 2], torch.full((len(surface.vertices),), 10.3 * 0.04), atol=2e-3, rtol=0
    )
    assert float(surface.vertices[:, 0].max() - surface.vertices[:, 0].min()) > 1.4 * size


def test_chunks_side_by_side_give_the_bits_of_one_after_the_other(two_threads: None) -> None:
    points, views = wall_seen_from_above()
    chunks = Chunks(torch.tensor([[0.0, 0.0, 1.28], [1.28, 0.0, 1.28]], dtype=torch.float64), 2.56)
    torch.manual_seed(0)
    network = RoomNetwork(RoomNetworkConfig((8, 8, 8), (1, 1, 1)))
    torch.nn.init.normal_(network.out.weight)
    fields = []
    for num_threads in (1, 2):
        torch.set_num_threads(num_threads)
        with one_torch_thread():
            assert (free_threads(), torch.get_num_threads()) == (num_threads, 1)
            fields.append(predicted_field(network, chunks, points, views))
    assert np.array_equal(fields[0].distance, fields[1].distance)


def test_untrained_network_says_the_distance_to_the_nearest_points_plane() -> None:
    fine = torch.rand(1, FINE_CHANNELS, 16, 16, 16)
    found = RoomNetwork(RoomNetworkConfig((8, 8, 8), (1, 1, 1)))(fine, torch.rand(1, COARSE_CHANNELS, 8, 8, 8))
    torch.testing.assert_close(found, fine[:, PLANE_CHANNEL])


def test_turned_windows_keep_vectors_with_the_room(tmp_path: Path) -> None:
    """The vector channels point along the slope of the distance, however a window is turned."""
    x, y = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    distance = np.broadcast_to((0.6 * x + 0.3 * y)[..., None], (64, 64, 64))
    fine = np.zeros((FINE_CHANNELS, 64, 64, 64), np.int8)
    fine[2], fine[3] = 60, 30
    np.savez(
        tmp_path / "room-00000.npz",
        fine=fine,
        coarse=np.zeros((COARSE_CHANNELS, 32, 32, 32), np.int8),
        distance=distance.astype(np.int8),
    )
    windows, held_out = open_rooms(tmp_path, side=16, height=16, num_validation_files=0)
    assert held_out is None
    seen = set()
    for index in range(24):
        window = windows.sample(index, torch.Generator().manual_seed(index))
        assert window["distance"].shape == (16, 16, 16)
        slope = torch.stack([window["distance"].diff(dim=axis).mean() for axis in (0, 1)])
        vector = window["fine"][2:4, 0, 0, 0]
        assert float((slope @ vector) / slope.norm() / vector.norm()) > 0.99
        seen.add(tuple(vector.sign().tolist() + [bool(vector[0].abs() > vector[1].abs())]))
    assert len(seen) == 8


def test_scene_of_a_capture_with_photographs_colours(tmp_path: Path) -> None:
    """A capture becomes a textured scene, offline; the capture's own points decide where."""
    capture = aligned(read_capture(write_capture(tmp_path, count=4)), Alignment(metres_per_unit=2.0))
    torch.manual_seed(0)
    network = RoomNetwork(RoomNetworkConfig((8, 8, 8), (1, 1, 1)))
    finish = replace(MINI_OPTIONS.finish, max_faces=600, texture_size=32)
    system = MiniGenRecon(network, PictureConditioner(), {}, replace(MINI_OPTIONS, finish=finish))
    scene = system.generate_capture(capture, seed=1)
    low, high = (torch.stack([item.world_bounds()[side] for item in scene.objects]) for side in (0, 1))
    assert scene.is_metric
    assert float(high.amax(0)[2] - low.amin(0)[2]) == pytest.approx(np.ptp(capture.points[:, 2]), abs=0.6)
    part = scene.objects[0].parts[0]
    assert part.material is not None
    assert part.material.base_color_texture is not None


def test_colours_come_from_the_view_that_sees_the_surface() -> None:
    def square(z: float) -> torch.Tensor:
        return torch.tensor([[-1.0, -1, z], [1, -1, z], [1, 1, z], [-1, 1, z]])

    # Two sheets facing the camera at the origin that looks along +z; the far one is hidden.
    faces = torch.tensor([[0, 2, 1], [0, 3, 2]], dtype=torch.int32)
    surface = Mesh(torch.cat([square(2.0), square(3.0)]), torch.cat([faces, faces + 4]))
    camera = Camera(torch.tensor([[32.0, 0, 32], [0, 32, 32], [0, 0, 1]]), torch.eye(4), 64, 64)
    picture = Image.new("RGB", (64, 64), (255, 0, 0))
    picture.paste((0, 0, 255), (32, 0, 64, 64))
    field = photograph_field(surface, [picture], [camera])
    colors, seen = field.seen_colors(torch.tensor([[-0.5, 0, 2.0], [0.5, 0, 2.0], [0.0, 0, 3.0]]))
    assert seen.tolist() == [True, True, False]
    torch.testing.assert_close(colors[:2], torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]))
    # What no view sees takes the colour of the nearest surface that one does.
    torch.testing.assert_close(field.at(torch.tensor([[0.8, 0, 3.0]]))[0, :3], torch.tensor([0, 0, 1.0]))
