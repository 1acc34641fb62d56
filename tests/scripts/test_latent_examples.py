"""Samples of mini's latent flows: what is hidden stays out, both flows see the same tokens, statistics hold."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scripts.mini_training.latent_examples import LatentEncoders, seen_voxels, write_latent_examples

from scenewright.backbones.trellis2.shape_vae import ShapeEncoder
from scenewright.backbones.trellis2.texture_vae import TextureEncoder
from scenewright.data.asset import Asset
from scenewright.data.library import TrainingLibrary
from scenewright.data.selection import Selector
from scenewright.data.tensor_shards import TensorShardSet
from scenewright.errors import InputError
from scenewright.recipes.running import build_task, find_recipe
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.sizes import SHAPE_ENCODER, SHAPE_FLOW, TEXTURE_ENCODER, TEXTURE_FLOW
from scenewright.types import Mesh, PBRMaterial
from tests.geometry.shapes import icosphere


def test_what_no_picture_shows_is_left_out_and_the_rest_is_turned() -> None:
    outer, inner = icosphere(3, 0.5), icosphere(2, 0.2)
    red, blue = (PBRMaterial(base_color_factor=(*color, 1.0)) for color in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)))
    long = torch.tensor([1.0, 0.5, 0.5])
    parts = tuple(
        Mesh(mesh.vertices * long, mesh.faces, material=material) for mesh, material in ((outer, red), (inner, blue))
    )
    quarter = np.array([[0.0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]])
    voxels = seen_voxels(Asset("ball", "ball", "ball", parts), quarter)
    extent = (voxels.grid.coords.amax(0) - voxels.grid.coords.amin(0)).tolist()
    assert extent[1] >= 61 > 33 >= max(extent[0], extent[2])
    assert int(voxels.materials["base_color"][:, 2].max()) < 30
    assert len(voxels.materials["base_color"]) == len(voxels.grid.coords)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("latents")
    selector = Selector(TrainingLibrary(families=("box", "stool", "pot")))
    torch.manual_seed(0)
    conditioner = PictureConditioner()
    conditioner.components.normal_()
    encoders = LatentEncoders(conditioner, ShapeEncoder(SHAPE_ENCODER), TextureEncoder(TEXTURE_ENCODER))
    with pytest.raises(InputError, match="statistics"):
        write_latent_examples(selector, encoders, place, seed=5, chunk=1, num_scenes=1)
    for chunk in (0, 1):
        write_latent_examples(selector, encoders, place, seed=5, chunk=chunk, num_scenes=1)
    written = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}
    write_latent_examples(selector, encoders, place, seed=5, chunk=1, num_scenes=1)
    assert written == {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}
    return place


def test_latents_have_the_statistics_of_the_first_chunk(folder: Path) -> None:
    for kind in ("shape", "texture"):
        source = TensorShardSet(folder / kind / "validation")
        latents = torch.cat([source.tensors(index)["latent"].float() for index in range(len(source))])
        torch.testing.assert_close(latents.mean(0), torch.zeros(16), atol=0.01, rtol=0)
        torch.testing.assert_close(latents.std(0), torch.ones(16), atol=0.01, rtol=0)


def test_both_flows_learn_from_the_same_objects(folder: Path) -> None:
    shapes, textures = (TensorShardSet(folder / kind / "train") for kind in ("shape", "texture"))
    assert len(shapes) == len(textures) > 0
    for index in range(len(shapes)):
        shape, texture = shapes.tensors(index), textures.tensors(index)
        assert torch.equal(shape["coords"], texture["coords"])
        assert int(shape["coords"].max()) <= 7
        assert torch.equal(shape["latent"], texture["shape_latent"])
        assert torch.equal(shape["cond"], texture["cond"])
        assert shape["cond"].shape == (64, 192)


def test_recipes_have_the_sizes_of_mini_and_learn_from_these_samples(folder: Path) -> None:
    for kind, config in (("shape", SHAPE_FLOW), ("texture", TEXTURE_FLOW)):
        task = build_task(find_recipe(f"mini_{kind}_flow"))
        assert task.network.config == config  # type: ignore[union-attr]
        source = TensorShardSet(folder / kind / "train")
        assert torch.isfinite(task.loss(source.collate([source.tensors(0), source.tensors(1)]))["loss"])
