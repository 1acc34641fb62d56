"""Samples that fit a mask count, those that do not count little, and shells become solids."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.geometry.camera.cameras import orbit_camera
from scenewright.geometry.rotation import compose_similarity
from scenewright.systems.assembly import structures
from scenewright.systems.assembly.layout_fit import FittedLayout
from scenewright.systems.assembly.structures import LayoutErrors, PlacedStructures, SceneRequest
from scenewright.systems.mini.occupancy import outer_shell
from scenewright.systems.mini.outline_choice import (
    Outline,
    agreed_solidity,
    chosen_by_outline,
    may_hide,
    with_front,
    with_uncovered,
    within_mask,
)
from scenewright.systems.mini.pictures import beyond_picture, cut_out_pictures, occluder_pictures
from scenewright.systems.mini.pixel_aligned import PixelAlignedOccupancy
from scenewright.systems.mini.proportions import ProportionsNetwork
from scenewright.types import Mask, ObjectMasks, View
from tests.systems.assembly.room import boxes_seen, level_camera

# Looks along +y: x of the cube is to the right in the crop, z up.
FRONTAL = torch.tensor([[1.6, 0.0, 0.0, 0.0], [0.0, 0.0, -1.6, 0.0], [0.0, 0.0, 0.0, 1.0]])


def shell_of(low: tuple[int, int, int], high: tuple[int, int, int]) -> torch.Tensor:
    grid = np.zeros((32, 32, 32), dtype=bool)
    grid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return torch.from_numpy(outer_shell(grid))


WHOLE, NARROW = shell_of((0, 0, 0), (32, 32, 32)), shell_of((12, 0, 0), (20, 32, 32))


def logits_of(*samples: torch.Tensor) -> torch.Tensor:
    return torch.stack(samples).float() * 20 - 10


def square_mask() -> torch.Tensor:
    """Where FRONTAL shows the whole cube: 0.8 of the crop's side."""
    mask = torch.zeros(128, 128)
    mask[13:115, 13:115] = 1
    return mask


def outline_of(
    mask: torch.Tensor, occluder: torch.Tensor | None = None, crop_from_cube: torch.Tensor = FRONTAL
) -> Outline:
    return Outline.of(mask, torch.zeros_like(mask) if occluder is None else occluder, crop_from_cube, 32)


def test_the_sample_with_the_masks_outline_fits_best() -> None:
    fit = outline_of(square_mask()).fit(torch.stack([WHOLE, NARROW]))
    assert float(fit[0]) > 0.9
    assert 0.2 < float(fit[1]) < 0.35


def test_what_another_object_hides_does_not_count() -> None:
    mask, occluder = square_mask(), torch.zeros(128, 128)
    occluder[:, :52] = 1
    occluder[:, 77:] = 1
    fit = outline_of(mask * (1 - occluder), occluder).fit(torch.stack([WHOLE, NARROW]))
    torch.testing.assert_close(fit[0], fit[1], atol=0.05, rtol=0)


def test_only_what_is_neither_behind_nor_below_may_hide_something() -> None:
    table, cup = ((1.4, 0.6, 0.5), (0.5, 3.0, 0.25)), ((0.2, 0.2, 0.2), (0.5, 3.0, 0.58))
    before, behind = ((0.4, 0.4, 0.7), (0.5, 2.2, 0.35)), ((0.6, 0.4, 1.0), (0.7, 4.0, 0.5))
    camera = level_camera()
    found = may_hide(FittedLayout(boxes_seen(camera, [table, cup, before, behind]), camera, 0.0))
    expected = [[False, True, True, False], [False, False, True, False], [False] * 4, [True, True, True, False]]
    assert found.tolist() == expected


def test_the_share_of_others_counts_those_that_may_hide() -> None:
    masks = torch.zeros(3, 64, 64, dtype=torch.bool)
    masks[0, 10:50, 10:50] = True
    masks[1, 10:20, 35:50] = True
    masks[2, 40:50, 10:25] = True
    masks[0] &= ~masks[1:].any(0)
    objects, first = ObjectMasks(masks, ("a", "b", "c")), torch.eye(3).bool().roll(1, 1)
    every, one = occluder_pictures(objects), occluder_pictures(objects, counts=first)
    assert float(every[0].sum()) == pytest.approx(2 * float(one[0].sum()), rel=0.1)
    assert float(one[0][64:].sum()) == 0  # the second one is above the third
    torch.testing.assert_close(occluder_pictures(objects, counts=~torch.eye(3).bool()), every)


