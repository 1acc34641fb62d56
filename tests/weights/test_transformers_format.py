"""Networks in the format of the transformers library pass the same gate as all other weights."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from scenewright.errors import WeightsError
from scenewright.weights.source import WeightsSource
from scenewright.weights.transformers_format import load_transformers
from tests.encoders.test_depth import write_tiny_depth


@pytest.fixture(scope="module")
def classes() -> dict[str, Any]:
    # Takes seconds, which processes that run other tests need not spend.
    from transformers import DepthAnythingForDepthEstimation, Dinov2Model

    return {"depth_anything": DepthAnythingForDepthEstimation, "dinov2": Dinov2Model}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with a network of owner/depth; returns the network's folder."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--owner--depth"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    return write_tiny_depth(repository / "snapshots" / ("a" * 40))


def test_weights_of_a_repository_are_noted_and_refused_once_they_change(
    cache: Path, classes: dict[str, Any], tmp_path: Path
) -> None:
    source = WeightsSource("owner/depth", offline=True)
    assert load_transformers(source, classes, "a depth network").config.model_type == "depth_anything"
    assert json.loads((tmp_path / "scenewright_hashes.json").read_text())["sha256"].keys() == {
        "owner/depth@main/model.safetensors"
    }
    weights = cache / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsError, match="changed since they were first used here"):
        load_transformers(source, classes, "a depth network")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_damaged_files_are_one_sentence(file: str, cache: Path, classes: dict[str, Any]) -> None:
    (cache / file).write_bytes((cache / file).read_bytes()[:40])
    with pytest.raises(WeightsError, match=r"not a depth network, or is damaged .*; give a folder"):
        load_transformers(WeightsSource(cache), classes, "a depth network")


@pytest.mark.parametrize("name", ["num_hidden_layers", "hidden_size"])
def test_a_configuration_of_impossible_size_is_refused_before_anything_is_made(
    name: str, cache: Path, classes: dict[str, Any]
) -> None:
    content = json.loads((cache / "config.json").read_text())
    content["backbone_config"][name] = 1 << 31
    (cache / "config.json").write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=f"says {name} = 2.14748e"):
        load_transformers(WeightsSource(cache), classes, "a depth network")


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({}, None),
        ({"part-2.safetensors": "../outside.safetensors"}, "outside its own folder"),
        ({"part-2.safetensors": "part-3.safetensors"}, r"'part-3\.safetensors', which is not there"),
    ],
)
def test_weights_in_several_files_stay_in_their_folder(
    rename: dict[str, str], message: str | None, cache: Path, classes: dict[str, Any], tmp_path: Path
) -> None:
    tensors = load_file(cache / "model.safetensors")
    (cache / "model.safetensors").unlink()
    parts = {name: f"part-{1 + number % 2}.safetensors" for number, name in enumerate(tensors)}
    for part in set(parts.values()):
        held = {name: tensor for name, tensor in tensors.items() if parts[name] == part}
        save_file(held, cache / part, metadata={"format": "pt"})
    named = {name: rename.get(part, part) for name, part in parts.items()}
    (cache / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": named}))
    if message is None:
        assert load_transformers(WeightsSource(cache), classes, "a depth network").config.model_type == "depth_anything"
        return
    with pytest.raises(WeightsError, match=message):
        load_transformers(WeightsSource(cache), classes, "a depth network")
