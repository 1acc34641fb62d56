"""From models to training samples: assets become voxels and pictures, these become latents, and all of it trains."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from scenewright.backbones.structure_vae import StructureEncoder
from scenewright.backbones.trellis2.shape_vae import ShapeEncoder
from scenewright.backbones.trellis2.texture_vae import TextureEncoder
from scenewright.data.library import TrainingLibrary
from scenewright.data.shards import is_whole
from scenewright.data.tensor_shards import TensorShardSet
from scenewright.encoders.dinov2 import Dinov2, Dinov2Config
from scenewright.errors import InputError
from scenewright.files import MAX_SEED
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.recipes.results import encoder_of
from scenewright.recipes.running import find_recipe, trainer_of
from scenewright.systems.single_object.latent_preparation import (
    PictureEncoder,
    encode_structures,
    encode_tokens,
    read_statistics,
)
from scenewright.systems.single_object.preparation import AssetPreparation, prepare_asset, prepare_assets
from scenewright.types import DualGrid
from tests.recipes.tiny import MODELS

CONFIG = AssetPreparation(parametric=3, resolution=32, structure_resolution=16, views=2, picture_size=64)


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    assert prepare_assets(CONFIG, folder) == (3, 0)
    return folder


@pytest.fixture(scope="module")
def pictures() -> PictureEncoder:
    torch.manual_seed(0)
    sizes = Dinov2Config(image_size=28, width=16, depth=1, num_heads=2)
    return PictureEncoder(Dinov2(sizes).eval(), 28)


def train(task: str, data: Path, run: Path) -> Path:
    changes = [
        "train.max_steps=2",
        "train.workers=0",
        "train.batch_size=2",
        "train.batch_split=1",
        "log.tensorboard=false",
    ]
    recipe = find_recipe(
        {"shape_flow": "shape_flow_512", "structure_flow": "structure_flow_trellis2"}.get(task, task), changes
    )
    trainer_of(replace(recipe, model={**recipe.model, **MODELS[task]}), data, run, device="cpu").fit()
    return run


def test_a_sample_describes_one_model_in_all_its_parts():
    source = TrainingLibrary().random_parametric(np.random.default_rng(1))
    sample = prepare_asset(source, CONFIG, torch.Generator().manual_seed(0))
    coords = sample["coords"]
    assert sample["occupancy"].shape == (1, 16, 16, 16)
    coarse = torch.zeros(16, 16, 16, dtype=torch.bool)
    coarse[tuple((coords // 2).long().T)] = True
    agreement = (coarse & sample["occupancy"][0].bool()).sum() / (coarse | sample["occupancy"][0].bool()).sum()
    assert agreement > 0.9
    mesh = dual_grid_to_mesh(DualGrid(coords, sample["dual_vertices"], sample["intersected"], 32))
    extent = mesh.vertices.amax(0) - mesh.vertices.amin(0)
    assert extent.max() == pytest.approx(1.0, abs=0.07)
    assert sample["materials"].min() >= 0
    assert sample["materials"].max() <= 1
    alpha = sample["pictures"][:, 3].float() / 255
    assert sample["pictures"].shape == (2, 4, 64, 64)
    assert bool(((alpha > 0.5).float().mean((1, 2)) > 0.01).all())


def test_the_same_seed_gives_the_same_shards_and_whole_ones_are_kept(assets: Path, tmp_path: Path):
    prepare_assets(CONFIG, tmp_path)
    shard = "train/shard-00000.tar"
    assert (tmp_path / shard).read_bytes() == (assets / shard).read_bytes()
    before = (tmp_path / shard).stat().st_mtime_ns
    prepare_assets(CONFIG, tmp_path)
    assert (tmp_path / shard).stat().st_mtime_ns == before
    (tmp_path / shard).write_bytes(b"cut")
    prepare_assets(CONFIG, tmp_path)
    assert is_whole(tmp_path / "train", 0)


def test_nothing_to_prepare_is_said():
    with pytest.raises(InputError, match="Expected model packs with training models or a number of parametric ones"):
        prepare_assets(AssetPreparation(), "unused")


def test_structures_train_an_autoencoder_whose_latents_train_a_flow(
    assets: Path, pictures: PictureEncoder, tmp_path: Path
):
    run = train("structure_vae", assets, tmp_path / "autoencoder")
    count = encode_structures(assets, tmp_path / "latents", encoder_of(run, StructureEncoder), pictures)
    samples = TensorShardSet(tmp_path / "latents/train")
    assert count == len(samples) == 6
    assert samples.tensors(0)["latent"].shape == (8, 8, 8, 8)
    assert samples.tensors(0)["cond"].shape == (9, 16)
    assert torch.equal(samples.tensors(0)["latent"], samples.tensors(1)["latent"])


def test_shapes_train_an_autoencoder_whose_latents_train_a_flow(assets: Path, pictures: PictureEncoder, tmp_path: Path):
    shape, texture = (train(f"{kind}_vae", assets, tmp_path / kind) for kind in ("shape", "texture"))
    out = tmp_path / "latents"
    encoders = encoder_of(shape, ShapeEncoder), encoder_of(texture, TextureEncoder)
    encode_tokens(assets, out, encoders[0], pictures, texture_encoder=encoders[1])
    samples = TensorShardSet(out / "train")
    rows = torch.cat([samples.tensors(index)["shape_latent"] for index in range(0, 6, 2)])
    torch.testing.assert_close(rows.mean(0), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(rows.std(0), torch.ones(4), atol=0.02, rtol=0)
    assert set(read_statistics(out / "statistics.json")) == {"shape", "texture"}
    assert train("shape_flow", out, tmp_path / "flow").joinpath("network.safetensors").is_file()


def test_other_folders_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"recipe\.json' does not exist"):
        encoder_of(tmp_path, nn.Module)
    with pytest.raises(InputError, match=r"Expected a run's folder or a .safetensors"):
        encoder_of(tmp_path / "none.safetensors", nn.Module)
    with pytest.raises(InputError, match=r"none\.json' does not exist"):
        read_statistics(tmp_path / "none.json")


def test_the_largest_seed_is_one_like_any_other(tmp_path: Path):
    assert prepare_assets(replace(CONFIG, parametric=1, views=0, seed=MAX_SEED), tmp_path) == (1, 0)
