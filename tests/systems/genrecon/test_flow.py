"""Projection conditioning in the flows, and the published files: converted once, read strictly."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.errors import WeightsError
from scenewright.systems.genrecon.flow import ProjectedStructureFlow, scene_context, unconditional_context
from scenewright.systems.genrecon.pretrained import convert, load_structure_flow
from scenewright.systems.genrecon.weights import RECORDS
from scenewright.weights.hub import sha256_of
from tests.systems.genrecon.tiny import FLOW, structure_flow


def inputs() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(4)
    shapes = ((2, 3, 4, 4, 4), (2, 7, 10), (2 * 64, 10))
    x, tokens, condition = (torch.randn(shape, generator=generator) for shape in shapes)
    return x, torch.tensor([300.0, 700.0]), tokens, condition


def test_kept_and_remade_projections_agree() -> None:
    flow = structure_flow()
    x, t, tokens, condition = inputs()
    kept = flow(x, t, scene_context(flow, tokens, condition))
    remade = flow(x, t, scene_context(flow, tokens, condition, kept_bytes=0))
    torch.testing.assert_close(kept, remade, rtol=0, atol=0)


def test_zero_condition_is_the_unconditional_one() -> None:
    flow = structure_flow()
    x, t, tokens, condition = inputs()
    zero = flow(x, t, scene_context(flow, torch.zeros_like(tokens), torch.zeros_like(condition)))
    torch.testing.assert_close(zero, flow(x, t, unconditional_context(flow)))


def test_a_new_flow_is_its_backbone() -> None:
    """Projections start at zero, so that training starts from TRELLIS.2."""
    torch.manual_seed(0)
    flow = ProjectedStructureFlow(FLOW)
    plain = StructureFlow(FLOW)
    plain.load_state_dict({name: value for name, value in flow.state_dict().items() if name in plain.state_dict()})
    x, t, tokens, condition = inputs()
    torch.testing.assert_close(flow(x, t, scene_context(flow, tokens, condition)), plain(x, t, tokens))


def published(folder: Path) -> tuple:
    """A file as published, at toy size: base, adapters, new modules and a buffer that is recomputed."""
    state = structure_flow().state_dict()
    for name in [name for name in state if name.endswith("to_out.weight") and "blocks" in name]:
        stem = name.removesuffix(".weight")
        state[f"{stem}.lora_A"] = torch.randn(8, state[name].shape[1])
        state[f"{stem}.lora_B"] = torch.randn(state[name].shape[0], 8)
    state["rope_phases"] = torch.zeros(64, 6, dtype=torch.complex64)
    path = folder / "sparse_structure.pt"
    torch.save(state, path)
    arguments = {name: getattr(FLOW, name) for name in RECORDS["genrecon/sparse_structure"].arguments}
    record = replace(
        RECORDS["genrecon/sparse_structure"],
        arguments=arguments,
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
    )
    return record, state, path


def test_published_file_is_converted_once_and_merged(tmp_path: Path) -> None:
    record, state, path = published(tmp_path)
    flow = load_structure_flow(tmp_path, record=record)
    name = "blocks.1.cross_attn.to_out"
    expected = state[f"{name}.weight"] + 2 * state[f"{name}.lora_B"] @ state[f"{name}.lora_A"]
    torch.testing.assert_close(flow.get_parameter(f"{name}.weight"), expected)
    path.unlink()
    again = load_structure_flow(tmp_path, record=record)
    x, t, tokens, condition = inputs()
    torch.testing.assert_close(
        again(x, t, scene_context(again, tokens, condition)), flow(x, t, scene_context(flow, tokens, condition))
    )
    with pytest.raises(WeightsError, match="was not made from"):
        convert(replace(record, sha256="0" * 64), tmp_path)


def test_partial_and_foreign_files_are_refused(tmp_path: Path) -> None:
    record, state, path = published(tmp_path)
    with pytest.raises(WeightsError, match="SHA-256"):
        convert(replace(record, sha256="0" * 64), tmp_path)
    del state["proj_linears.1.weight"]
    torch.save(state, path)
    partial = replace(record, sha256=sha256_of(path), size_bytes=path.stat().st_size)
    with pytest.raises(WeightsError, match="1 missing"):
        load_structure_flow(tmp_path, record=partial)
