"""The weights that ship with the package do what the model card says."""

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from scenewright.backbones.structure_vae import StructureDecoder, StructureEncoder
from scenewright.cli.app import app
from scenewright.data.test_scenes import read_test_scene
from scenewright.evaluation.protocols import find_protocol
from scenewright.evaluation.scoring import score_scene
from scenewright.evaluation.shapes import shapes_from_file, shapes_from_test_scene
from scenewright.presets.mini.conditioner import PictureConditioner
from scenewright.presets.mini.networks import mini_folder
from scenewright.presets.mini.occupancy import outer_shell
from scenewright.presets.mini.sizes import STRUCTURE_VAE
from scenewright.weights.load import load_weights


def test_the_autoencoder_keeps_a_table() -> None:
    encoder = load_weights(
        lambda: StructureEncoder(STRUCTURE_VAE), mini_folder() / "structure_encoder.safetensors", dtype=torch.float32
    )
    decoder = load_weights(
        lambda: StructureDecoder(STRUCTURE_VAE), mini_folder() / "structure_decoder.safetensors", dtype=torch.float32
    )
    solid = np.zeros((32, 32, 32), dtype=bool)
    solid[:, 6:26, 18:20] = True
    for x in (1, 28):
        for y in (7, 22):
            solid[x : x + 3, y : y + 3, :18] = True
    table = torch.from_numpy(outer_shell(solid))
    with torch.no_grad():
        latent, _ = encoder(table[None, None].float())
        decoded = decoder(latent)[0, 0] > 0
    assert latent.shape == (1, 8, 8, 8, 8)
    assert float((decoded & table).sum() / (decoded | table).sum()) > 0.8


def test_the_conditioner_knows_a_rendered_object_from_noise() -> None:
    conditioner = load_weights(PictureConditioner, mini_folder() / "conditioner.safetensors", dtype=torch.float32)
    plain = torch.zeros(1, 4, 128, 128)
    plain[:, :, 30:100, 40:90] = torch.tensor([0.6, 0.4, 0.3, 1.0]).view(1, 4, 1, 1)
    plain[:, :3, 30:50, 40:90] *= 1.3
    noise = torch.ones(1, 4, 128, 128)
    noise[:, :3] = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)).round()
    tokens = conditioner(plain)
    assert tokens.shape == (1, 64, 192)
    assert torch.isfinite(tokens).all()
    assert float(conditioner.strangeness(plain)) < float(conditioner.strangeness(noise))


@pytest.mark.parametrize(("system", "least"), [("scenegen", 0.65), ("iscene", 0.5)])
def test_the_demo_resembles_the_scene_in_its_picture(system: str, least: float, tmp_path: Path) -> None:
    """Both systems end to end; boxes at the masks' places score about 0.5."""
    result = CliRunner().invoke(app, ["demo", "--system", system, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "mini preset" in result.output
    with as_file(files("scenewright") / "assets" / "living_room") as folder:
        truth = shapes_from_test_scene(read_test_scene(folder))
    made = shapes_from_file(tmp_path / "scene.glb", "demo")
    assert len(made.shapes) == len(truth.shapes)
    assert score_scene(made, truth, find_protocol("scenewright-1")).f_s > least
    assert (tmp_path / "comparison.png").exists()


def test_all_weights_together_stay_below_64_megabytes() -> None:
    assert sum(path.stat().st_size for path in mini_folder().glob("*.safetensors")) < 64e6
