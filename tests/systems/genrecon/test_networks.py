"""All networks of a scene from one folder: flows, and TRELLIS.2's decoders and encoder beside them."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from scenewright.errors import WeightsError
from scenewright.systems.genrecon.flow import ProjectedLatentFlow, ProjectedStructureFlow
from scenewright.systems.genrecon.networks import FLOW_STEMS, FolderNetworks
from scenewright.systems.genrecon.pipeline import SceneNetworks
from tests.support.saved_weights import save_weights
from tests.systems.genrecon.tiny import FLOW, LATENT
from tests.tiny_trellis2 import write_tiny_trellis2


def write_networks(folder: Path) -> Path:
    """A folder of GenRecon's networks at toy size."""
    write_tiny_trellis2(folder / "trellis2")
    flows = (
        ProjectedStructureFlow(replace(FLOW, in_channels=8, out_channels=8)),
        ProjectedLatentFlow(LATENT),
        ProjectedLatentFlow(replace(LATENT, in_channels=8)),
    )
    for stem, flow in zip(FLOW_STEMS, flows, strict=True):
        save_weights(flow, folder / f"{stem}.safetensors")
        content = {"name": type(flow).__name__, "args": asdict(flow.config)}
        (folder / f"{stem}.json").write_text(json.dumps(content))
    return folder


def test_a_folder_gives_every_network(tmp_path: Path) -> None:
    lines: list[str] = []
    networks = FolderNetworks(write_networks(tmp_path), offline=True, report=lines.append)
    assert isinstance(networks, SceneNetworks)
    assert networks.latent_resolution == LATENT.resolution
    assert networks.structure_flow().config.resolution == FLOW.resolution
    assert networks.texture_flow().config.in_channels == 8
    assert networks.shape_decoder().num_steps == 4
    assert networks.encoder()(torch.rand(1, 3, 32, 32)).shape[1] == 2 + 4
    assert set(networks.weights_sha256()) >= set(FLOW_STEMS)
    assert "Loading sparse_structure" in lines


def test_no_folder_and_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="GenRecon's README"):
        FolderNetworks(tmp_path / "nothing")
    networks = FolderNetworks(write_networks(tmp_path), offline=True)
    (tmp_path / "shape_slat.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"shape_slat\.pt"):
        networks.shape_flow()
