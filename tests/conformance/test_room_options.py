"""InSpace's and GenRecon's adapters under options that public goldens leave as usual: each does what is published."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scenewright.geometry.camera.cubemap import sample_equirect
from scenewright.samplers.schedule import rescaled_times
from tests.conformance.genrecon_conditioning import children_of
from tests.conformance.variants import outputs, variant

ONE_SCENE = "inspace/detail_flow_shape_one_scene_3blocks"
PHONE = "genrecon/chunk_colmap_iphone"


def sampled(**params: object) -> dict[str, Tensor]:
    return outputs(variant("inspace/detail_sampler_50", {"params": params}, without=("step_index",)))


@pytest.mark.parametrize(("strength", "extra_calls"), [(7.5, 9), (1.0, 0)])
def test_detail_sampler_takes_any_setting(strength: float, extra_calls: int) -> None:
    """Guidance costs a second call in the steps of its interval, both ends included; times are one per step."""
    settings = {"steps": 12, "rescale_t": 3.0, "guidance_interval": [0.6, 1.0], "guidance_rescale": 0.5}
    out = sampled(**settings, guidance_strength=strength)
    times = rescaled_times(12, 3.0)
    assert torch.allclose(out["t_seq"], 1000 * torch.tensor(times[:-1]))
    assert int(out["model_calls"]) == 12 + extra_calls
    assert (times[:-1] >= 0.6).sum() == 9
    assert torch.equal(out["pred_x_t"][-1], out["samples"])


def test_settings_left_out_of_the_detail_sampler_are_the_published_defaults() -> None:
    spelled = sampled(
        steps=50, rescale_t=1.0, guidance_strength=3.0, guidance_interval=[0.0, 1.0], guidance_rescale=0.0
    )
    assert all(torch.equal(value, spelled[name]) for name, value in sampled().items())
    assert int(spelled["model_calls"]) == 100


def test_parts_beyond_part_max_share_the_last_embedding() -> None:
    case = variant(ONE_SCENE)
    table = case.params["part_pe.weight"]
    shared = torch.cat([table[:4], table[4].expand(7, -1)])
    of_ten = outputs(replace(case, params=case.params | {"part_pe.weight": shared}))
    of_four = outputs(replace(variant(ONE_SCENE, {"part_max": 4}), params=case.params | {"part_pe.weight": table[:5]}))
    assert of_four["part_ids"].tolist() == of_ten["part_ids"].clamp(max=4).tolist()
    assert torch.allclose(of_four["v"], of_ten["v"], atol=1e-6)


def test_detail_flow_leaves_out_arguments_of_precision_and_memory() -> None:
    case = variant(ONE_SCENE, {"use_fp16": False, "use_checkpoint": True, "dtype": "float32"})
    assert torch.allclose(outputs(case)["v"], case.outputs["v"], atol=case.tolerance)


def test_area_weights_are_those_of_the_file() -> None:
    areas = torch.tensor([-1.0, 9.9, 10.0, 24.9, 25.0])
    case = variant("inspace/area_weights", {"bounds": [10, 25], "weights": [1, 2, 5]}, areas=areas)
    assert outputs(case)["weights"].tolist() == [1, 1, 2, 2, 5]


def test_parts_are_decoded_from_the_given_number_of_tokens_on() -> None:
    case = variant("inspace/detail_decode_parts", {"min_tokens": 1})
    slices = case.inputs["part_slices"]
    assert outputs(case)["decoded_demo"].tolist() == (slices[:, 1] > slices[:, 0]).int().tolist()


def test_skipped_point_cleaning_keeps_what_passes_error_and_track() -> None:
    out = outputs(variant(PHONE, {"skip_point_cleaning": True}))
    assert len(out["kept_after_error_track"]) == 8205
    for stage in ("kept_after_statistical", "kept_after_radius"):
        assert torch.equal(out[stage], out["kept_after_error_track"])


def test_points_without_error_and_track_are_all_within_the_limits() -> None:
    case = variant(PHONE, {"max_reproj_error": None, "min_track_len": None}, without=("error", "track_len"))
    assert len(outputs(case)["kept_after_error_track"]) == len(case.inputs["points"])


def test_a_frame_of_camera_json_overrides_any_value_of_the_file() -> None:
    case = variant("genrecon/cameras_json", {"frame1_fl_x": 500.0, "frame1_w": 1000, "frame2_camera_angle_x": 0.7})
    out, usual = outputs(case), case.outputs
    assert out["dslr_intrinsics"][1, 0, 0] == 0.5
    assert torch.allclose(out["sage_intrinsics"][2, 0, 0], 0.5 / torch.tensor(0.35, dtype=torch.float64).tan())
    assert torch.allclose(out["dslr_intrinsics"][[0, 2]].float(), usual["dslr_intrinsics"][[0, 2]])
    assert torch.allclose(out["sage_intrinsics"][:2].float(), usual["sage_intrinsics"][:2])


def test_inpainting_without_guidance_follows_the_condition_alone() -> None:
    alone = outputs(variant("genrecon/sampler_inpaint", {"guidance_strength": None}, without=("neg_cond",)))
    of_strength_one = outputs(variant("genrecon/sampler_inpaint", {"guidance_strength": 1.0}))
    assert torch.equal(alone["samples"], of_strength_one["samples"])
    assert not torch.allclose(alone["samples"], outputs(variant("genrecon/sampler_inpaint"))["samples"])


def test_refined_voxels_of_a_latent_flow_take_the_largest_of_their_children() -> None:
    name = "genrecon/slat_flow_shape_lora"
    case = variant(name, {"projection": {"refinement_factor": 2}})
    sizes = case.config["args"]
    fine = variant(
        name,
        {"args": sizes | {"resolution": 2 * sizes["resolution"]}},
        coords=children_of(case.inputs["coords"], 2),
        x=case.inputs["x"].repeat_interleave(8, 0),
    )
    largest = outputs(fine)["cond_3D"].unflatten(0, (-1, 8)).amax(1)
    assert torch.allclose(outputs(case)["cond_3D"], largest, atol=1e-6)
    assert not torch.allclose(largest, outputs(variant(name))["cond_3D"], atol=1e-3)


def test_over_the_pole_of_an_odd_panorama_columns_roll_as_published() -> None:
    """Beyond the last row the row rolled by W // 2 is used, so that column u shows what was at u - W // 2."""
    picture = torch.zeros(2, 5, 1)
    picture[0, 0] = 1.0
    looked = sample_equirect(picture, torch.tensor([[0.0, -1.0, 1e-9]]))  # column 2, half of it from beyond the zenith
    torch.testing.assert_close(looked[0], torch.tensor([0.5]), atol=1e-4, rtol=0)


def test_boxes_without_an_area_do_not_overlap() -> None:
    flat = torch.tensor([[0.123, -0.217, 0.1, 0.0, 0.0, 0.0, 0.7], [0.123, -0.217, 0.1, 1e-9, 1e-9, 0.5, 2.1]])
    found = outputs(variant("inspace/metric_box_iou", pred=flat, gt=flat))
    assert all(float(found[f"iou2d_{kind}"].abs().max()) == 0 for kind in ("aabb", "obb"))


def test_inpainting_in_one_step() -> None:
    found = outputs(variant("genrecon/sampler_inpaint", {"steps": 1}))
    known, mask = variant("genrecon/sampler_inpaint").inputs["x0"], variant("genrecon/sampler_inpaint").inputs["mask"]
    free = (mask < 0.5).expand_as(known)
    assert torch.equal(found["pred_x_t_first"][free], found["samples"][free])
