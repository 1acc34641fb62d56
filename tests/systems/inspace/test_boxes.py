"""Boxes there and back: targets decode to the boxes they came from, parts hold what lies inside."""

import math

import pytest
import torch

from scenewright.errors import EmptyStructureError
from scenewright.systems.inspace.asset_views import FaceTokens, asset_rectangles, asset_visibility, overlap_groups
from scenewright.systems.inspace.box_decoding import BoxDecoding, decode_boxes, suppress_overlaps
from scenewright.systems.inspace.box_network import BoxNetwork, BoxNetworkConfig, DenseBoxes
from scenewright.systems.inspace.box_targets import BoxTargets, box_loss, box_targets, usable_boxes
from scenewright.systems.inspace.parts import RoomParts, cells_in_boxes, layout_cells, room_parts

BOXES = torch.tensor(
    [
        [-0.3, -0.3, -0.2, 0.2, 0.1, 0.15, 0.3],
        [0.25, -0.2, 0.1, 0.12, 0.2, 0.3, -3.0],
        [0.1, 0.3, 0.0, 0.3, 0.3, 0.2, 1.6],
    ]
)


def dense_of(targets: BoxTargets, resolution: int) -> DenseBoxes:
    """Dense outputs that say exactly what the targets of one room say."""
    dense = [torch.zeros(1, channels, *[resolution] * 3) for channels in (1, 3, 3, 12, 12)]
    dense[0][0, 0] = torch.logit(targets.heat, eps=1e-6)
    for row, index in enumerate(targets.index.tolist()):
        at = (0, slice(None), *index)
        dense[1][at], dense[2][at] = targets.offset[row], targets.size[row].log()
        dense[3][at] = torch.nn.functional.one_hot(targets.yaw_bin[row].long(), 12) * 9.0
        dense[4][at] = torch.atanh(targets.yaw_residual[row].clamp(-1 + 1e-6, 1 - 1e-6))
    return DenseBoxes(*dense)


def test_targets_decode_to_their_boxes() -> None:
    found = decode_boxes(dense_of(box_targets(BOXES, 24), 24))[0]
    order = found.boxes[:, 0].argsort()
    expected = BOXES[BOXES[:, 0].argsort()]
    assert torch.allclose(found.boxes[order], expected, atol=1e-4)
    loss = box_loss(dense_of(box_targets(BOXES, 24), 24), [box_targets(BOXES, 24)])
    assert float(loss["offset"] + loss["size"] + loss["yaw_residual"]) < 1e-4


def test_no_boxes_is_a_result() -> None:
    none = box_targets(BOXES[:0], 8)
    assert float(none.heat.max()) == 0
    dense = dense_of(none, 8)
    assert len(decode_boxes(dense)[0].boxes) == 0
    terms = box_loss(dense, [none])
    assert float(terms["offset"]) == 0
    assert bool(torch.isfinite(terms["loss"]))


def test_fifty_boxes_at_most_and_equal_peaks_by_index() -> None:
    dense = dense_of(box_targets(BOXES[:0], 32), 32)
    dense.heat_logits[:] = -9
    dense.heat_logits[0, 0, 2::4, 2::4, 2::4] = 2.0
    dense.size_raw[:] = -4.0
    found = decode_boxes(dense, BoxDecoding(window=3))[0]
    assert len(found.boxes) == 50
    assert found.boxes[0, :3].tolist() == pytest.approx([2.5 / 32 - 0.5] * 3)


def test_suppression_ignores_yaw_and_keeps_the_better() -> None:
    boxes = torch.tensor([[0, 0, 0, 0.4, 0.1, 0.1, 0.0], [0, 0, 0, 0.4, 0.1, 0.1, 1.57], [0.3, 0, 0, 0.1, 0.1, 0.1, 0]])
    assert suppress_overlaps(boxes, 0.3) == [0, 2]
    assert suppress_overlaps(boxes[:0], 0.3) == []


def test_the_network_learns_one_box() -> None:
    torch.manual_seed(0)
    network = BoxNetwork(BoxNetworkConfig(8, 2, 12))
    occupancy = torch.zeros(1, 1, 8, 8, 8)
    occupancy[..., 2:6, 1:5, 0:3] = 1
    targets = [box_targets(torch.tensor([[0.0, -0.1, -0.3, 0.5, 0.5, 0.4, 0.2]]), 8)]
    losses = []
    for _ in range(12):
        loss = box_loss(network(occupancy), targets)["loss"]
        losses.append(float(loss.detach()))
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                parameter -= 0.02 * gradient
    assert losses[-1] < 0.9 * losses[0]


