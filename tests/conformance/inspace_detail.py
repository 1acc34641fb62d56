"""InSpace goldens of the detail stage: parts, what assets see and read, sampling, decoding."""

from dataclasses import replace

import torch
from torch import Tensor

from scenewright.backbones.trellis2.sampling import denormalized
from scenewright.backbones.trellis2.weights import SHAPE_STATISTICS, TEXTURE_STATISTICS
from scenewright.sparse.tensor import SparseTensor
from scenewright.systems.inspace.asset_views import FaceTokens, asset_rectangles, asset_visibility, overlap_groups
from scenewright.systems.inspace.config import DETAIL_SAMPLER
from scenewright.systems.inspace.decoding import decoded_parts, face_budget
from scenewright.systems.inspace.image_keys import KeySets, intended_keys, published_rows
from scenewright.systems.inspace.parts import Part, RoomParts, layout_cells, room_parts
from scenewright.systems.inspace.view_bias import voxel_view_mask
from scenewright.weights.record import LatentStatistics
from tests.conformance.case import Case
from tests.conformance.trellis2_networks import sampler

Outputs = dict[str, Tensor]


def face_tokens(geometry: dict) -> FaceTokens:
    tokens = FaceTokens(
        geometry["fov_degrees"],
        geometry["image_size"],
        geometry["patch_size"],
        geometry.get("special_tokens", 5),
        geometry["expand_pixels"],
    )
    assert tokens.per_face == geometry["tokens_per_face"]
    return tokens


def given_parts(coords: Tensor, slices: Tensor, *, has_layout: bool) -> RoomParts:
    """Parts by their rows in a list of tokens."""
    kinds = ["room", "layout"] if has_layout else ["room"]
    rows = slices.tolist()
    kinds += ["asset"] * (len(rows) - len(kinds))
    parts = []
    for index, (kind, (start, stop)) in enumerate(zip(kinds, rows, strict=True)):
        box = index - (2 if has_layout else 1) if kind == "asset" else None
        parts.append(Part(kind, coords[start:stop], box))
    return RoomParts(tuple(parts))


def slices_of(parts: RoomParts) -> Tensor:
    stops = torch.tensor(parts.lengths).cumsum(0)
    return torch.stack([stops - torch.tensor(parts.lengths), stops], 1)


def group_numbers(groups: tuple[tuple[int, ...], ...]) -> Tensor:
    numbers = torch.zeros(sum(map(len, groups)), dtype=torch.int32)
    for number, members in enumerate(groups):
        numbers[list(members)] = number
    return numbers


def parts_from_coarse(case: Case) -> Outputs:
    config = case.config
    mode = config["layout_mode"].replace("no_floor_assets", "floor_perimeter_clean")
    parts = room_parts(
        case.inputs["occupied64"],
        case.inputs["obbs"],
        mode,
        coarse_resolution=config["coarse_resolution"],
        resolution=config["latent_resolution"],
    )
    coords = parts.parts[0].coords
    mask, floor = layout_cells(coords)
    return {
        "coords": torch.nn.functional.pad(parts.coords, (1, 0)),
        "coords32": coords,
        "floor_z": torch.tensor(floor),
        "layout_mask": mask,
        "part_slices": slices_of(parts),
        "valid_boxes": torch.tensor(parts.boxes),
    }


def detail_view_mask(case: Case) -> Outputs:
    config = case.config
    visible, nothing = voxel_view_mask(
        case.inputs["coords"], case.inputs["camera_center"], config["resolution"], config["fov_degrees"]
    )
    return {"visible": visible, "nothing_visible": nothing}


def asset_token_rectangles(case: Case) -> Outputs:
    tokens = face_tokens(case.config)
    rectangles, mask = asset_rectangles(case.inputs["obbs"], case.inputs["camera_center"], tokens)
    return {"rectangles": rectangles, "mask": mask, "fallback": (rectangles < 0).all(-1).all(-1)}


def visibility(case: Case) -> Outputs:
    config = case.config
    seen = asset_visibility(
        case.inputs["obbs"],
        case.inputs["camera_center"],
        fov_deg=config["fov_degrees"],
        image_size=config["image_size"],
        edge_px=config["edge_tolerance"],
    )
    first = (seen.per_face == seen.best[:, None]).int().argmax(1)
    first = torch.where(seen.best > 0, first, -1)
    visible = seen.visible(config["threshold"])
    return {
        "per_face": seen.per_face,
        "visibility": seen.best,
        "visible": visible,
        "visible_indices": visible.nonzero()[:, 0],
        "inside": seen.inside,
        "best_face": torch.where(seen.inside, 6, first),
    }


