"""Other adapters under options that the public goldens leave as usual: each does what the published code does."""

import dataclasses

import pytest
import torch
from torch import Tensor

from tests.conformance.case import Case
from tests.conformance.variants import outputs, variant


def without_params(case: Case, suffix: str) -> Case:
    return dataclasses.replace(case, params={k: v for k, v in case.params.items() if not k.endswith(suffix)})


def same(ours: dict[str, Tensor], expected: dict[str, Tensor], *names: str, atol: float = 1e-6) -> None:
    for name in names or expected:
        torch.testing.assert_close(ours[name], expected[name], atol=atol, rtol=0, check_dtype=False)


def test_largest_child() -> None:
    case = variant("trellis2/sparse_down_up", {"mode": "max"})
    parents = case.inputs["coords"] // torch.tensor([1, 2, 2, 2])
    expected = [case.inputs["feats"][(parents == row).all(1)].amax(0) for row in case.outputs["down_coords"]]
    same(outputs(case), case.outputs | {"down": torch.stack(expected)})


def test_factor_as_a_list() -> None:
    name = "trellis1/sparse_down_up_subdivide"
    same(outputs(variant(name, {"factor": [2, 2, 2]})), variant(name).outputs)
    uneven = outputs(variant(name, {"factor": [1, 2, 4]}))
    assert torch.equal(
        uneven["down_coords"], (variant(name).inputs["coords"] // torch.tensor([1, 1, 2, 4])).unique(dim=0)
    )


def test_dual_grid_without_split_weights() -> None:
    case = variant("trellis2/fdg2mesh_random4_border", without=("split_weight",))
    same(outputs(case), case.outputs, "auto_vertices", "auto_faces")


@pytest.mark.parametrize("name", ["trellis1/sparse_conv3d_k3", "trellis2/sparse_conv3d_k3"])
def test_sparse_convolution_without_a_bias(name: str) -> None:
    case = variant(name, {"bias": False})
    bias = next(tensor for key, tensor in case.params.items() if key.endswith("bias"))
    expected = {key: tensor - bias for key, tensor in case.outputs.items()}
    same(outputs(without_params(case, "bias")), expected, atol=case.tolerance)


def test_remeshing_about_the_origin_by_default() -> None:
    case = variant("trellis2/remesh_sphere32", {"center": None, "scale": None})
    same(outputs(case), case.outputs, atol=case.tolerance)


def test_gaussians_without_the_perturbation_of_their_offsets() -> None:
    case = variant("trellis1/slat_decoder_gs")
    plain = case.config["representation_config"] | {"perturb_offset": False}
    case = dataclasses.replace(case, config=case.config | {"representation_config": plain})
    found, resolution = outputs(case), case.config["resolution"]
    offset = case.outputs["raw__1"][:, : 3 * plain["num_gaussians"]].reshape(-1, 3).tanh() * plain["voxel_size"] / 2
    position = (case.inputs["coords__1"][:, 1:] + 0.5 + offset) / resolution
    same(found, case.outputs | {"b0._xyz__1": position}, "raw__1", "b0._xyz__1", "b0._scaling__1", atol=1e-5)


def test_conditions_of_more_items_than_hold_voxels() -> None:
    case = variant("trellis1/flow_euler_samplers")
    rows = case.inputs["sparse_coords"][:, 0] == 0
    first = {key: case.inputs[key][rows] for key in ("sparse_coords", "sparse_noise")}
    found = outputs(variant("trellis1/flow_euler_samplers", **first))
    same(found, {"sparse.samples": case.outputs["sparse.samples"][rows]}, atol=1e-5)


def test_samplers_have_published_defaults() -> None:
    given = {"name": "cfg", "sampler": "FlowEulerCfgSampler", "steps": 5}
    named = given | {"rescale_t": 1.0, "cfg_strength": 3.0}
    found, expected = (outputs(variant("trellis1/flow_euler_samplers", {"variants": [v]})) for v in (given, named))
    same(found, expected)

    name, given = "trellis2/sampler_dense_cfg3", {"steps": 6, "rescale_t": 2.0}
    same(outputs(variant(name, {"params": given})), variant(name).outputs, atol=1e-5)


def test_windows_of_a_block() -> None:
    name = "trellis1/sparse_modulated_cross_block"
    whole = outputs(variant(name, {"attn_mode": "windowed", "window_size": 1000}))
    same(whole, variant(name).outputs, atol=1e-5)
    alone = outputs(variant(name, {"attn_mode": "windowed", "window_size": [1, 1, 1], "shift_window": [3, 0, 1]}))
    single = "feats__1"  # the call with one voxel, which attends to itself in either mode
    same(alone, variant(name).outputs, single, atol=1e-5)
    assert (alone["feats__0"] - variant(name).outputs["feats__0"]).abs().max() > 1e-3


def test_full_attention_of_a_layer_with_windows() -> None:
    name = "trellis1/sparse_windowed_attention_0"
    full = outputs(variant(name, {"attn_mode": "full"}))
    same(full, outputs(variant(name, {"window_size": 1000, "shift_window": 0})), atol=1e-5)


@pytest.mark.parametrize("name", ["sparse_modulated_cross_block", "sparse_windowed_attention_0"])
def test_serialised_attention_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="'serialized' is used by no published checkpoint"):
        outputs(variant(f"trellis1/{name}", {"attn_mode": "serialized"}))