UNKNOWN = torch.full((32, 32, 32), 0.5)


def agreed_solid(*given: torch.Tensor) -> torch.Tensor:
    return agreed_solidity(*given) > 0


def test_a_hole_in_one_of_the_shells_does_not_open_the_solid() -> None:
    opened = WHOLE.clone()
    opened[0, 16, 16] = False
    assert agreed_solid(logits_of(WHOLE, WHOLE, opened), torch.tensor([0.9, 0.9, 0.9]), UNKNOWN).all()
    # A sample that misses the mask changes nothing.
    assert not agreed_solid(logits_of(NARROW, WHOLE), torch.tensor([0.9, 0.3]), UNKNOWN)[0].any()


def test_the_picture_weighs_samples_and_rules_voxels_out() -> None:
    halves, fit = logits_of(NARROW, WHOLE), torch.tensor([0.5, 0.5])
    middle = torch.full((32, 32, 32), 0.15)
    middle[12:20] = 0.9
    assert not agreed_solid(halves, fit, middle)[0].any()
    assert agreed_solid(halves, fit, torch.full((32, 32, 32), 0.9))[0].all()
    above = torch.full((32, 32, 32), 0.9)
    above[:, :, 24:] = 0.01
    solid = agreed_solid(logits_of(WHOLE, WHOLE), fit, above)
    assert solid[:, :, :24].all()
    assert not solid[:, :, 24:].any()
    # An object with a mask is there, whatever the picture says.
    assert agreed_solid(logits_of(WHOLE, WHOLE), fit, torch.zeros(32, 32, 32)).any()


def test_thin_parts_on_which_samples_differ_stay() -> None:
    plates = [shell_of((0, 0, level), (32, 32, level + 1)) for level in (10, 11)]
    solid = agreed_solid(logits_of(*plates, plates[0], plates[1]), torch.tensor([0.7, 0.7, 0.7, 0.7]), UNKNOWN)
    assert solid[:, :, 10:12].all()


def test_a_leg_that_the_mask_shows_is_added_where_it_is_likeliest() -> None:
    top = torch.full((32, 32, 32), -0.5)
    top[:, :, 28:] = 0.5
    likelihood = torch.full((32, 32, 32), 0.02)
    likelihood[:18, 10, :28] = 0.3  # not enough to be solid by itself
    likelihood[:10, :, :28] = 0.3
    mask = torch.zeros(128, 128)
    mask[13:26, 13:115] = 1
    mask[26:115, 58:70] = 1
    made = with_uncovered(top, likelihood, outline_of(mask)) > 0
    assert made[14:18, 10].all()
    assert not (made & (top < 0))[:13].any()  # there is no mask
    assert not (made & (top < 0))[14:18, 12:].any()  # nothing says that it is so deep
    hidden = torch.zeros_like(mask)
    hidden[26:] = 1
    assert torch.equal(with_uncovered(top, likelihood, outline_of(mask * (1 - hidden), hidden)), top)


def test_a_pot_that_the_picture_shows_as_a_box_gets_its_front() -> None:
    near = torch.tensor([[4.8, 0.0, 0.0, 0.0], [0.0, 0.0, -4.8, 0.0], [0.0, 1.0, 0.0, 3.0]])
    outline = outline_of(torch.ones(128, 128), crop_from_cube=near)
    pot = torch.where(WHOLE, 0.5, -0.5)
    pot[2:30, 0:2, 2:30] = -0.5  # open towards the camera
    box = torch.full((32, 32, 32), 0.9)
    assert (with_front(pot, box, outline) > 0)[:, 0].all()
    # What the network is unsure of, and what another object hides, changes nothing.
    assert torch.equal(with_front(pot, 0.6 * box, outline), pot)
    hidden = outline_of(torch.zeros(128, 128), torch.ones(128, 128), near)
    assert torch.equal(with_front(pot, box, hidden), pot)
    # Neither does what lies a little before the surface; only at its edges nothing lies behind.
    shallow = torch.full((32, 32, 32), 0.5)
    shallow[:, :3] = -0.5
    assert torch.equal(with_front(shallow, box, outline)[4:28, :, 4:28], shallow[4:28, :, 4:28])


