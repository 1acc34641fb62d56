"""What several samples of a scene agree on."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.geometry.rotation import compose_similarity
from scenewright.systems.mini.consensus import agreed_box, agreed_layout, agreed_voxels


def test_voxels_of_enough_samples_are_kept() -> None:
    logits = torch.full((4, 1, 2, 2, 2), -20.0)
    logits[:2, 0, 0, 0, 0] = 20  # two of four samples
    logits[:1, 0, 1, 1, 1] = 20  # one of four
    kept = agreed_voxels(logits, 0.4)
    assert kept.nonzero().tolist() == [[0, 0, 0, 0]]
    assert agreed_voxels(logits, 0.2).sum() == 2


def test_an_object_nobody_is_sure_of_keeps_its_likeliest_voxel() -> None:
    logits = torch.full((3, 2, 4, 4, 4), -5.0)
    logits[:, 1, 1, 2, 3] = -4
    kept = agreed_voxels(logits, 0.25)
    assert kept[1].nonzero().tolist() == [[1, 2, 3]]


def test_a_box_spans_the_middles_of_its_outermost_voxels() -> None:
    logits = torch.full((1, 8, 8, 8), -9.0)
    logits[:, 0:4, 2:4, 7] = 9
    centre, side = agreed_box(logits)
    assert centre.tolist() == [-0.25, -0.125, 0.4375]
    assert side == 3 / 8


def test_a_small_object_that_every_sample_has_elsewhere_keeps_its_size() -> None:
    logits = torch.full((5, 16, 16, 16), -9.0)
    for sample, start in zip(logits, (0, 3, 6, 9, 12), strict=True):
        sample[start : start + 3, 4:7, 4:7] = 9
    centre, side = agreed_box(logits)
    assert side == 2 / 16
    assert centre.tolist() == [-0.03125, -0.15625, -0.15625]


def test_samples_that_fill_the_scene_or_have_nothing_are_outvoted() -> None:
    logits = torch.full((5, 16, 16, 16), -9.0)
    logits[:3, 4:7, 4:7, 4:7] = 9
    logits[3] = 9
    assert agreed_box(logits)[1] == 2 / 16


def test_an_object_in_no_sample_has_the_box_of_its_likeliest_voxel() -> None:
    logits = torch.full((3, 4, 4, 4), -5.0)
    logits[:, 1, 2, 3] = -4
    centre, side = agreed_box(logits)
    assert centre.tolist() == [-0.125, 0.125, 0.375]
    assert side == 1 / 4


@settings(max_examples=20, deadline=None)
@given(
    shifts=st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    scales=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
)
def test_layouts_that_differ_by_shift_and_scale_agree(shifts: list[float], scales: list[float]) -> None:
    generator = torch.Generator().manual_seed(1)
    centres, sizes = torch.randn(4, 3, generator=generator), torch.rand(4, generator=generator) + 0.5
    layouts = torch.stack(
        [
            compose_similarity(torch.eye(3).expand(4, 3, 3), centres * scale + shift, sizes * scale)
            for shift, scale in zip(shifts, scales, strict=True)
        ]
    )
    mean = agreed_layout(layouts)
    unit = sizes.log().mean().exp()
    torch.testing.assert_close(mean[:, 0, 0], sizes / unit, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mean[:, :3, 3], (centres - centres.mean(0)) / unit, rtol=1e-3, atol=1e-3)


def test_sizes_are_averaged_as_logarithms() -> None:
    eye = torch.eye(3).expand(2, 3, 3)
    first = compose_similarity(eye, torch.zeros(2, 3), torch.tensor([1.0, 1.0]))
    second = compose_similarity(eye, torch.zeros(2, 3), torch.tensor([1.0, 16.0]))
    sizes = agreed_layout(torch.stack([first, second]))[:, 0, 0]
    assert float(sizes[1] / sizes[0]) == pytest.approx(4)