def test_frequencies_of_a_sparse_block() -> None:
    name = "trellis2/sparse_block_batch2"
    same(outputs(variant(name, {"rope_freq": [1.0, 10000.0]})), variant(name).outputs, atol=1e-5)
    other = outputs(variant(name, {"rope_freq": [1.0, 100.0]}))["y"]
    assert (other - variant(name).outputs["y"]).abs().max() > 1e-4


def test_scene_attention_of_every_asset_alone() -> None:
    case = variant("scenegen/attn_global_n3", {"type": "self"})
    alone = [outputs(variant("scenegen/attn_global_n3", x=x[None]))["y"] for x in case.inputs["x"]]
    same(outputs(case), {"y": torch.cat(alone)})
    with pytest.raises(ValueError, match="not a self-attention"):
        outputs(variant("scenegen/attn_global_n3", {"type": "cross"}))


def test_activations_of_the_position_head() -> None:
    case = variant("scenegen/position_head_n4", {"trans_act": "inv_log", "quat_act": "relu", "s_act": "exp"})
    raw = case.outputs["delta_per_iteration"].sum(0)
    parts = [raw[:, :3].sign() * raw[:, :3].abs().expm1(), raw[:, 3:7].clamp(min=0), raw[:, 7:].exp()]
    same(outputs(case), case.outputs | {"pose_train": torch.cat(parts, 1)}, "pose_train", atol=1e-4)


def test_a_label_map_without_assets() -> None:
    labels = variant("scenegen/mask_split_a").inputs["seg_rgb"]
    found = outputs(variant("scenegen/mask_split_a", seg_rgb=torch.zeros_like(labels)))
    height, width, _ = labels.shape
    for order in ("order", "smallest", "largest"):
        assert found[f"{order}/instance_rgba"].shape == (0, height, width, 4)
        assert found[f"{order}/mask_rgb"].shape == (0, height, width)


def test_extraction_grids_are_those_the_outputs_are_named_after() -> None:
    case = variant("iscene/mesh_grid_affine")
    expected = {"x6_pos": case.outputs["x4_pos"], "x6_sdf": case.outputs["x4_sdf"]}
    found = outputs(dataclasses.replace(case, outputs=expected))
    assert {name for name in found if name.endswith("_pos")} == {"x6_pos"}
    # The same corners as fractions of 384 cells instead of 256.
    torch.testing.assert_close(found["x6_pos"] + 0.5, (case.outputs["x4_pos"] + 0.5) * (4 / 6), atol=1e-6, rtol=0)


def test_noise_of_every_object() -> None:
    name = "iscene/sc_sampler_b2_cfg_off"
    case = variant(name)
    noise = case.inputs["noise"].expand(2, *case.inputs["noise"].shape[1:]).clone()
    same(outputs(variant(name, noise=noise)), case.outputs, atol=case.tolerance)
    noise[1, 0] += 1
    found = outputs(variant(name, noise=noise))["samples"]
    torch.testing.assert_close(found[0], case.outputs["samples"][0], atol=case.tolerance, rtol=0)
    assert (found[1, 0] - case.outputs["samples"][1, 0]).abs().max() > 0.1
    noise[1, 1] += 1
    with pytest.raises(ValueError, match="noise of the scene"):
        outputs(variant(name, noise=noise))


def test_group_norm_before_the_last_layer_of_the_structure_autoencoder() -> None:
    """Only that norm changes: with 32 channels in 32 groups each channel has mean 0 and variance 1 after it."""
    config = {"channels": [32], "num_res_blocks": 0, "num_res_blocks_middle": 0, "norm_type": "group"}
    generator = torch.Generator().manual_seed(0)
    params = {
        "input_layer.weight": torch.randn(32, 8, 3, 3, 3, generator=generator),
        "input_layer.bias": torch.randn(32, generator=generator),
        "out_layer.0.weight": torch.randn(32, generator=generator),
        "out_layer.0.bias": torch.randn(32, generator=generator),
        "out_layer.2.weight": torch.randn(1, 32, 3, 3, 3, generator=generator),
        "out_layer.2.bias": torch.randn(1, generator=generator),
    }
    case = dataclasses.replace(variant("trellis1/ss_vae_decoder", config), params=params)
    h = torch.conv3d(case.inputs["z"], params["input_layer.weight"], params["input_layer.bias"], padding=1)
    variance, mean = torch.var_mean(h, (2, 3, 4), correction=0, keepdim=True)
    h = (h - mean) / (variance + 1e-5).sqrt() * params["out_layer.0.weight"].view(-1, 1, 1, 1)
    h = torch.nn.functional.silu(h + params["out_layer.0.bias"].view(-1, 1, 1, 1))
    expected = torch.conv3d(h, params["out_layer.2.weight"], params["out_layer.2.bias"], padding=1)
    same(outputs(case), {"logits": expected}, atol=1e-3)
