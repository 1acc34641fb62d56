"""Training of InSpace's networks: a few steps learn a batch, the condition is what the paper says, rooms turn whole."""

from typing import Any

import pytest
import torch

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.data.tensor_shards import TensorShardSet, write_tensor_shard
from scenewright.errors import InputError
from scenewright.recipes.running import build_task, find_recipe
from scenewright.systems.inspace import training
from scenewright.systems.inspace.parts import cells_in_boxes
from scenewright.systems.inspace.room_sets import RoomBoxes, RoomDetails, open_boxes, open_details, quarter_turned
from scenewright.systems.inspace.training import (
    PARTIAL_TIMES,
    RoomStructureTask,
    build_boxes,
    build_detail,
    build_structure,
)
from scenewright.training.flow_matching import TimeSchedule
from scenewright.training.task import Task
from tests.support.learning import losses_on

FLOW = {
    "resolution": 4,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "cond_channels": 8,
    "num_blocks": 1,
    "num_heads": 2,
    "pe_mode": "rope",
}


def room_batch(seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "latent": torch.randn(2, 4, 4, 4, 4, generator=generator),
        "tokens": torch.randn(2, 6, 5, 8, generator=generator),
        "camera": torch.tensor([[0.3, 0.0, 0.1], [-0.2, 0.2, 0.0]]),
    }


def detail_sample(has_layout: bool) -> dict[str, torch.Tensor]:
    lengths = torch.tensor([5, 3 if has_layout else 0, 4])
    total = int(lengths.sum())
    generator = torch.Generator().manual_seed(total)
    return {
        "coords": torch.randint(4, (total, 3), generator=generator),
        "latent": torch.randn(total, 4, generator=generator),
        "lengths": lengths,
        "boxes": torch.tensor([[0.2, 0.1, 0.0, 0.3, 0.2, 0.4, 0.5]]),
        "tokens": torch.randn(6, 9, 8, generator=generator),
        "camera": torch.tensor([0.1, -0.2, 0.0]),
    }


def learns(task: Task, batch: dict[str, Any], *, steps: int = 60, lr: float = 1e-2) -> float:
    """Loss after some steps on one batch with the same draws, as a share of the first."""
    losses = losses_on(task, batch, steps=steps, lr=lr)
    return losses[-1] / losses[0]


def test_the_coarse_flow_learns_a_batch() -> None:
    assert learns(build_structure(FLOW, drop_probability=0.0), room_batch()) < 0.5


def test_groups_of_voxels_by_faces_give_the_loss_of_the_whole_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    task = build_structure(FLOW)
    for parameter in task.network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    losses = []
    for few_pairs in (1 << 19, 0):
        monkeypatch.setattr(training, "_FEW_PAIRS", few_pairs)
        torch.manual_seed(0)
        losses.append(task.loss(room_batch())["loss"])
    torch.testing.assert_close(losses[0], losses[1])


def test_partial_geometry_starts_the_optional_mode_and_the_target_stays() -> None:
    seen: list[torch.Tensor] = []

    class Recorded(StructureFlow):
        def forward(self, x: torch.Tensor, t: torch.Tensor, cond: Any) -> torch.Tensor:
            seen.extend([x, t])
            return torch.zeros_like(x)

    task = RoomStructureTask(Recorded(FlowConfig(**FLOW)), TimeSchedule(), from_partial=True)  # type: ignore[arg-type]
    batch = room_batch()
    task.loss(batch | {"partial": torch.full_like(batch["latent"], 50.0)})
    x_t, t = seen
    assert bool(((t / 1000 >= PARTIAL_TIMES[0]) & (t / 1000 <= PARTIAL_TIMES[1])).all())
    torch.testing.assert_close(x_t.mean((1, 2, 3, 4)), 50 * (1 - t / 1000), atol=0.5, rtol=0)


def test_the_box_network_learns_a_room(tmp_path: Any) -> None:
    occupancy = torch.zeros(16, 16, 16, dtype=torch.bool)
    occupancy[3:8, 4:9, 2:7] = True
    boxes = torch.tensor([[-0.16, -0.1, -0.22, 0.3, 0.3, 0.3, 0.2]])
    write_tensor_shard(tmp_path, 0, [("00000", {"occupancy": occupancy, "boxes": boxes})])
    rooms, _ = open_boxes(tmp_path)
    batch = rooms.batch([0], [torch.Generator()])
    assert batch["occupancy"].shape == (1, 1, 16, 16, 16)
    assert learns(build_boxes({"resolution": 16, "base_channels": 4}), batch, steps=40) < 0.4


