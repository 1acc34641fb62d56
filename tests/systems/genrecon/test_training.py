"""GenRecon's training: shown views, and losses whose gradients arrive where training happens."""

from dataclasses import asdict, replace

import torch

from scenewright.systems.genrecon.training import build_latent_task, build_structure_task, shown_views
from tests.systems.genrecon.tiny import FLOW, LATENT, randomised


def views(samples: int = 2, count: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    cameras = torch.eye(4).repeat(samples, count, 1, 1)
    cameras[..., 2, 3] = 1.5
    intrinsics = torch.tensor([[0.9, 0, 0.5], [0, 0.9, 0.5], [0, 0, 1]]).repeat(samples, count, 1, 1)
    tokens = torch.randn(samples, count, 9 + 5, 10, generator=generator)
    # The second sample has one view only.
    cameras[1, 1:], intrinsics[1, 1:], tokens[1, 1:] = 0, 0, 0
    return {"tokens": tokens, "cam_from_chunk": cameras, "intrinsics_unit": intrinsics}


def test_shown_views_are_some_of_those_there() -> None:
    torch.manual_seed(0)
    counts = set()
    for _ in range(40):
        shown = shown_views(views())
        there = shown["cam_from_chunk"].flatten(2).abs().sum(2) > 0
        assert there[:, 0].all()
        assert (there.int().diff(dim=1) <= 0).all()  # shown views come first
        assert int(there[1].sum()) == 1
        counts.add(int(there[0].sum()))
        known = views()["tokens"][0].flatten(1)
        assert all((known == row).all(1).any() for row in shown["tokens"][0][there[0]].flatten(1))
    assert counts == {1, 2, 3}


def test_structure_task_trains_aggregator_and_projections() -> None:
    torch.manual_seed(0)
    task = build_structure_task(asdict(FLOW))
    batch = views() | {"latent": torch.randn(2, 3, 4, 4, 4)}
    # A new network's output is zero, so its first loss is the target's mean square.
    assert abs(float(task.loss(batch)["loss"].detach()) - 2.0) < 0.3
    randomised(task.network).requires_grad_(True)
    task.loss(batch)["loss"].backward()
    for name in ("aggregator.feature_mlp.0.weight", "aggregator.weight_mlp.2.weight", "proj_linears.1.weight"):
        assert task.network.get_parameter(name).grad.abs().sum() > 0, name


def test_latent_task_has_gradients_and_drops_both_conditions() -> None:
    torch.manual_seed(0)
    task = build_latent_task(asdict(replace(LATENT, in_channels=8)), drop_probability=1.0)
    torch.nn.init.normal_(task.network.out_layer.weight)
    coords = torch.tensor([[0, 1, 2, 3], [0, 4, 4, 4], [1, 0, 0, 7]]).int()
    batch = views() | {"coords": coords, "latent": torch.randn(3, 4), "shape_latent": torch.randn(3, 4)}
    losses = task.loss(batch)
    losses["loss"].backward()
    assert losses["tokens"] == 3
    # Nothing of the pictures arrives, but the projections' biases act.
    assert task.network.proj_linears[0].weight.grad.abs().sum() == 0
    assert task.network.proj_linears[0].bias.grad.abs().sum() > 0
