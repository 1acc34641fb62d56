"""Scene-context attention: its equation, who reads whom, and when it equals plain self-attention."""

import pytest
import torch

from scenewright.sparse.attention import Sequences
from scenewright.systems.iscene.context_attention import SceneContextAttention, SlotContext

CHANNELS, HEADS, LENGTH = 24, 3, 5


def layer(num_external: int = 1, **options: bool) -> SceneContextAttention:
    torch.manual_seed(0)
    made = SceneContextAttention(CHANNELS, HEADS, num_external=num_external, qk_rms_norm=True, **options)
    for parameter in made.parameters():
        parameter.data = torch.randn_like(parameter) * 0.4
    return made.requires_grad_(False)


def run(attention: SceneContextAttention, x: torch.Tensor) -> torch.Tensor:
    """x is [groups, slots, tokens, channels]."""
    groups, slots, length = x.shape[:3]
    out = attention(x.flatten(0, 2), Sequences.uniform(groups * slots, length), context=SlotContext(attention, slots))
    return out.view(x.shape)


@pytest.mark.parametrize("slots", [2, 3])
@pytest.mark.parametrize("marked", [False, True])
def test_the_equation_by_hand(slots: int, marked: bool) -> None:
    attention = layer(slots - 1, has_gate=marked, has_key_bias=marked)
    x = torch.randn(2, slots, LENGTH, CHANNELS)
    out = run(attention, x)
    for group in range(2):
        q, k, v = zip(*(attention.project(x[group, slot]) for slot in range(slots)), strict=True)
        keys, values = [k[0]], [v[0]]
        for slot in range(1, slots):
            key = k[slot]
            if marked:
                key = key + 0.2 * torch.tanh(attention.k_type_bias[slot - 1])
                key = key * torch.sigmoid(attention.ext_gate[slot - 1])[None, :, None]
            keys.append(key)
            values.append(v[slot])
        logits = torch.einsum("qhd,khd->hqk", q[0], torch.cat(keys)) / (CHANNELS / HEADS) ** 0.5
        expected = attention.to_out(torch.einsum("hqk,khd->qhd", logits.softmax(-1), torch.cat(values)).flatten(1))
        torch.testing.assert_close(out[group, 0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("slots", [2, 3])
def test_other_slots_read_themselves_only_and_groups_do_not_mix(slots: int) -> None:
    attention = layer(slots - 1, has_gate=True)
    x = torch.randn(3, slots, LENGTH, CHANNELS)
    out = run(attention, x)
    plain = attention(x[:, 1:].reshape(-1, CHANNELS), Sequences((LENGTH,) * (3 * (slots - 1))))
    torch.testing.assert_close(out[:, 1:].reshape(-1, CHANNELS), plain)
    torch.testing.assert_close(run(attention, x[1:2]), out[1:2])
    changed = x.clone()
    changed[:, 0] += 1
    assert torch.equal(run(attention, changed)[:, 1:], out[:, 1:])


def test_equal_slots_are_plain_self_attention_unless_gated() -> None:
    x = torch.randn(1, 1, LENGTH, CHANNELS).expand(1, 3, -1, -1)
    attention = layer(2)
    plain = attention(x[0, 0], Sequences((LENGTH,)))
    torch.testing.assert_close(run(attention, x)[0, 0], plain)
    assert not torch.allclose(run(layer(2, has_gate=True), x)[0, 0], plain, atol=1e-3)


def test_a_fresh_key_bias_is_neutral_and_a_fresh_gate_is_one_half() -> None:
    fresh = SceneContextAttention(CHANNELS, HEADS, has_gate=True, has_key_bias=True)
    keys = torch.randn(LENGTH, HEADS, CHANNELS // HEADS)
    torch.testing.assert_close(fresh.marked_keys(keys, 0), keys / 2)


def test_the_recorded_scene_serves_objects_of_other_calls() -> None:
    attention = layer(2, has_gate=True, has_key_bias=True)
    x = torch.randn(1, 3, LENGTH, CHANNELS).repeat(2, 1, 1, 1)
    x[1, 0] += 0.5
    x[1, 2] -= 0.5
    recorded: list = []
    attention(x[0, 1], Sequences((LENGTH,)), context=SlotContext(attention, recorded=recorded))
    rest = torch.cat([x[:, :1], x[:, 2:]], 1)
    context = SlotContext(attention, 2, external=tuple(recorded))
    out = attention(rest.flatten(0, 2), Sequences((LENGTH,) * 4), context=context).view(2, 2, LENGTH, CHANNELS)
    whole = run(attention, x)
    torch.testing.assert_close(out[:, 0], whole[:, 0])
    torch.testing.assert_close(out[:, 1], whole[:, 2])
