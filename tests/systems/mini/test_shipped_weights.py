"""The weights that ship with the package do what the model card says."""

import csv
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from scenewright.backbones.structure_vae import StructureDecoder, StructureEncoder
from scenewright.cli.app import app
from scenewright.data.held_out import held_out_registry
from scenewright.data.probe_scenes import read_test_scene
from scenewright.evaluation.protocols import find_protocol
from scenewright.evaluation.scoring import score_scene
from scenewright.evaluation.shapes import shapes_from_file, shapes_from_test_scene
from scenewright.geometry.mesh.edges import edge_table
from scenewright.systems.assembly.structures import PlacedStructures
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.latent_decoder import LatentDecoder
from scenewright.systems.mini.networks import LatentNetworks, mini_folder
from scenewright.systems.mini.occupancy import outer_shell
from scenewright.systems.mini.sizes import STRUCTURE_VAE
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


def test_the_latent_stages_keep_a_tables_form_and_its_pictures_colour() -> None:
    solid = np.zeros((32, 32, 32), dtype=bool)
    solid[:, 6:26, 18:20] = True
    for x in (1, 28):
        for y in (7, 22):
            solid[x : x + 3, y : y + 3, :18] = True
    pixels = np.zeros((128, 128, 3), dtype=np.uint8)
    pixels[40:90, 14:114] = (170, 60, 50)
    picture = torch.from_numpy(np.concatenate([pixels, 255 * (pixels.max(-1, keepdims=True) > 0)], -1)).float() / 255
    conditioner = load_weights(PictureConditioner, mini_folder() / "conditioner.safetensors", dtype=torch.float32)
    coords = torch.from_numpy(outer_shell(solid)).nonzero().int()
    tokens = conditioner(picture.permute(2, 0, 1)[None])[None]
    structures = PlacedStructures((coords,), 32, torch.eye(4)[None], tokens, (Image.fromarray(pixels),))
    (item,) = LatentDecoder(LatentNetworks.load()).decode(structures, lambda i, stage: torch.Generator().manual_seed(i))
    assert item is not None
    surface = item.surface
    assert edge_table(surface.faces).count.min() == edge_table(surface.faces).count.max() == 2  # closed
    voxels = (coords.double().numpy() + 0.5) / 32 - 0.5
    distance, _ = cKDTree(voxels).query(surface.vertices.double().numpy())
    assert distance.max() < 2 / 32
    red, green, blue = item.field.at(surface.vertices[surface.faces.long()].mean(1)).mean(0)[:3].tolist()
    assert red > 1.5 * max(green, blue)


@pytest.mark.parametrize(("system", "least"), [("scenegen", 0.65), ("iscene", 0.5)])
def test_the_demo_resembles_the_scene_in_its_picture(system: str, least: float, tmp_path: Path) -> None:
    """Both systems end to end; boxes at the masks' places score about 0.5."""
    result = CliRunner().invoke(app, ["demo", "--system", system, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "mini weights" in result.output
    with as_file(files("scenewright") / "assets" / "living_room") as folder:
        truth = shapes_from_test_scene(read_test_scene(folder))
    made = shapes_from_file(tmp_path / "scene.glb", "demo")
    assert len(made.shapes) == len(truth.shapes)
    assert score_scene(made, truth, find_protocol("scenewright-1")).f_s > least
    assert (tmp_path / "comparison.png").exists()


def test_all_weights_together_stay_below_95_megabytes() -> None:
    assert sum(path.stat().st_size for path in mini_folder().glob("*.safetensors")) < 95e6


def test_the_models_that_the_weights_were_trained_on_are_credited_and_none_of_the_held_out_is_among_them() -> None:
    with open(mini_folder() / "ATTRIBUTION.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 600
    assert all(row["creator"] or row["rights_holder"] for row in rows)
    procedural = [row for row in rows if row["licence"].startswith("procedural output of infinigen")]
    others = {row["licence"] for row in rows if row not in procedural}
    assert len(procedural) > 800
    assert others == {"CC-BY-3.0", "CC-BY-3.0-US", "CC0-1.0"}
    assert not {row["id"] for row in rows} & set(held_out_registry().ids)