def test_nothing_is_added_where_nothing_is_likely_or_the_outline_is_off_by_a_pixel() -> None:
    solidity = torch.full((32, 32, 32), 0.5)
    solidity[0] = solidity[:, :, 0] = -0.5
    assert torch.equal(with_uncovered(solidity, torch.ones(32, 32, 32), outline_of(square_mask())), solidity)
    solidity[:16] = -0.5
    unlikely = torch.full((32, 32, 32), 0.05)
    assert torch.equal(with_uncovered(solidity, unlikely, outline_of(square_mask())), solidity)


def test_a_shape_beside_its_mask_by_two_pixels_is_aligned_with_it() -> None:
    solid = torch.zeros(32, 32, 32, dtype=torch.bool)
    solid[8:20, :, 4:28] = True
    mask = torch.zeros(128, 128)
    mask[26:102, 38:77] = 1  # as FRONTAL shows it
    at_home = outline_of(mask)
    assert torch.equal(at_home.aligned(solid).places, at_home.places)
    for shift in ((4 / 36, 0.0), (-2 / 36, 4 / 36)):
        aside = FRONTAL.clone()
        aside[:2, 3] += torch.tensor(shift)
        outline = outline_of(mask, crop_from_cube=aside)
        assert float(outline.fit(solid[None])[0]) < 0.9
        aligned = outline.aligned(solid)
        assert float(aligned.fit(solid[None])[0]) > 0.97
        torch.testing.assert_close(aligned.places, at_home.places)


def test_nothing_stays_beside_the_mask_but_what_another_object_hides() -> None:
    solidity = torch.full((32, 32, 32), 0.5)
    mask = square_mask()
    mask[:, 64:] = 0
    cut = within_mask(solidity, outline_of(mask))
    assert (cut[:15] > 0).all()
    assert (cut[18:] < 0).all()
    hidden = torch.zeros_like(mask)
    hidden[:, 64:] = 1
    assert torch.equal(within_mask(solidity, outline_of(mask, hidden)), solidity)


def test_a_shape_that_is_nearly_all_beside_its_mask_stays_as_it_is() -> None:
    mask = square_mask()
    mask[:, 40:] = 0
    solidity = torch.full((32, 32, 32), 0.5)
    assert torch.equal(within_mask(solidity, outline_of(mask)), solidity)


def test_a_shape_goes_on_beyond_the_pictures_edge() -> None:
    pixels = torch.zeros(60, 40, dtype=torch.bool)
    pixels[20:40, :10] = True
    beyond = beyond_picture(Mask.of(pixels), 24)  # the crop is 24 pixels wide and begins at -7
    assert beyond[:, :7].all()
    assert not beyond[:, 7:].any()
    mask = square_mask()
    mask[:, :40] = 0
    solid, edge = torch.full((32, 32, 32), 0.5), torch.zeros_like(mask)
    edge[:, :40] = 1
    assert torch.equal(within_mask(solid, outline_of(mask, edge)), solid)


@pytest.mark.parametrize("fitted", [True, False])
def test_the_shape_follows_the_masks_where_places_are_fitted(fitted: bool) -> None:
    masks = torch.zeros(2, 96, 96, dtype=torch.bool)
    masks[0, 38:70, 14:46] = True
    masks[1, 38:70, 55:80] = True
    places = torch.stack(
        [compose_similarity(torch.eye(3), torch.tensor([x, 0.0, 0.25]), torch.tensor(0.5)) for x in (-0.4, 0.4)]
    )
    agreed = PlacedStructures(
        coords=(NARROW.nonzero().int(), torch.zeros(0, 3, dtype=torch.int32)),
        resolution=32,
        world_from_object=places,
        tokens=torch.zeros(1, 2, 64, 192),
        pictures=(Image.new("RGB", (8, 8)),) * 2,
        layout_errors=LayoutErrors(heading=math.pi / 2) if fitted else None,
    )
    camera = orbit_camera(torch.zeros(3), 2.5, yaw_deg=0.0, pitch_deg=20.0, width=96, height=96)
    view = View(Image.new("RGB", (96, 96), "gray"), objects=ObjectMasks(masks, ("a", "b")), camera=camera)
    logits = torch.stack([logits_of(NARROW, NARROW), logits_of(WHOLE, WHOLE)])
    pictures = cut_out_pictures(view.image, ObjectMasks(masks))
    torch.manual_seed(0)
    network = PixelAlignedOccupancy()
    torch.nn.init.zeros_(network.out.weight)
    torch.nn.init.zeros_(network.out.bias)  # unsure of every cell
    made = chosen_by_outline(agreed, SceneRequest((view,)), pictures, logits, network, ProportionsNetwork())
    assert len(made.coords[1]) == 0
    assert torch.equal(made.world_from_object, places)
    width = int((made.coords[0][:, 0].max() - made.coords[0][:, 0].min()) + 1)
    assert width == (32 if fitted else 8)


