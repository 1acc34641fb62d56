"""Grouped cross-attention equals the dense mask; what nobody reads changes nothing; parts carry their embedding."""

import torch
import torch.nn.functional as F

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.sparse.attention import Sequences
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.inspace.asset_views import FaceTokens
from scenewright.systems.inspace.detail_flow import DetailFlow, part_ids
from scenewright.systems.inspace.image_keys import KeySets, intended_keys, published_rows
from scenewright.systems.inspace.parts import Part, RoomParts
from scenewright.systems.inspace.view_attention import (
    ViewKeyValues,
    dense_readings,
    face_readings,
    key_set_readings,
    project_views,
)
from scenewright.systems.inspace.view_bias import voxel_view_bias

SIZES = FlowConfig(
    resolution=4,
    in_channels=4,
    model_channels=24,
    cond_channels=8,
    out_channels=4,
    num_blocks=2,
    num_heads=2,
    mlp_ratio=2.0,
    share_mod=True,
    qk_rms_norm=True,
    qk_rms_norm_cross=True,
)
TOKENS = FaceTokens(patch_size=256, num_special=1)
CAMERA = torch.tensor([0.05, -0.1, 0.02])


def randomized(flow: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(1)
    for parameter in flow.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return flow.eval()


def coarse_flow() -> StructureFlow:
    return randomized(StructureFlow(SIZES))  # type: ignore[return-value]


def room() -> RoomParts:
    cells = torch.cartesian_prod(*[torch.arange(2, 30, 9)] * 3).int()
    return RoomParts(
        (
            Part("room", cells),
            Part("layout", cells[:20]),
            *(Part("asset", cells[5 * i : 5 * i + 7], i) for i in range(3)),
        )
    )


BOXES = torch.tensor(
    [[0.2, 0.1, 0, 0.3, 0.2, 0.2, 0.4], [-0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.0], [0.25, 0.15, 0, 0.1, 0.1, 0.1, 1.0]]
)


def test_groups_of_faces_equal_the_dense_bias() -> None:
    flow, tokens = coarse_flow(), torch.randn(2, 6 * TOKENS.per_face, 8)
    x, t = torch.randn(2, 4, 4, 4, 4), torch.tensor([300.0, 800.0])
    bias = voxel_view_bias(torch.stack([CAMERA, -2 * CAMERA]), 4)
    grouped = flow(x, t, project_views(flow, tokens, face_readings(bias, TOKENS.per_face)))
    dense = flow(x, t, project_views(flow, tokens, dense_readings(list(bias.repeat_interleave(TOKENS.per_face, 2)))))
    assert torch.allclose(grouped, dense, atol=1e-4)
    assert not torch.allclose(grouped, flow(x, t, tokens), atol=1e-2)


def test_equal_bias_is_the_plain_backbone() -> None:
    flow, tokens = coarse_flow(), torch.randn(1, 6 * TOKENS.per_face, 8)
    x, t = torch.randn(1, 4, 4, 4, 4), torch.tensor([500.0])
    for level in (0.0, -1e4):
        readings = face_readings(torch.full((1, 64, 6), level), TOKENS.per_face)
        assert len(readings) == 6
        assert torch.allclose(flow(x, t, project_views(flow, tokens, readings)), flow(x, t, tokens), atol=1e-5)


def test_faces_and_their_bias_may_change_places() -> None:
    flow, tokens = coarse_flow(), torch.randn(1, 6, TOKENS.per_face, 8)
    x, t, order = torch.randn(1, 4, 4, 4, 4), torch.tensor([500.0]), torch.tensor([4, 2, 0, 5, 1, 3])
    bias = voxel_view_bias(CAMERA[None], 4)
    first = flow(x, t, project_views(flow, tokens.flatten(1, 2), face_readings(bias, TOKENS.per_face)))
    moved = face_readings(bias[..., order], TOKENS.per_face)
    assert torch.allclose(first, flow(x, t, project_views(flow, tokens[:, order].flatten(1, 2), moved)), atol=1e-4)


def test_full_attention_where_every_face_is_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(n, 2, 8, generator=generator) for n in (9, 30, 30))
    heads_first = [rows.transpose(0, 1) for rows in (q, k, v)]
    sets = KeySets(torch.zeros(9, dtype=torch.long), torch.ones(1, 30, dtype=torch.bool))
    out = ViewKeyValues(*heads_first[1:], tuple(key_set_readings([sets], 5))).attend(q, Sequences((9,)))
    assert torch.allclose(out, F.scaled_dot_product_attention(*heads_first).transpose(0, 1), atol=1e-5)


