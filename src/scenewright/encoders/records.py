"""Published weights of the image encoders; apart from the loading code, so that listing them imports no network."""

from scenewright.weights.keymap import KeyMap
from scenewright.weights.record import ImageStatistics, WeightsRecord, imagenet_statistics

__all__ = [
    "CUT_OUT",
    "DEPTH_ANYTHING_METRIC",
    "DEPTH_ANYTHING_RELATIVE",
    "DINOV2_VITL14_REG",
    "DINOV3_VITL16",
    "RECORDS",
    "SAM2_LARGE",
    "SAM3",
    "SMALL_DISTANCE",
    "VGGT_1B",
]

DINOV2_VITL14_REG = WeightsRecord(
    name="dinov2-vitl14-reg",
    repository="facebook/dinov2-with-registers-large",
    file="model.safetensors",
    architecture="Dinov2WithRegistersModel",
    licence="Apache-2.0",
    paper="arXiv:2309.16588",
    num_parameters=304_372_736,
    stored_dtype="float32",
    image=imagenet_statistics(518),
    url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_reg4_pretrain.pth",
)
DINOV3_VITL16 = WeightsRecord(
    name="dinov3-vitl16",
    repository="facebook/dinov3-vitl16-pretrain-lvd1689m",
    file="model.safetensors",
    architecture="DINOv3ViTModel",
    licence="DINOv3 License",
    paper="arXiv:2508.10104",
    num_parameters=303_129_600,
    stored_dtype="float32",
    image=imagenet_statistics(512),
    is_gated=True,
)
VGGT_1B = WeightsRecord(
    name="vggt-1b",
    repository="facebook/VGGT-1B",
    file="model.safetensors",
    architecture="VGGT",
    licence="CC-BY-NC-4.0",
    paper="arXiv:2503.11651",
    num_parameters=909_112_320,  # of the aggregator, the part used here
    stored_dtype="float32",
    image=imagenet_statistics(518),
    keymap=KeyMap({"aggregator.*": "*"}),
    ignore=("camera_head.*", "depth_head.*", "point_head.*", "track_head.*"),
    is_non_commercial=True,
)
CUT_OUT = "cut-out"
"""Name of the segmenter that ships (`masks.cut_out.CutOutSegmenter`), free for any use."""
SMALL_DISTANCE = "small"
"""Name of the network that ships for distances of panoramas (`panorama_distance`), free for any use."""
SAM2_LARGE = WeightsRecord(
    name="sam2.1-hiera-large",
    repository="facebook/sam2.1-hiera-large",
    file="model.safetensors",
    architecture="Sam2Model",
    licence="Apache-2.0",
    paper="arXiv:2408.00714",
    stored_dtype="float32",
    image=imagenet_statistics(1024),
)
SAM3 = WeightsRecord(
    name="sam3",
    repository="facebook/sam3",
    file="model.safetensors",
    architecture="Sam3TrackerModel",
    licence="SAM License",
    paper="arXiv:2511.16719",
    stored_dtype="float32",
    image=ImageStatistics(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), size_px=1008),
    is_gated=True,
)
# Of Depth Anything V2 the small networks are Apache-2.0; the larger relative ones forbid commercial use.
DEPTH_ANYTHING_RELATIVE = WeightsRecord(
    name="depth-anything-v2-small",
    repository="depth-anything/Depth-Anything-V2-Small-hf",
    file="model.safetensors",
    architecture="DepthAnythingForDepthEstimation",
    licence="Apache-2.0",
    paper="arXiv:2406.09414",
    num_parameters=24_785_089,
    stored_dtype="float32",
    image=imagenet_statistics(518),
)
DEPTH_ANYTHING_METRIC = WeightsRecord(
    name="depth-anything-v2-metric-indoor-small",
    repository="depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf",
    file="model.safetensors",
    architecture="DepthAnythingForDepthEstimation",
    licence="Apache-2.0",
    paper="arXiv:2406.09414",
    num_parameters=24_785_089,
    stored_dtype="float32",
    image=imagenet_statistics(518),
)
RECORDS = (
    DINOV2_VITL14_REG,
    DINOV3_VITL16,
    VGGT_1B,
    SAM2_LARGE,
    SAM3,
    DEPTH_ANYTHING_RELATIVE,
    DEPTH_ANYTHING_METRIC,
)
