"""Published weights of the image encoders: DINOv2 (TRELLIS v1), DINOv3 (TRELLIS.2) and VGGT (SceneGen).

Torch-hub DINOv2 and the hub repository named here hold the same network; the hub files carry no hash we could verify.
"""

from scenewright.weights.record import WeightsRecord, imagenet_statistics

__all__ = ["RECORDS"]

_ALL = (
    WeightsRecord(
        name="encoders/dinov2",
        repository="facebook/dinov2-with-registers-large",
        file="model.safetensors",
        architecture="Dinov2WithRegistersModel",
        licence="Apache-2.0",
        paper="arXiv:2304.07193, arXiv:2309.16588",
        num_parameters=304_372_736,
        stored_dtype="fp32",
        image=imagenet_statistics(518),
    ),
    WeightsRecord(
        name="encoders/dinov3",
        repository="facebook/dinov3-vitl16-pretrain-lvd1689m",
        file="model.safetensors",
        architecture="DINOv3ViTModel",
        licence="DINOv3 License",
        paper="arXiv:2508.10104",
        num_parameters=303_129_600,
        stored_dtype="fp32",
        image=imagenet_statistics(512),
        is_gated=True,
    ),
    WeightsRecord(
        name="encoders/vggt",
        repository="facebook/VGGT-1B",
        revision="860abec7937da0a4c03c41d3c269c366e82abdf9",
        file="model.safetensors",
        architecture="VGGT",
        licence="CC-BY-NC-4.0",
        paper="arXiv:2503.11651",
        stored_dtype="fp32",
        image=imagenet_statistics(518),
        ignore=("camera_head.*", "depth_head.*", "point_head.*", "track_head.*"),
        is_non_commercial=True,
    ),
)
RECORDS: dict[str, WeightsRecord] = {record.name: record for record in _ALL}