def test_slivers_and_surplus_boxes_are_not_trained() -> None:
    boxes = BOXES.repeat(14, 1)
    boxes[0, 3:6] = 0.004
    boxes[1, 3:6] = torch.tensor([0.004, 0.004, 0.2])
    usable = usable_boxes(boxes)
    assert len(usable) == 30
    assert torch.equal(usable[0], boxes[1])


def furnished(resolution: int = 64) -> torch.Tensor:
    """Cells of a room with floor, one wall and a block on the floor."""
    grid = torch.zeros(resolution, resolution, resolution, dtype=torch.bool)
    grid[8:56, 8:56, 4:6] = True
    grid[8:10, 8:56, 4:40] = True
    grid[30:38, 30:38, 4:16] = True
    return grid.nonzero().int()


def test_parts_of_a_room() -> None:
    boxes = torch.tensor([[0.0313, 0.0313, -0.34, 0.13, 0.13, 0.2, 0.0], [0.4, 0.4, 0.4, 0.1, 0.1, 0.1, 0.0]])
    parts = room_parts(furnished(), boxes)
    assert [part.kind for part in parts.parts] == ["room", "layout", "asset"]
    assert parts.boxes == (0,)
    assert len(parts.coords) == sum(parts.lengths)
    assert int(parts.parts[2].coords[:, 2].min()) == 3  # the floor's layer stays with the layout
    kept = room_parts(furnished(), boxes, "floor_perimeter")
    assert int(kept.parts[2].coords[:, 2].min()) == 2
    assert torch.equal(torch.cat(kept.split(kept.coords)), kept.coords)
    alone = room_parts(furnished(), boxes[:0])
    assert [part.kind for part in alone.parts] == ["room", "layout"]
    with pytest.raises(EmptyStructureError, match="no room"):
        room_parts(furnished()[:0], boxes)


def test_layout_stands_on_the_rim_of_the_lowest_fullest_layer() -> None:
    tie = torch.tensor([[0, 0, 1], [1, 0, 1], [0, 0, 3], [1, 0, 3], [5, 5, 2], [0, 0, 0]])
    is_layout, floor = layout_cells(tie)
    assert floor == 1
    assert is_layout.tolist() == [True, True, True, True, False, False]


def test_a_box_turned_by_a_right_angle_swaps_its_sides() -> None:
    cells = torch.cartesian_prod(*[torch.arange(16)] * 3).int()
    box = torch.tensor([[0.03, -0.04, 0.1, 0.41, 0.2, 0.3, math.pi / 2]])
    swapped = torch.tensor([[0.03, -0.04, 0.1, 0.2, 0.41, 0.3, 0.0]])
    assert torch.equal(cells_in_boxes(cells, box, 16), cells_in_boxes(cells, swapped, 16))


def test_visibility_falls_at_the_rim_and_is_whole_inside() -> None:
    boxes = torch.tensor([[0, 0.3, 0, 0.1, 0.1, 0.1, 0.0], [0, 0, 0, 0.2, 0.2, 0.2, 0.7]])
    seen = asset_visibility(boxes, torch.zeros(3))
    assert float(seen.per_face[0, 0]) == 1.0
    assert seen.inside.tolist() == [False, True]
    assert seen.visible().tolist() == [True, True]
    assert asset_visibility(boxes[:0], torch.zeros(3)).visible().tolist() == []


def test_an_asset_reads_patches_of_the_faces_that_show_it() -> None:
    tokens = FaceTokens()
    assert tokens.per_face == 1029
    rectangles, mask = asset_rectangles(BOXES, torch.zeros(3), tokens)
    faces = mask.view(3, 6, 1029)
    assert not bool(faces[..., :5].any())
    assert bool((faces.any(2) == (rectangles[..., 0] >= 0)).all())
    empty = asset_rectangles(BOXES[:0], torch.zeros(3), tokens)
    assert empty[1].shape == (0, 6174)


def test_groups_are_connected_boxes() -> None:
    chain = torch.tensor([[0.11 * i, 0, 0, 0.1, 0.1, 0.1, 0.0] for i in (0, 2, 1, 5)])
    overlap, groups = overlap_groups(chain)
    assert groups == ((0, 1, 2), (3,))
    assert torch.equal(overlap, overlap.T)
    assert overlap_groups(chain[:0])[1] == ()


def test_parts_without_a_layout() -> None:
    parts = RoomParts((room_parts(furnished(), BOXES).parts[0],))
    assert not parts.has_layout
    assert parts.boxes == ()
