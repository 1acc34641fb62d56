"""Prompts in, masks out, on a small SAM 2 with random weights: geometry, forms and messages, not quality."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image

from scenewright.encoders.masks import find_masks
from scenewright.encoders.masks.prompts import MaskPrompts, read_prompts
from scenewright.encoders.masks.sam import Segmenter, _whole_objects, load_segmenter
from scenewright.errors import InputError, WeightsError

if TYPE_CHECKING:
    from transformers import Sam2Model

TINY = {
    "vision_config": {
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": 12,
            "image_size": [128, 128],
            "blocks_per_stage": [1, 1, 2, 1],
            "embed_dim_per_stage": [12, 24, 48, 96],
            "num_attention_heads_per_stage": [1, 1, 2, 2],
            "global_attention_blocks": [3],
        },
        "backbone_channel_list": [96, 48, 24, 12],
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 32,
    },
    "prompt_encoder_config": {"hidden_size": 32, "image_size": 128, "mask_input_channels": 8},
    "mask_decoder_config": {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 4, "iou_head_hidden_dim": 16},
}
TINY_SAM3 = {
    "vision_config": {
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 112,
            "window_size": 4,
            "global_attn_indexes": [1],
            "pretrain_image_size": 56,
        },
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 32,
    },
    "prompt_encoder_config": {"hidden_size": 32, "image_size": 112, "mask_input_channels": 8},
    "mask_decoder_config": TINY["mask_decoder_config"],
}


@pytest.fixture(scope="module")
def network() -> "Sam2Model":
    # Takes seconds, which processes that run other tests need not spend.
    from transformers import Sam2Config, Sam2Model

    torch.manual_seed(0)
    model = Sam2Model(Sam2Config(**TINY)).eval()
    with torch.no_grad():  # the released initialisation gives logits near zero everywhere
        for parameter in model.mask_decoder.parameters():
            parameter.mul_(6)
    return model


@pytest.fixture(scope="module")
def image() -> Image.Image:
    pixels = torch.randint(0, 256, (60, 90, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


PROMPTS = MaskPrompts(
    boxes=((5, 5, 40, 50),), points=(((60, 30, True),), ((20, 20, True), (80, 50, False))), names=("sofa", "lamp")
)


def test_masks_have_the_size_of_the_picture(network: "Sam2Model", image: Image.Image) -> None:
    masks = Segmenter(network).from_prompts(image, PROMPTS)
    assert masks.masks.shape[1:] == (60, 90)
    assert set(masks.names) <= {"sofa", "lamp", "object_3"}


@torch.no_grad()
def test_boxes_are_scaled_to_the_network(network: "Sam2Model", image: Image.Image) -> None:
    segmenter = Segmenter(network)
    embeddings = segmenter._embed(image)
    corners = torch.tensor([[[5 * 128 / 90, 5 * 128 / 60, 40 * 128 / 90, 50 * 128 / 60]]])
    logits = network(image_embeddings=list(embeddings), input_boxes=corners, multimask_output=False).pred_masks
    expected = torch.nn.functional.interpolate(logits[0], (60, 90), mode="bilinear", align_corners=False)[0, 0] > 0
    found = segmenter.from_prompts(image, MaskPrompts(boxes=PROMPTS.boxes))
    assert torch.equal(found.masks[0], expected)


def test_sam3_takes_the_same_prompts(image: Image.Image) -> None:
    from transformers import Sam3TrackerConfig, Sam3TrackerModel

    torch.manual_seed(0)
    segmenter = Segmenter(Sam3TrackerModel(Sam3TrackerConfig(**TINY_SAM3)))
    embeddings = segmenter._embed(image)
    assert [tuple(level.shape[-2:]) for level in embeddings] == [(32, 32), (16, 16), (8, 8)]
    logits, scores = segmenter._predict(embeddings, is_several=True, input_points=torch.rand(1, 3, 1, 2) * 112)
    assert logits.shape == (3, 3, 32, 32)
    assert scores.shape == (3, 3)


def test_whole_objects_absorb_their_parts() -> None:
    masks = torch.zeros(4, 20, 20, dtype=torch.bool)
    masks[0, 2:10, 2:10] = True
    masks[1, 3:5, 3:5] = True  # part of the first
    masks[2, 2:10, 2:10] = True  # the first again, with a better score
    masks[3, 12:18, 8:18] = True
    assert _whole_objects(masks, torch.tensor([0.85, 0.99, 0.95, 0.9])) == [2, 3]


def test_everything_says_when_it_finds_nothing(network: "Sam2Model", image: Image.Image) -> None:
    # Random weights are never confident and stable at once.
    with pytest.raises(InputError, match="no usable object mask in the automatic segmentation"):
        Segmenter(network).everything(image, grid_side=3)


def test_segmenter_loads_from_a_folder(network: "Sam2Model", image: Image.Image, tmp_path: Path) -> None:
    network.save_pretrained(tmp_path)
    loaded = load_segmenter(tmp_path).from_prompts(image, PROMPTS)
    assert torch.equal(loaded.masks, Segmenter(network).from_prompts(image, PROMPTS).masks)


def test_missing_or_foreign_networks_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"Expected 'config\.json' in the folder"):
        load_segmenter(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(WeightsError, match=r"Expected SAM 2 or SAM 3 at .*, got a network of kind 'bert'"):
        load_segmenter(tmp_path)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (MaskPrompts(), "at least one box or point"),
        (MaskPrompts(boxes=((5, 5, 5, 20),)), r"Box 1 \[5, 5, 5, 20\] covers nothing of a picture of 90x60"),
        (MaskPrompts(boxes=((95, 5, 120, 20),)), "covers nothing"),
        (MaskPrompts(points=(((90, 5, True),),)), "a point outside of 90x60"),
        (MaskPrompts(points=(((10, 5, False),),)), "no point on it"),
    ],
)
def test_prompts_outside_the_picture(prompts: MaskPrompts, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prompts.checked(60, 90)


def test_prompt_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(
        json.dumps(
            {"boxes": [[5, 5, 40, 50]], "points": [[[60, 30]], [[20, 20, 1], [80, 50, 0]]], "names": ["sofa", "lamp"]}
        )
    )
    prompts = read_prompts(path)
    assert prompts == PROMPTS
    assert [prompts.name(index) for index in range(3)] == ["sofa", "lamp", "object_3"]


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"boxes": [[1, 2, 3]]}', '{"points": [[["a", 2]]]}', '{"points": [[[2]]]}']
)
def test_damaged_prompt_files(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"prompts\.json"):
        read_prompts(path)
    with pytest.raises(InputError, match="does not exist"):
        read_prompts(tmp_path / "other.json")


def test_find_masks_takes_files_prompts_and_auto(network: "Sam2Model", image: Image.Image, tmp_path: Path) -> None:
    network.save_pretrained(tmp_path / "sam")
    (tmp_path / "prompts.json").write_text(json.dumps({"boxes": [[5, 5, 40, 50]]}))
    marked = find_masks(image, tmp_path / "prompts.json", segmenter=tmp_path / "sam")
    assert torch.equal(marked.masks, Segmenter(network).from_prompts(image, MaskPrompts(boxes=PROMPTS.boxes)).masks)
    label = Image.new("L", image.size)
    label.paste(1, (5, 5, 40, 50))
    label.save(tmp_path / "labels.png")
    assert int(find_masks(image, tmp_path / "labels.png").masks.sum()) == 35 * 45
    with pytest.raises(InputError, match="automatic segmentation"):
        find_masks(image, "auto", segmenter=tmp_path / "sam")


def test_prompts_are_checked_before_the_network_is_read(image: Image.Image, tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text(json.dumps({"boxes": [[500, 5, 600, 50]]}))
    with pytest.raises(InputError, match="covers nothing"):
        find_masks(image, tmp_path / "prompts.json", segmenter=tmp_path / "nowhere")
