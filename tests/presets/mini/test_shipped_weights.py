"""The weights that ship with the package do what the model card says."""

import numpy as np
import torch

from scenewright.backbones.structure_vae import StructureDecoder, StructureEncoder
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


def test_the_shipped_files_leave_room_for_the_flows() -> None:
    assert sum(path.stat().st_size for path in mini_folder().glob("*.safetensors")) < 64e6
