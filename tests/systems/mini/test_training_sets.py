"""Encoding examples, and what both systems' training tasks get from them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scripts.mini_training.encoding import encode_pictures, encode_shapes, fit_conditioner
from scripts.mini_training.examples import read_examples

from scenewright.backbones.structure_vae import StructureEncoder
from scenewright.recipes.running import build_task, find_recipe
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.sizes import ISCENE, OBJECT_FLOW, SCENEGEN, STRUCTURE_VAE
from scenewright.systems.mini.training_sets import EncodedScenes, open_iscene, open_objects, open_scenegen
from scenewright.systems.scenegen.poses import world_from_objects


@pytest.fixture(scope="module")
def folder(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of encoded scenes."""
    place = tmp_path_factory.mktemp("mini")
    shutil.copytree(examples, place / "examples")
    torch.manual_seed(0)
    conditioner, encoder = PictureConditioner(), StructureEncoder(STRUCTURE_VAE)
    fit_conditioner(conditioner, place)
    for kind in ("own", "placed", "scene"):
        encode_pictures(conditioner, place, kind)  # type: ignore[arg-type]
        encode_shapes(encoder, place, kind)  # type: ignore[arg-type]
    return place


def test_scenes_hold_matching_rows(folder: Path) -> None:
    scenes = EncodedScenes(folder, ["scenes-0000000", "scenes-0000001"])
    examples = [item for path in sorted((folder / "examples").iterdir()) for item in read_examples(path)]
    assert len(scenes) == len(examples)
    for index, example in enumerate(examples):
        tensors = scenes.tensors(index)
        count = len(example.sides)
        assert tensors["latent"].shape == tensors["own_latent"].shape == (count, 8, 8, 8, 8)
        assert tensors["cond"].shape == tensors["own_cond"].shape == (count, 64, 192)
        placement = tensors["world_from_object"]
        np.testing.assert_allclose(placement[:, :3, 3], example.centres, rtol=1e-5)
        np.testing.assert_allclose(placement[:, 0, 0], example.sides, rtol=1e-5)


def test_the_first_file_is_kept_for_validation(folder: Path) -> None:
    train, validation = open_objects(folder)
    assert validation is not None
    per_file = [
        sum(len(item.sides) for item in read_examples(path)) for path in sorted((folder / "examples").iterdir())
    ]
    assert (len(validation), len(train)) == tuple(per_file)
    batch = train.batch([0, 1], [torch.Generator()] * 2)
    assert torch.equal(batch["latent"][1], train.sample(1, torch.Generator())["latent"])


def test_scenegen_learns_placements_in_the_querys_frame(folder: Path) -> None:
    train, _ = open_scenegen(folder)
    sample = train.sample(0, torch.Generator().manual_seed(0))
    placements = world_from_objects(sample["pose"])
    torch.testing.assert_close(placements[0], torch.eye(4), atol=1e-5, rtol=0)
    # Nothing turns: the quaternion is the identity for all.
    torch.testing.assert_close(sample["pose"][:, 3:7].abs(), torch.tensor([1.0, 0, 0, 0]).expand(len(placements), -1))
    assert sample["cond"].shape[1:] == (3 * 64, 192)
    loss = build_task(find_recipe("mini_scenegen")).loss(train.collate([sample]))
    assert torch.isfinite(loss["loss"])


def test_iscene_gets_object_scene_and_own_crop(folder: Path) -> None:
    train, _ = open_iscene(folder)
    sample = train.sample(0, torch.Generator().manual_seed(0))
    assert sample["latent"].shape == (3, 8, 8, 8, 8)
    assert sample["cond"].shape == (3, 64, 192)
    batch = {name: tensor[None] for name, tensor in sample.items()}
    assert torch.isfinite(build_task(find_recipe("mini_iscene")).loss(batch)["loss"])


def test_recipes_and_shipped_sizes_agree() -> None:
    with torch.device("meta"):
        assert build_task(find_recipe("mini_structure_flow")).network.config == OBJECT_FLOW  # type: ignore[union-attr]
        assert build_task(find_recipe("mini_scenegen")).network.config == SCENEGEN  # type: ignore[union-attr]
        assert build_task(find_recipe("mini_iscene")).network.scene_config == ISCENE  # type: ignore[union-attr]
        encoder = build_task(find_recipe("mini_structure_vae")).network["encoder"]  # type: ignore[index]
        assert encoder.state_dict().keys() == StructureEncoder(STRUCTURE_VAE).state_dict().keys()