def test_the_form_that_trains_is_the_form_that_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    bias = voxel_view_bias(CAMERA[None], 4)
    q, k, v = (torch.randn(n, 2, 8, generator=generator) for n in (64, 6 * TOKENS.per_face, 6 * TOKENS.per_face))
    heads_first = [rows.transpose(0, 1).contiguous() for rows in (k, v)]
    sampled = ViewKeyValues(*heads_first, tuple(face_readings(bias, TOKENS.per_face))).attend(q, Sequences((64,)))
    trained, dense = [], []
    for readings, gradients in (
        (face_readings(bias, TOKENS.per_face), trained),
        (dense_readings(list(bias.repeat_interleave(TOKENS.per_face, 2))), dense),
    ):
        leaves = [part.clone().requires_grad_() for part in (q, *heads_first)]
        out = ViewKeyValues(*leaves[1:], tuple(readings)).attend(leaves[0], Sequences((64,)))
        assert torch.allclose(out, sampled, atol=1e-5)
        gradients += torch.autograd.grad((out**2).sum(), leaves)
    for one, other in zip(trained, dense, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_every_token_reads_its_own_keys_only() -> None:
    parts, generator = room(), torch.Generator().manual_seed(0)
    keys = intended_keys(parts, BOXES, CAMERA, TOKENS)
    q, k, v = (torch.randn(n, 2, 8, generator=generator) for n in (len(parts.coords), 30, 30))
    heads_first = [rows.transpose(0, 1) for rows in (q, k, v)]
    out = ViewKeyValues(*heads_first[1:], tuple(key_set_readings([keys], TOKENS.per_face))).attend(
        q, Sequences((len(q),))
    )
    expected = F.scaled_dot_product_attention(*heads_first, attn_mask=keys.dense()).transpose(0, 1)
    assert torch.allclose(out, expected, atol=1e-5)


def test_rows_without_keys_get_nothing() -> None:
    sets = KeySets(torch.tensor([0, 1, 0]), torch.tensor([[True, False], [False, False]]))
    k, q = torch.randn(1, 2, 4), torch.randn(3, 1, 4)
    out = ViewKeyValues(k, k, tuple(key_set_readings([sets], 1))).attend(q, Sequences((3,)))
    assert torch.equal(out[1], torch.zeros(1, 4))
    assert torch.allclose(out[0], k[:, 0])


def test_published_rows_differ_only_where_groups_interleave() -> None:
    parts = room()
    keys = intended_keys(parts, BOXES, CAMERA, TOKENS)
    swapped = published_rows(keys, parts, BOXES)
    differs = (swapped.dense() != keys.dense()).any(1)
    assert bool(differs.any())
    assert not bool(differs[: sum(parts.lengths[:2])].any())
    apart = BOXES.clone()
    apart[2, 2] = 0.45
    keys = intended_keys(parts, apart, CAMERA, TOKENS)
    assert torch.equal(published_rows(keys, parts, apart).dense(), keys.dense())


def test_the_detail_flow_knows_parts_and_keeps_rooms_apart() -> None:
    flow: DetailFlow = randomized(DetailFlow(SIZES))  # type: ignore[assignment]
    parts, tokens = room(), torch.randn(2, 6 * TOKENS.per_face, 8)
    keys, ids = intended_keys(parts, BOXES, CAMERA, TOKENS), part_ids([parts])
    rows = torch.nn.functional.pad(parts.coords, (1, 0))
    x, t = torch.randn(len(rows), 4), torch.tensor([400.0])

    def velocity(ids: torch.Tensor, feats: torch.Tensor = x) -> torch.Tensor:
        context = project_views(flow, tokens[:1], key_set_readings([keys], TOKENS.per_face))
        return flow.velocity_of_parts(SparseTensor(feats, VoxelSet(rows, 1)), ids, t, context).feats

    alone = velocity(ids)
    assert not torch.allclose(alone, velocity(ids.clamp(max=1)), atol=1e-3)
    both = torch.cat([rows, rows + torch.tensor([1, 0, 0, 0], dtype=torch.int32)])
    context = project_views(flow, tokens, key_set_readings([keys, keys], TOKENS.per_face))
    packed = SparseTensor(torch.cat([x, torch.randn_like(x)]), VoxelSet(both, 2))
    together = flow.velocity_of_parts(packed, part_ids([parts, parts]), t.repeat(2), context).feats
    assert torch.allclose(together[: len(rows)], alone, atol=1e-4)


def test_part_embeddings_say_nothing_before_training() -> None:
    flow = DetailFlow(SIZES)
    flow.initialize_weights()
    x = SparseTensor(torch.randn(3, 4), torch.tensor([[0, 1, 2, 3], [0, 4, 5, 6], [0, 4, 5, 6]], dtype=torch.int32))
    assert torch.equal(flow.embed(x, torch.tensor([0, 1, 10])), flow.embed_rows(x))


def test_parts_beyond_the_tenth_share_an_embedding() -> None:
    cell = torch.zeros(1, 3, dtype=torch.int32)
    many = RoomParts((Part("room", cell), *(Part("asset", cell, i) for i in range(14))))
    assert part_ids([many]).tolist() == [*range(11), 10, 10, 10, 10]
    assert part_ids([many], 3).tolist() == [0, 1, 2, *[3] * 12]
    assert DetailFlow(SIZES, 3).part_pe.num_embeddings == 4
