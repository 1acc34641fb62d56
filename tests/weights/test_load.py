import contextlib
import os
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from scenewright.errors import WeightsError
from scenewright.weights.checkpoint import open_checkpoint, read_metadata
from scenewright.weights.keymap import KeyMap
from scenewright.weights.load import load_state, load_weights
from tests.support.saved_weights import save_weights
from tests.weights.networks import KEYMAP, Forgetful, Network, Rotary, randomised


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A weight file of a two-block network whose torso is stored in fp16, as published torsos are."""
    return save_weights(randomised(Network(torso_dtype=torch.float16)), tmp_path / "net.safetensors", keymap=KEYMAP)


def test_published_names_are_in_the_file(published):
    names = set(load_file(published))
    assert "blocks.1.mlp.mlp.2.weight" in names
    assert "positions" in names
    assert not any("expand" in name for name in names)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_half_precision_files_load_into_any_dtype(published, dtype):
    network = load_weights(Network, published, dtype=dtype, keymap=KEYMAP)
    stored = load_file(published)
    assert {parameter.dtype for parameter in network.parameters()} == {dtype}
    assert torch.equal(network.blocks[0].expand.weight, stored["blocks.0.mlp.mlp.0.weight"].to(dtype))
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_without_a_dtype_the_constructor_decides(published):
    network = load_weights(lambda: Network(torso_dtype=torch.bfloat16), published, keymap=KEYMAP)
    assert network.blocks[0].expand.weight.dtype == torch.bfloat16
    assert network.blocks[0].norm.weight.dtype == torch.float32


def test_missing_and_unexpected_names_are_listed(published):
    with pytest.raises(WeightsError, match=r"6 missing \(blocks\.2\.norm\.weight.*0 unexpected"):
        load_weights(lambda: Network(num_blocks=3), published, keymap=KEYMAP)
    with pytest.raises(WeightsError, match=r"0 missing.*6 unexpected \(.*blocks\.1\.mlp\.mlp"):
        load_weights(lambda: Network(num_blocks=1), published, keymap=KEYMAP)


def test_wrong_shapes_are_listed(published):
    with pytest.raises(WeightsError, match=r"of the wrong shape \(.*\(8,\) instead of \(4,\)"):
        load_weights(lambda: Network(width=4), published, keymap=KEYMAP)


def test_ignored_names_may_be_in_the_file(tmp_path):
    save_file({"weight": torch.ones(1, 2), "bias": torch.ones(1), "head.a": torch.ones(1)}, tmp_path / "w.safetensors")
    assert load_weights(lambda: nn.Linear(2, 1), tmp_path / "w.safetensors", ignore=("head.*",)).bias.item() == 1
    with pytest.raises(WeightsError, match=r"1 unexpected \(head\.a\)"):
        load_weights(lambda: nn.Linear(2, 1), tmp_path / "w.safetensors")


def test_non_persistent_buffers_are_made_anew(tmp_path):
    save_file({"scale": torch.tensor([2.0, 3.0])}, tmp_path / "w.safetensors")
    rotary = load_weights(Rotary, tmp_path / "w.safetensors")
    assert torch.equal(rotary.phases, torch.arange(4.0))
    assert torch.equal(rotary.scale, torch.tensor([2.0, 3.0]))
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(TypeError, match="reset_buffers"):
        load_weights(Forgetful, tmp_path / "empty.safetensors")


def test_load_state_keeps_device_dtype_and_gradients():
    network = Network(torso_dtype=torch.float16)
    weight = network.blocks[0].expand.weight
    state = {KEYMAP.reversed().rename(k): v.float() + 1 for k, v in network.state_dict().items()}
    load_state(network, state, keymap=KEYMAP)
    assert network.blocks[0].expand.weight is weight
    assert weight.dtype == torch.float16
    assert weight.requires_grad
    assert torch.equal(weight.float(), state["blocks.0.mlp.mlp.0.weight"].half().float())


def test_two_names_that_become_one_are_refused():
    with pytest.raises(WeightsError, match="both map to 'weight'"):
        load_state(nn.Linear(1, 1), {"a": torch.ones(1, 1), "weight": torch.ones(1, 1)}, keymap=KeyMap({"a": "weight"}))


def test_scalars_empty_tensors_and_all_dtypes_survive(tmp_path):
    tensors = {
        "scalar": torch.tensor(3, dtype=torch.int64),
        "empty": torch.zeros(0, 3),
        "flags": torch.tensor([True, False]),
        "complex": torch.tensor([1 + 2j]),
        "bfloat": torch.tensor([1.5], dtype=torch.bfloat16),
    }
    save_file(tensors, tmp_path / "t.safetensors", metadata={"step": "7"})
    with open_checkpoint(tmp_path / "t.safetensors") as checkpoint:
        for name, tensor in tensors.items():
            target = torch.empty(checkpoint.shapes[name], dtype=checkpoint.dtypes[name])
            checkpoint.read_into(name, target)
            assert torch.equal(target, tensor)
    assert read_metadata(tmp_path / "t.safetensors") == {"step": "7"}


def test_pt_files_with_tensors_only_load(tmp_path):
    network = randomised(Network())
    torch.save(network.state_dict(), tmp_path / "zip.pt")
    torch.save(network.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("zip.pt", "old.pt"):
        loaded = load_weights(Network, tmp_path / name)
        assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), network.parameters(), strict=True))


class _RunsCode:
    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_pt_files_that_hold_code_are_refused_and_the_code_does_not_run(tmp_path):
    marker = tmp_path / "ran"
    torch.save({"weight": _RunsCode(str(marker))}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="holds more than tensors"):
        load_weights(lambda: nn.Linear(1, 1), tmp_path / "evil.pt")
    assert not marker.exists()


def test_pt_files_with_wrappers_are_described(tmp_path):
    torch.save({"state_dict": {"weight": torch.ones(1)}, "step": 3}, tmp_path / "wrapped.pt")
    with pytest.raises(WeightsError, match=r"flat dict of tensors.*state_dict"):
        load_weights(lambda: nn.Linear(1, 1), tmp_path / "wrapped.pt")


@pytest.mark.parametrize("name", ["none.safetensors", "none.pt"])
def test_missing_files(tmp_path, name):
    with pytest.raises(WeightsError, match="were not found"):
        load_weights(Network, tmp_path / name)


def test_unknown_kinds_are_refused(tmp_path):
    (tmp_path / "weights.onnx").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"\.safetensors or \.pt"):
        load_weights(Network, tmp_path / "weights.onnx")


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"PK\x03\x04broken", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_damaged_files(tmp_path, content, suffix):
    (tmp_path / f"w{suffix}").write_bytes(content)
    with pytest.raises(WeightsError):
        load_weights(Network, tmp_path / f"w{suffix}")


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    header = b'{"weight":{"dtype":"F32","shape":[1000000000,1000],"data_offsets":[0,4000000000000]}}'
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\x00" * 16)
    with pytest.raises(WeightsError, match="truncated or damaged"):
        load_weights(lambda: nn.Linear(1, 1), tmp_path / "w.safetensors")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_truncated_or_tampered_safetensors_never_crash(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("tampered")
    path = save_weights(randomised(Network()), folder / "net.safetensors")
    content = bytearray(path.read_bytes())
    header = struct.unpack("<Q", content[:8])[0] + 8
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(WeightsError):  # any other error fails the test
        load_weights(Network, path)


def test_saving_is_atomic(tmp_path):
    save_weights(nn.Linear(1, 1), tmp_path / "w.safetensors")
    before = (tmp_path / "w.safetensors").read_bytes()
    broken = nn.Linear(1, 1, device="meta")
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever safetensors says about tensors without data
        save_weights(broken, tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").read_bytes() == before
    assert os.listdir(tmp_path) == ["w.safetensors"]


LINEAR = {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.ones(1)}


def linear(path: Path) -> nn.Linear:
    return load_weights(lambda: nn.Linear(2, 1), path)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model."])
def test_names_that_a_wrapper_put_a_word_before(tmp_path, prefix):
    save_file({prefix + name: tensor for name, tensor in LINEAR.items()}, tmp_path / "w.safetensors")
    assert torch.equal(linear(tmp_path / "w.safetensors").weight, LINEAR["weight"])


def test_a_network_whose_own_names_begin_like_a_wrapper(tmp_path):
    save_file({f"module.{name}": tensor for name, tensor in LINEAR.items()}, tmp_path / "w.safetensors")
    network = load_weights(lambda: nn.ModuleDict({"module": nn.Linear(2, 1)}), tmp_path / "w.safetensors")
    assert torch.equal(network["module"].weight, LINEAR["weight"])


def test_a_state_dict_beside_what_a_trainer_keeps_is_named(tmp_path):
    torch.save({"state_dict": LINEAR, "epoch": 3, "optimizer": {"state": 1}}, tmp_path / "w.ckpt")
    with pytest.raises(WeightsError, match=r"w\.ckpt'.*; save its 'state_dict' alone"):
        linear(tmp_path / "w.ckpt")
    torch.save({"model": LINEAR, "ema": LINEAR}, tmp_path / "two.pt")
    with pytest.raises(WeightsError, match=r"save its 'model' or its 'ema' alone"):
        linear(tmp_path / "two.pt")


def test_content_counts_more_than_a_name(tmp_path):
    save_file(LINEAR, tmp_path / "w.PT")
    save_file(LINEAR, tmp_path / "w.SafeTensors")
    assert torch.equal(linear(tmp_path / "w.PT").weight, linear(tmp_path / "w.SafeTensors").weight)
    torch.save(LINEAR, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"w\.safetensors' is a file of torch\.save; rename it"):
        linear(tmp_path / "w.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12345\n",
            "pointer of Git LFS.*git lfs pull",
        ),
        (b"\n<!DOCTYPE html>\n<html lang=en>", "is a web page"),
        (b"", "damaged"),
        (bytes(2000), "damaged"),
        (b"PK\5\6" + bytes(18), "damaged"),
        (b'{"error": "Not found"}', "damaged"),
        (None, "are a folder"),
    ],
)
def test_what_lies_in_the_place_of_weights(tmp_path, content, message, suffix):
    path = tmp_path / f"w{suffix}"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        linear(path)
    assert "run code" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.bool, torch.int64, torch.complex64])
def test_quantised_numbers_are_no_weights(tmp_path, dtype):
    save_file(LINEAR | {"weight": LINEAR["weight"].to(dtype)}, tmp_path / "w.safetensors")
    with pytest.raises(
        WeightsError, match=rf"weight as {str(dtype)[6:]}\); give the weights before they were quantised"
    ):
        linear(tmp_path / "w.safetensors")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
def test_weights_that_are_not_finite(tmp_path, number, dtype):
    save_file(LINEAR | {"weight": torch.tensor([[1.0, number]])}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="'weight' holds numbers that are not finite"):
        load_weights(lambda: nn.Linear(2, 1), tmp_path / "w.safetensors", dtype=dtype)


@pytest.mark.filterwarnings("ignore")
def test_tensors_that_hold_no_plain_numbers(tmp_path):
    for name, tensor in {
        "meta": torch.empty(1, 2, device="meta"),
        "quantised": torch.quantize_per_tensor(LINEAR["weight"], 0.1, 0, torch.qint8),
    }.items():
        torch.save(LINEAR | {"weight": tensor}, tmp_path / f"{name}.pt")
        with pytest.raises(WeightsError, match=f"{name}.pt' stores 'weight' .*which is not supported"):
            linear(tmp_path / f"{name}.pt")