def asset_groups(case: Case) -> Outputs:
    overlap, groups = overlap_groups(case.inputs["obbs"], case.config["margin"])
    return {"overlap": overlap, "group": group_numbers(groups), "num_groups": torch.tensor(len(groups))}


def case_keys(case: Case) -> tuple[RoomParts, KeySets]:
    config, inputs = case.config, case.inputs
    parts = given_parts(inputs["coords"], inputs["part_slices"], has_layout=config["has_layout"])
    tokens = face_tokens(config["geometry"])
    return parts, intended_keys(parts, inputs["obbs"], inputs["camera_center"], tokens, config["resolution"])


def cross_attention_mask(case: Case) -> Outputs:
    _, keys = case_keys(case)
    groups = overlap_groups(case.inputs["obbs"], case.config["overlap_margin"])[1]
    return {"attend": keys.dense(), "group": group_numbers(groups)}


def cross_attention_published(case: Case) -> Outputs:
    parts, keys = case_keys(case)
    boxes, margin = case.inputs["obbs"], case.config["overlap_margin"]
    groups = overlap_groups(boxes, margin)[1]
    published = published_rows(keys, parts, boxes, margin).dense()
    shared = sum(part.kind != "asset" for part in parts.parts)
    lengths = parts.lengths
    counts = [*lengths[:shared], *(sum(lengths[shared + asset] for asset in members) for members in groups)]
    stops = torch.tensor(counts).cumsum(0)
    return {
        "attend_intended": keys.dense(),
        "attend_published": published,
        "empty_rows": ~published.any(1),
        "wrong_rows": (published != keys.dense()).any(1),
        "group": group_numbers(groups),
        "group_rows": torch.stack([stops - torch.tensor(counts), stops], 1),
    }


def detail_sampler(case: Case) -> Outputs:
    """The toy and the sampler of TRELLIS.2's goldens; arguments that a case leaves out are those of our stages."""
    usual = {"steps": DETAIL_SAMPLER.steps, "guidance_strength": DETAIL_SAMPLER.guidance_strength + 1}
    config = {"sparse": True, "sigma_min": DETAIL_SAMPLER.sigma_min} | case.config
    sampled = sampler(replace(case, config=config | {"params": usual | config["params"]}))
    index = case.inputs["step_index"].long() if "step_index" in case.inputs else slice(None)
    return {
        "samples": sampled["samples"],
        "pred_x_t": sampled["pred_x_t"][index],
        "pred_x_0": sampled["pred_x_0"][index],
        "t_seq": 1000 * sampled["t_seq"][:-1],
        "model_calls": sampled["model_calls"].sum(),
    }


def decode_parts(case: Case) -> Outputs:
    slices, has_layout = case.inputs["part_slices"], case.config["has_layout"]
    coords = torch.zeros(len(case.inputs["shape_feats"]), 4, dtype=torch.int32)
    parts = given_parts(coords[:, 1:], slices, has_layout=has_layout)

    def restored(name: str, statistics: LatentStatistics) -> Tensor:
        return denormalized(SparseTensor(case.inputs[name], coords), statistics).feats

    fewest = case.config["min_tokens"]
    return {
        "shape_denormalised": restored("shape_feats", SHAPE_STATISTICS),
        "tex_denormalised": restored("tex_feats", TEXTURE_STATISTICS),
        "decoded_batch": torch.tensor(decoded_parts(parts, "published_batch", fewest)).int(),
        "decoded_demo": torch.tensor(decoded_parts(parts, "published_demo", fewest)).int(),
        "face_target": torch.tensor([face_budget(part) for part in parts.parts]),
        "asset_file_index": torch.tensor([-1 if part.box is None else part.box for part in parts.parts]),
    }


DETAIL_MODULES = {
    "asset_groups": asset_groups,
    "asset_token_rectangles": asset_token_rectangles,
    "asset_visibility": visibility,
    "detail_cross_attention_mask": cross_attention_mask,
    "detail_cross_attention_published_bug": cross_attention_published,
    "detail_decode_parts": decode_parts,
    "detail_sampler": detail_sampler,
    "detail_view_mask": detail_view_mask,
    "parts_from_coarse": parts_from_coarse,
}
