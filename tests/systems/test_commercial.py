"""`--commercial` refuses what is not cleared, and names it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.encoders.records import DEPTH_ANYTHING_METRIC
from scenewright.errors import InputError
from scenewright.systems.catalogue import all_records, refuse_uncleared
from scenewright.systems.loading import load
from scenewright.systems.single_object.generate import load_backbone
from scenewright.weights.source import WeightsSource


def test_every_record_states_a_licence() -> None:
    assert all(record.licence for record in all_records().values())


def test_what_is_not_cleared_is_named_with_its_licence() -> None:
    with pytest.raises(InputError, match=r"structure_flow \(MIT \(README: non-commercial research\)\).*inspace/"):
        load("inspace", "published", commercial=True, offline=True)
    with pytest.raises(InputError, match=r"vggt-1b \(CC-BY-NC-4\.0\)"):
        load("scenegen", "published", commercial=True, offline=True)
    with pytest.raises(InputError, match="inspace/box_network"):
        refuse_uncleared(["dinov3-vitl16", "inspace/box_network"])
    refuse_uncleared(["dinov2-vitl14-reg", "trellis1/slat_flow"], [DEPTH_ANYTHING_METRIC.repository])


def test_licences_of_folders_and_unknown_repositories_are_not_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"someone/model \(licence not known here"):
        refuse_uncleared((), ["someone/model"])
    with pytest.raises(InputError, match="licence not known here"):
        load("iscene", str(tmp_path), commercial=True)
    with pytest.raises(InputError, match="licence not known here"):
        load_backbone("trellis1", WeightsSource(tmp_path), commercial=True)


PHOTOGRAPH = str(Path(__file__).parents[1] / "data" / "photographs" / "chelsea.jpg")


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", PHOTOGRAPH, "--masks", "auto", "--system", "scenegen", "--weights", "published", "--out", "a.glb"],
        ["evaluate", "--scenes", "scenes", "--system", "scenegen", "--weights", "published", "--json", "a.json"],
        ["texture", "chair.glb", PHOTOGRAPH, "--weights", "someone/model", "--out", "a.glb"],
        ["panorama", "room.jpg", "--depth", "auto", "--depth-model", "someone/model", "--plan", "a.png"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_switch_is_on_every_command_that_loads_weights(arguments, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*arguments, "--commercial", "--offline"])
    assert "Not cleared for commercial use" in str(result.exception)
    assert not list(tmp_path.iterdir())
