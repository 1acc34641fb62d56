"""What users bring: panoramas of odd sizes and kinds, facts they know, distances that are wrong."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.errors import InputError
from scenewright.systems.inspace.composition import floor_polygon, world_from_cube
from scenewright.systems.inspace.panorama import Panorama, PanoramaSettings, RoomInput, rolled, room_input
from scenewright.systems.inspace.room_frame import depth_rays
from scenewright.systems.options import RoomOverride
from tests.systems.inspace.test_panorama_geometry import room_depth

PICTURE = torch.full((32, 64, 3), 90, dtype=torch.uint8)


def seen(distance: torch.Tensor | None = None, **known: object) -> RoomInput:
    settings = PanoramaSettings(RoomOverride(**known), face_size=16)  # type: ignore[arg-type]
    return room_input(Panorama(PICTURE, distance), settings)


def test_what_is_known_overrides_what_would_be_estimated() -> None:
    turned = rolled(Panorama(PICTURE, room_depth(64)), math.radians(20)).distance_m
    estimated = seen(turned)
    assert estimated.origins == dict.fromkeys(("heading", "camera_height", "extent", "ceiling"), "estimated")
    assert seen(turned, heading=0.0).heading == 0
    assert seen(turned, heading=0.0).origins["heading"] == "given"
    # Distances in other units: the floor is found at 1.2, the camera is known to stand at 1.8.
    taller = seen(turned, camera_height_m=1.8)
    assert taller.camera_height_m == 1.8
    assert taller.frame.scale == pytest.approx(estimated.frame.scale / 1.5, rel=0.02)
    # A table is no floor: the user says where it is.
    lower = seen(turned, floor_m=1.5, camera_height_m=3.0)
    assert lower.frame.scale == pytest.approx(estimated.frame.scale / 2, rel=0.02)
    assert seen(turned, floor_m=1.25).camera_height_m == 1.25


def test_a_known_extent_closes_doors_and_windows() -> None:
    depth = room_depth(64)
    rays = depth_rays(64, 128)
    depth[(rays[..., 0] > 0.8) & (rays[..., 2].abs() < 0.5)] = 4.5  # through a door
    depth[30, 3] = torch.nan
    open_room, closed = seen(depth, heading=0.0), seen(depth, heading=0.0, extent_m=(1.5, 2.0, 2.5, 3.0))
    assert 1 / open_room.frame.scale > 5.5
    assert 1 / closed.frame.scale == pytest.approx(5, abs=0.05)
    assert closed.panorama.distance_m is not None
    assert closed.voxels is not None
    polygon = floor_polygon(closed, (closed.voxels // 2).unique(dim=0))
    assert np.abs(polygon.max(0) - [2.5, 3.0]).max() < 0.1
    assert np.abs(polygon.min(0) + [1.5, 2.0]).max() < 0.1


def test_without_distances_what_is_known_sets_the_room() -> None:
    room = seen(extent_m=(1.0, 2.0, 2.0, 3.0), camera_height_m=1.4)
    assert room.voxels is None
    assert 1 / room.frame.scale == 5
    assert room.frame.to_world(torch.zeros(3)).tolist() == pytest.approx([0.5, 0.5, 1.1])
    assert room.facts["origins"] == {
        "heading": "assumed",
        "camera_height": "given",
        "extent": "given",
        "ceiling": "assumed",
    }
    assert float(world_from_cube(room)[2, 3]) == pytest.approx(2.5)  # the cube stands on the floor


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (
            {"camera_height_m": -1.0},
            "camera height in metres below the camera, a number above 0 and up to 1000, got -1",
        ),
        ({"floor_m": math.nan}, "Expected the floor"),
        ({"floor_m": 1001.0}, "a number above 0 and up to 1000, got 1001"),
        ({"extent_m": (1.0, 2.0, 0.0, 1.0)}, "four distances above 0"),
        ({"extent_m": (1e300,) * 4}, "up to 1000 m"),
        ({"heading": math.nan}, "finite number of degrees, got nan"),
        ({"heading": math.inf}, "finite number of degrees, got inf"),
    ],
)
def test_what_cannot_be_known_is_refused(known: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        seen(room_depth(32), **known)


def test_whole_turns_change_nothing() -> None:
    depth, heading = room_depth(32), math.radians(75)
    once, often = seen(depth, heading=heading), seen(depth, heading=heading + 5 * math.tau)
    assert torch.equal(once.faces, often.faces)
    assert once.heading == pytest.approx(often.heading)
    assert abs(seen(depth, heading=math.radians(1e300)).heading) < math.tau


def test_outdoors_there_is_no_ceiling_and_perhaps_no_floor() -> None:
    depth = room_depth(64)
    depth[depth_rays(64, 128)[..., 2] > 0.1] = torch.inf  # sky
    room = seen(depth)
    assert room.ceiling_m is None
    assert room.origins["ceiling"] == "assumed"
    assert "No ceiling was found" in " ".join(room.notes)
    assert "m long" not in " ".join(room.notes)
    assert "m long; where distances lead outdoors, give --extent" in " ".join(seen(8 * room_depth(64)).notes)
    depth[depth_rays(64, 128)[..., 2] < -0.15] = torch.nan
    assert "No floor was found" in " ".join(seen(depth).notes)
    with pytest.raises(InputError, match="check the depth map"):
        seen(torch.full((64, 128), 45.0))


def test_distances_in_millimetres_or_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"beyond 50 m .*in metres"):
        seen(1000 * room_depth(64))
    with pytest.raises(InputError, match="2:1 equirectangular depth panorama, got 60x50"):
        seen(torch.ones(50, 60))
    unknown = room_depth(64)
    unknown[:, ::8] = torch.nan
    assert seen(unknown).camera_height_m == pytest.approx(1.2, abs=0.05)


def test_small_panoramas_are_noted_and_large_ones_reduced() -> None:
    small = room_input(Panorama(torch.zeros(100, 200, 3, dtype=torch.uint8) + 9), PanoramaSettings(face_size=128))
    assert "panorama is small" in " ".join(small.notes)
    # Above a limit, here a small one, pictures and distances are reduced.
    pixels = np.zeros((1001, 2002, 3), dtype=np.uint8)
    settings = PanoramaSettings(face_size=16, max_width=512, max_depth_width=64)
    large = room_input(Panorama(torch.from_numpy(pixels), room_depth(128)), settings)
    assert large.panorama.rgb.shape == (256, 512, 3)
    assert large.panorama.distance_m is not None
    assert large.panorama.distance_m.shape == (32, 64)
    assert "reduced from 2002x1001 to 512x256" in " ".join(large.notes)
    assert large.camera_height_m == pytest.approx(1.2, abs=0.06)


def test_black_poles_are_noted_and_the_rest_is_used() -> None:
    picture = PICTURE.clone()
    picture[:3], picture[-3:] = 0, 0
    notes = " ".join(room_input(Panorama(picture, room_depth(32)), PanoramaSettings(face_size=16)).notes)
    assert "top of the panorama is black" in notes
    assert "bottom of the panorama is black" in notes


def test_pictures_that_are_not_twice_as_wide_as_high_are_refused() -> None:
    with pytest.raises(InputError, match=r"2:1 equirectangular panorama, got 60x40 \(1\.50:1\)"):
        Panorama(torch.from_numpy(np.array(Image.new("RGB", (60, 40)))))
