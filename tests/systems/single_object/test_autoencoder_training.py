"""Training tasks of the sparse autoencoders: the mini recipe learns colours of objects it has not seen."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from scenewright.backbones.trellis2.texture_vae import texture_features
from scenewright.recipes.running import build_task, find_recipe
from scenewright.sparse.tensor import VoxelSet
from scenewright.systems.single_object.autoencoder_training import (
    ShapeVAETaskConfig,
    TextureVAETask,
    TextureVAETaskConfig,
)
from scenewright.training.optim import set_learning_rate


def spheres(count: int, seed: int) -> dict[str, Tensor]:
    """Shells in a grid of 16, each in a colour of its own, all of one opaque, rough material."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.cartesian_prod(*[torch.arange(16)] * 3).int()
    coords, materials = [], []
    for item in range(count):
        radius = 2 + 2 * torch.rand((), generator=generator)
        shell = cells[((cells + 0.5 - 8).norm(dim=1) - radius).abs() < 0.6]
        colour = torch.cat([torch.rand(3, generator=generator), torch.tensor([0.0, 0.5, 1.0])])
        coords.append(pad(shell, (1, 0), value=item))
        materials.append(colour.expand(len(shell), 6))
    return {"coords": torch.cat(coords), "materials": torch.cat(materials)}


def mini_task(*settings: str) -> TextureVAETask:
    torch.manual_seed(0)
    task = build_task(find_recipe("mini_texture_vae", settings))
    assert isinstance(task, TextureVAETask)
    return task


@torch.no_grad()
def colour_error(task: TextureVAETask, batch: dict[str, Tensor]) -> tuple[float, float]:
    """Mean squared error of the base colour: decoded from the latent's mean, and of the best single colour."""
    posterior = task.network["encoder"](texture_features(VoxelSet(batch["coords"]), batch["materials"]))
    decoded = task.network["decoder"](posterior.mean, posterior.pyramid).voxels.feats * 0.5 + 0.5
    truth = batch["materials"][:, :3]
    return float((decoded[:, :3] - truth).square().mean()), float((truth - truth.mean(0)).square().mean())


def test_mini_texture_recipe_soon_tells_colours_apart():
    """New objects at every step: a fixed batch can be learned by heart where the latent holds no colour."""
    task = mini_task("model.encoder.num_blocks=[0, 0, 0, 1]", "model.decoder.num_blocks=[1, 0, 0, 0]")
    optimizer = torch.optim.AdamW(
        [{"params": list(task.network.parameters()), "rate": 1.0}], lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0
    )
    for step in range(24):
        set_learning_rate(optimizer, 1e-4 * min(step + 1, 10))
        task.loss(spheres(16, step))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(task.network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    error, one_colour = colour_error(task, spheres(12, 1000))
    assert error < 0.5 * one_colour


def test_colour_is_readable_in_a_latent_before_training():
    """A linear map of the untrained latent gives the colours of objects that it was not fitted to."""
    task = mini_task()

    def tokens_and_colours(seed: int) -> tuple[Tensor, Tensor]:
        batch = spheres(60, seed)
        with torch.no_grad():
            mean = task.network["encoder"](texture_features(VoxelSet(batch["coords"]), batch["materials"])).mean
        first = torch.searchsorted(batch["coords"][:, 0].contiguous(), mean.coords[:, 0].contiguous())
        return torch.cat([mean.feats, torch.ones(len(mean.feats), 1)], 1), batch["materials"][first, :3]

    latent, colours = tokens_and_colours(0)
    fitted = torch.linalg.lstsq(latent, colours).solution
    latent, colours = tokens_and_colours(1)
    unexplained = (latent @ fitted - colours).square().sum() / (colours - colours.mean(0)).square().sum()
    assert float(unexplained) < 0.5


@torch.no_grad()
def test_clear_start_makes_noise_small_whatever_the_input():
    batch = spheres(2, 0)
    posterior = mini_task().network["encoder"](texture_features(VoxelSet(batch["coords"]), batch["materials"]))
    assert (posterior.log_variance == -6).all()


def test_published_recipe_keeps_the_published_start():
    assert "start" not in find_recipe("texture_vae").model
    assert TextureVAETaskConfig().start == ShapeVAETaskConfig().start == "published"
