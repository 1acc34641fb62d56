"""I-Scene's configuration from the published YAML and package files, and what is said when they are wrong."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.errors import InputError, WeightsError
from scenewright.systems.iscene.config import SceneContextConfig, has_canonical_slot
from scenewright.systems.iscene.package import load_flow, read_package
from scenewright.systems.iscene.published import (
    flow_arguments,
    inferred_config,
    resolved,
    scene_context_config,
    type_embedding,
)
from scenewright.systems.iscene.structure_flow import SceneContextFlow
from scenewright.weights.source import WeightsSource
from tests.support.iscene_published import write_package
from tests.support.saved_weights import save_weights
from tests.tiny_iscene import TINY_FLOW, tiny_flow, write_tiny_iscene

PUBLISHED = {
    "resolution": 16,
    "in_channels": 8,
    "out_channels": 8,
    "model_channels": 1024,
    "cond_channels": 1024,
    "num_blocks": 24,
    "num_heads": 16,
    "mlp_ratio": 4,
    "patch_size": 1,
    "pe_mode": "ape",
    "qk_rms_norm": True,
    "use_fp16": True,
    "pretrained_base": "somewhere.safetensors",
}


def yaml_of(**changes: object) -> dict:
    denoiser = {"name": "SparseStructureSceneContextFlowModel", "args": {**PUBLISHED, **changes}}
    return {
        "models": {"denoiser": denoiser},
        "dataset": {"args": {"exp_setting": "${models.denoiser.args.exp_setting}"}},
    }


@pytest.mark.parametrize(
    ("num_blocks", "num_context", "expected"),
    [(24, 5, range(10, 15)), (6, 5, range(1, 6)), (5, 3, range(1, 4)), (4, 1, range(2, 3))],
)
def test_context_blocks_are_in_the_middle(num_blocks: int, num_context: int, expected: range) -> None:
    config = SceneContextConfig(StructureFlowConfig(num_blocks=num_blocks), num_context)
    assert config.context_blocks == expected


def test_more_context_blocks_than_blocks_are_refused() -> None:
    for number in (0, 4):
        with pytest.raises(InputError, match="do not fit"):
            SceneContextConfig(StructureFlowConfig(num_blocks=3), number)


@pytest.mark.parametrize("setting", ["", "local", "local global", "global local more"])
def test_settings_without_a_scene_are_refused(setting: str) -> None:
    with pytest.raises(InputError, match="exp_setting"):
        has_canonical_slot(setting)


def test_the_published_arguments_give_the_published_network() -> None:
    config = scene_context_config(PUBLISHED)
    assert config == SceneContextConfig(StructureFlowConfig(), 5, with_canonical=True)
    with torch.device("meta"):
        state = SceneContextFlow(config).state_dict()
    assert len(state) == 489
    assert sum(tensor.numel() for name, tensor in state.items() if name != "pos_emb") == 555_543_560
    assert state["pos_emb"].shape == (4096, 1024)


def test_marks_add_parameters_to_the_context_blocks_only() -> None:
    config = scene_context_config({**PUBLISHED, "type_embedding_type": ["enable_gate", "enable_k_bias"]})
    with torch.device("meta"):
        state = SceneContextFlow(config).state_dict()
    gates = {name: tuple(tensor.shape) for name, tensor in state.items() if name.endswith("ext_gate")}
    biases = {name: tuple(tensor.shape) for name, tensor in state.items() if name.endswith("k_type_bias")}
    assert gates == {f"blocks.{index}.self_attn.ext_gate": (2, 16) for index in range(10, 15)}
    assert set(biases.values()) == {(2, 16, 64)}
    assert type_embedding("enable_gate+enable_k_bias") == (True, True)
    assert type_embedding(None) == (False, False)


def test_unknown_arguments_and_training_patterns_are_refused() -> None:
    with pytest.raises(InputError, match="model_chanels"):
        scene_context_config({**PUBLISHED, "model_chanels": 4})
    with pytest.raises(InputError, match="full-finetune"):
        scene_context_config({**PUBLISHED, "learning_pattern": "lora"})


def test_references_are_resolved_from_the_root_and_from_the_parent() -> None:
    content = {"a": {"b": "${c}", "d": "${.b}", "e": "${..c}/x-${a.b}"}, "c": 3, "l": [1, "${l[0]}"]}
    assert resolved(content) == {"a": {"b": 3, "d": 3, "e": "3/x-3"}, "c": 3, "l": [1, 1]}


@pytest.mark.parametrize(
    ("reference", "message"),
    [("${self}", "refers to itself"), ("${nowhere.at.all}", "does not exist"), ("${oc.env:HOME}", "outside the file")],
)
def test_references_that_lead_nowhere_are_named(reference: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolved({"self": reference})


def test_the_two_settings_of_the_file_must_agree() -> None:
    assert flow_arguments(yaml_of(exp_setting="global"), "x.yaml")["exp_setting"] == "global"
    content = yaml_of(exp_setting="global")
    content["dataset"]["args"]["exp_setting"] = "global local"
    with pytest.raises(WeightsError, match=r"'global' for the network and 'global local' for its pictures"):
        flow_arguments(content, "x.yaml")
    with pytest.raises(WeightsError, match="not an I-Scene configuration"):
        flow_arguments({"models": {}}, "x.yaml")
    content["models"]["denoiser"]["name"] = "SparseStructureFlowModel"
    content["dataset"] = None
    with pytest.raises(WeightsError, match="describes a 'SparseStructureFlowModel'"):
        flow_arguments(content, "x.yaml")


def test_without_a_configuration_the_names_tell() -> None:
    flow = StructureFlowConfig()
    assert inferred_config({"pos_emb": (4096, 1024)}, flow) == SceneContextConfig(flow)
    shapes = {f"blocks.{index}.self_attn.ext_gate": (2, 16) for index in (11, 12, 13)}
    assert inferred_config(shapes, flow) == SceneContextConfig(flow, 3, with_canonical=True, has_gate=True)
    with pytest.raises(WeightsError, match="in the middle"):
        inferred_config({"blocks.3.self_attn.k_type_bias": (1, 16, 64)}, flow)


@pytest.mark.parametrize("with_canonical", [False, True])
def test_a_package_comes_back_as_it_was_written(tmp_path: Path, with_canonical: bool) -> None:
    config = SceneContextConfig(TINY_FLOW, 1, with_canonical, has_gate=True, has_key_bias=True, key_bias_scale=0.3)
    flow = tiny_flow(config)
    package = read_package(WeightsSource(write_package(tmp_path / "p", flow, base="microsoft/TRELLIS-image-large")))
    assert str(package.base) == "microsoft/TRELLIS-image-large"
    loaded = load_flow(package)
    assert loaded.scene_config == config
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), flow.state_dict().values(), strict=True))
    half = load_flow(package, dtype=torch.float16)
    assert half.blocks[0].mlp.mlp[0].weight.dtype == torch.float16
    assert half.blocks[1].self_attn.ext_gate.dtype == torch.float32


def test_a_published_package_of_pickles_in_half_precision_loads(tmp_path: Path) -> None:
    flow = tiny_flow(SceneContextConfig(TINY_FLOW, 1, with_canonical=True))
    (tmp_path / "ckpts").mkdir()
    torch.save(
        {name: tensor.half() for name, tensor in flow.state_dict().items()}, tmp_path / "ckpts/iscene_denoiser.pt"
    )
    arguments = vars(TINY_FLOW) | {"scene_context_attn_num": 1, "pretrained_base": "x.pt", "use_checkpoint": True}
    description = {
        "models": {"denoiser": {"name": "SparseStructureSceneContextFlowModel", "args": arguments}},
        "dataset": {"args": {"exp_setting": "global local"}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(description))
    entries = {
        "base_model_id": "microsoft/TRELLIS-image-large",
        "config_file": "config.yaml",
        "denoiser_checkpoint": "ckpts/iscene_denoiser.pt",
    }
    (tmp_path / "iscene_config.json").write_text(json.dumps(entries))
    loaded = load_flow(read_package(WeightsSource(tmp_path)))
    assert loaded.scene_config.num_slots == 3
    assert loaded.out_layer.weight.dtype == torch.float32
    torch.testing.assert_close(loaded.out_layer.weight, flow.out_layer.weight.half().float())


def test_a_package_without_a_configuration_takes_its_sizes_from_the_base_model(tmp_path: Path) -> None:
    folder = write_tiny_iscene(tmp_path / "p")
    base_sized = StructureFlowConfig(4, 8, 8, 32, 32, num_blocks=1, num_heads=2, mlp_ratio=2)
    save_weights(tiny_flow(SceneContextConfig(base_sized, 1, has_gate=True)), folder / "denoiser.safetensors")
    entries = json.loads((folder / "iscene_config.json").read_text())
    (folder / "iscene_config.json").write_text(json.dumps(entries | {"config_file": None}))
    package = read_package(WeightsSource(folder))
    assert package.flow is None
    assert str(package.base) == str(folder / "base")
    assert load_flow(package).scene_config == SceneContextConfig(base_sized, 1, has_gate=True)


def test_broken_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"iscene_config\.json"):
        read_package(WeightsSource(tmp_path))
    for content in (
        "{",
        "[]",
        '{"base_model_id": "a/b"}',
        '{"base_model_id": "a/b", "denoiser_checkpoint": "../x.pt"}',
    ):
        (tmp_path / "iscene_config.json").write_text(content)
        with pytest.raises(WeightsError, match="description of an I-Scene package"):
            read_package(WeightsSource(tmp_path))
    entries = {"base_model_id": "a/b", "config_file": "c.yaml", "denoiser_checkpoint": "d.pt"}
    (tmp_path / "iscene_config.json").write_text(json.dumps(entries))
    for text, message in (("a: [", "is not an I-Scene configuration, or is damaged"), ("- 1", "Expected a mapping")):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(WeightsError, match=message):
            read_package(WeightsSource(tmp_path))