def chosen_alone(proportions: ProportionsNetwork, *, pitch_deg: float = 20.0, z: float = 0.25) -> PlacedStructures:
    """What becomes of one cube, predicted at height z of the stage's world."""
    masks = torch.zeros(1, 96, 96, dtype=torch.bool)
    masks[0, 38:70, 32:64] = True
    agreed = PlacedStructures(
        coords=(WHOLE.nonzero().int(),),
        resolution=32,
        world_from_object=compose_similarity(torch.eye(3), torch.tensor([0.0, 0.0, z]), torch.tensor(0.5))[None],
        tokens=torch.zeros(1, 1, 64, 192),
        pictures=(Image.new("RGB", (8, 8)),),
        layout_errors=LayoutErrors(heading=math.pi / 2),
    )
    camera = orbit_camera(torch.zeros(3), 2.5, yaw_deg=0.0, pitch_deg=pitch_deg, width=96, height=96)
    view = View(Image.new("RGB", (96, 96), "gray"), objects=ObjectMasks(masks, ("a",)), camera=camera)
    pictures = cut_out_pictures(view.image, ObjectMasks(masks))
    torch.manual_seed(0)
    return chosen_by_outline(
        agreed, SceneRequest((view,)), pictures, logits_of(WHOLE)[:, None], PixelAlignedOccupancy(), proportions.eval()
    )


def test_sizes_are_told_and_shapes_stretched_where_the_cameras_place_is_known() -> None:
    proportions = ProportionsNetwork()
    with torch.no_grad():  # a tenth less deep than wide, surely
        proportions.out.bias.copy_(torch.tensor([0.0, -0.1, 0.0, 0.0, -6.0, -6.0, -6.0, -6.0]))
    made = chosen_alone(proportions)
    assert made.stretches is not None
    assert made.sizes is not None
    width, depth, _ = made.stretches[0].tolist()
    assert depth / width == pytest.approx(math.exp(-0.1), abs=0.01)
    width, depth, *_ = made.sizes.log_lengths[0].tolist()
    assert depth - width == pytest.approx(-0.1, abs=0.01)


@pytest.mark.parametrize("pitch_deg", [None, 20.0])
def test_under_a_lens_alone_sizes_are_told_where_upright_lines_say_the_pitch(
    pitch_deg: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pitch = None if pitch_deg is None else math.radians(pitch_deg)
    monkeypatch.setattr(structures, "pitch_of_upright_lines", lambda *_: pitch)
    # Of a camera below the floor only the lens counts.
    made = chosen_alone(ProportionsNetwork(), pitch_deg=-20.0)
    assert (made.sizes is None) is (made.stretches is None) is (pitch is None)


def test_the_height_of_the_stages_world_changes_no_shape() -> None:
    torch.manual_seed(1)
    proportions = ProportionsNetwork()
    torch.nn.init.normal_(proportions.out.weight, std=0.02)
    torch.nn.init.constant_(proportions.out.bias, -2.0)  # sure enough to matter
    here, there = chosen_alone(proportions).stretches, chosen_alone(proportions, z=-2.0).stretches
    assert here is not None
    assert float((here - 1).abs().max()) > 0.01
    torch.testing.assert_close(here, there, atol=1e-3, rtol=0)
