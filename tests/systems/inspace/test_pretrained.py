"""InSpace's weights: the highest averaged step of either layout, strictly."""

from pathlib import Path

import pytest
import torch

from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.errors import WeightsError
from scenewright.systems.inspace.box_network import BoxNetwork
from scenewright.systems.inspace.detail_flow import DetailFlow
from scenewright.systems.inspace.pretrained import InSpaceSizes, InSpaceWeights, choose_checkpoint, read_sizes
from scenewright.systems.inspace.weights import RECORDS
from tests.tiny_inspace import SIZES, tiny_networks, write_tiny_inspace

FOLDER = "bbox_centerpoint"
FILES = [
    f"ckpts/{FOLDER}/ckpts/{FOLDER}_ema0.9999_step0002500.pt",
    f"ckpts/{FOLDER}/ckpts/{FOLDER}_ema0.9999_step0024500.pt",
    f"ckpts/{FOLDER}/ckpts/{FOLDER}_step0030000.pt",
    f"ckpts/other/ckpts/{FOLDER}_ema0.9999_step0099999.pt",
    f"ckpts/{FOLDER}/ckpts/misc_step0024500.pt",
    "README.md",
]


def test_the_highest_averaged_step_wins() -> None:
    assert choose_checkpoint(FILES, FOLDER) == FILES[1]
    assert choose_checkpoint([file.removeprefix("ckpts/") for file in FILES], FOLDER) == FILES[1].removeprefix("ckpts/")
    assert choose_checkpoint(FILES, FOLDER, 24500) == FILES[1]
    assert choose_checkpoint(FILES, FOLDER, 30000) == FILES[2]
    with pytest.raises(WeightsError, match=r"step 7 in 'bbox_centerpoint/ckpts'.*2500, 24500, 30000"):
        choose_checkpoint(FILES, FOLDER, 7)
    with pytest.raises(WeightsError, match=r"averaged weights.*30000"):
        choose_checkpoint(FILES[2:3], FOLDER)


@pytest.mark.parametrize("prefix", ["ckpts", "."])
def test_both_layouts_load(tmp_path: Path, prefix: str) -> None:
    write_tiny_inspace(tmp_path, prefix=prefix)
    sizes = read_sizes(tmp_path)
    assert sizes == SIZES
    weights = InSpaceWeights(str(tmp_path), sizes)
    expected = tiny_networks()
    for name in ("structure_flow", "shape_flow", "texture_flow", "box_network"):
        loaded = getattr(weights, name)()
        for key, value in expected[name].state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value), key


def test_other_networks_are_refused(tmp_path: Path) -> None:
    write_tiny_inspace(tmp_path)
    file = InSpaceWeights(str(tmp_path), SIZES).file("box_network")
    state = torch.load(file, weights_only=True)
    del state["bin_centers"]
    torch.save(state, file)
    with pytest.raises(WeightsError, match="bin_centers"):
        InSpaceWeights(str(tmp_path), SIZES).box_network()
    with pytest.raises(WeightsError, match="shape"):
        InSpaceWeights(str(tmp_path)).shape_flow()
    (tmp_path / "inspace.json").write_text("[")
    with pytest.raises(WeightsError, match=r"inspace\.json"):
        read_sizes(tmp_path)


def test_published_sizes_have_the_published_numbers_of_parameters() -> None:
    sizes = InSpaceSizes()
    with torch.device("meta"):
        networks = {
            "structure_flow": StructureFlow(sizes.structure_flow),
            "shape_flow": DetailFlow(sizes.shape_flow),
            "texture_flow": DetailFlow(sizes.texture_flow),
            "box_network": BoxNetwork(sizes.box_network),
        }
    for name, network in networks.items():
        count = sum(parameter.numel() for parameter in network.parameters())
        assert count == RECORDS[f"inspace/{name}"].num_parameters, name