@pytest.mark.parametrize("texture", [False, True])
def test_a_detail_flow_learns_rooms_with_and_without_a_layout(tmp_path: Any, texture: bool) -> None:
    samples = [detail_sample(True), detail_sample(False)]
    if texture:
        samples = [sample | {"shape_latent": torch.ones(len(sample["coords"]), 4)} for sample in samples]
    write_tensor_shard(tmp_path, 0, [(f"{k:05d}", sample) for k, sample in enumerate(samples)])
    batch = RoomDetails(TensorShardSet(tmp_path)).batch([0, 1], [torch.Generator()] * 2)
    assert [part.kind for part in batch["samples"][1].parts.parts] == ["room", "asset"]
    flow = FLOW | {"pe_mode": "ape", "in_channels": 8 if texture else 4}
    task = build_detail(flow, drop_probability=0.0, faces={"image_size": 32, "patch_size": 16})
    assert learns(task, batch) < 0.6


def test_a_window_of_a_room_keeps_whole_columns_around_an_asset(tmp_path: Any) -> None:
    grid = torch.cartesian_prod(torch.arange(8), torch.arange(8), torch.arange(2))
    assets = [torch.tensor([[1, 1, 0], [2, 1, 1]]), torch.tensor([[6, 7, 0]])]
    coords = torch.cat([grid, *assets])
    boxes = torch.zeros(2, 7)
    boxes[:, 0] = torch.tensor([0.1, 0.2])
    sample = {
        "coords": coords,
        "latent": torch.arange(len(coords)).float()[:, None],
        "lengths": torch.tensor([0, len(grid), 2, 1]),
        "boxes": boxes,
        "tokens": torch.zeros(6, 1, 2),
        "camera": torch.zeros(3),
    }
    write_tensor_shard(tmp_path, 0, [("room", sample)])
    rooms, _ = open_details(tmp_path, window=4)
    seen = set()
    for seed in range(8):
        room = rooms.sample(0, torch.Generator().manual_seed(seed))["samples"]
        layout, *others = room.parts.parts[1:]
        span = layout.coords.amax(0) - layout.coords.amin(0) + 1
        assert span[:2].amax() <= 4
        assert len(layout.coords) == int(span.prod())
        assert others
        assert len(room.boxes) == len(others)
        assert [part.box for part in others] == list(range(len(others)))
        assert torch.equal(coords[room.feats[:, 0].long()], room.parts.coords)
        for part in others:
            inside = (part.coords[:, :2] >= layout.coords.amin(0)[:2]) & (
                part.coords[:, :2] <= layout.coords.amax(0)[:2]
            )
            assert bool(inside.all())
        seen |= {round(float(box[0]), 1) for box in room.boxes}
    assert seen == {0.1, 0.2}


def test_a_room_turned_and_mirrored_keeps_its_cells_in_its_boxes(tmp_path: Any) -> None:
    boxes = torch.tensor([[0.2, -0.1, 0.0, 0.3, 0.15, 0.4, 0.6]])
    grid = torch.zeros(32, 32, 32, dtype=torch.bool)
    cells = torch.cartesian_prod(*[torch.arange(32)] * 3)
    grid[tuple(cells[cells_in_boxes(cells, boxes)[0]].T)] = True
    for quarters in range(4):
        for is_mirrored in (False, True):
            turned, moved = quarter_turned(grid, boxes, quarters, is_mirrored=is_mirrored)
            found = cells_in_boxes(turned.nonzero(), moved)[0]
            assert int(found.sum()) > 0.98 * int(grid.sum())
    back, same = quarter_turned(*quarter_turned(grid, boxes, 3), 1)
    assert torch.equal(back, grid)
    torch.testing.assert_close(same, boxes)


def test_a_box_without_a_seen_cell_is_no_target_where_the_camera_decides(tmp_path: Any) -> None:
    boxes = torch.tensor([[-0.25, -0.25, 0.0, 0.3, 0.3, 0.3, 0.0], [0.25, 0.25, 0.0, 0.3, 0.3, 0.3, 0.0]])
    seen = torch.zeros(16, 16, 16, dtype=torch.bool)
    seen[4, 4, 8] = True
    sample = {"occupancy": torch.ones(16, 16, 16, dtype=torch.bool), "seen": seen, "boxes": boxes}
    write_tensor_shard(tmp_path, 0, [("00000", sample), ("00001", {k: v for k, v in sample.items() if k != "seen"})])
    rooms = RoomBoxes(TensorShardSet(tmp_path), seen_share=1.0)
    found = rooms.sample(0, torch.Generator())
    assert torch.equal(found["boxes"], boxes[:1])
    assert int(found["occupancy"].sum()) == 1
    with pytest.raises(InputError, match="needs 'seen'"):
        rooms.sample(1, torch.Generator())


def test_published_recipes_hold_the_published_settings() -> None:
    structure, boxes = find_recipe("inspace_structure"), find_recipe("inspace_boxes")
    assert structure.model["camera_scale"] == 1.0
    assert (structure.run.optimizer.lr, structure.run.optimizer.betas) == (5e-5, (0.9, 0.95))
    assert (boxes.run.optimizer.lr, boxes.run.clip.max_norm, boxes.run.train.batch_size) == (1e-4, 0.1, 32)
    with torch.device("meta"):
        assert isinstance(build_task(structure), RoomStructureTask)
