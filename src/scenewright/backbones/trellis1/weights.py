"""Published weights of TRELLIS v1 (image and text models).

The image repository was inventoried at its commit 25e0d31f: sizes and hashes are of that commit. Torso layers are
stored in fp16, everything else in fp32; any of them loads into any dtype. The published names are kept as they are,
so no rename table is needed.
"""

from typing import Any

from scenewright.weights.record import LatentStatistics, WeightsRecord

__all__ = ["IMAGE_REPOSITORY", "RECORDS", "SLAT_STATISTICS"]

IMAGE_REPOSITORY = "microsoft/TRELLIS-image-large"
_PAPER = "arXiv:2412.01506"
_STORED = "fp16 torso, fp32 rest"

# fmt: off
SLAT_STATISTICS = LatentStatistics(
    mean=(
        -2.1687545776367188, -0.004347046371549368, -0.13352349400520325, -0.08418072760105133,
        -0.5271206498146057, 0.7238689064979553, -1.1414450407028198, 1.2039363384246826,
    ),
    std=(
        2.377650737762451, 2.386378288269043, 2.124418020248413, 2.1748552322387695,
        2.663944721221924, 2.371192216873169, 2.6217446327209473, 2.684523105621338,
    ),
)
# fmt: on
_STRUCTURE_VAE: dict[str, Any] = {"latent_channels": 8, "num_res_blocks": 2, "num_res_blocks_middle": 2}
_SWIN_TRUNK: dict[str, Any] = {
    "resolution": 64,
    "model_channels": 768,
    "latent_channels": 8,
    "num_blocks": 12,
    "num_heads": 12,
    "mlp_ratio": 4,
    "attn_mode": "swin",
    "window_size": 8,
    "use_fp16": True,
}
_GAUSSIAN_REPRESENTATION: dict[str, Any] = {
    "lr": {"_xyz": 1.0, "_features_dc": 1.0, "_opacity": 1.0, "_scaling": 1.0, "_rotation": 0.1},
    "perturb_offset": True,
    "voxel_size": 1.5,
    "num_gaussians": 32,
    "2d_filter_kernel_size": 0.1,
    "3d_filter_kernel_size": 9e-4,
    "scaling_bias": 4e-3,
    "opacity_bias": 0.1,
    "scaling_activation": "softplus",
}


def _flow(channels: int, num_blocks: int, num_heads: int, cond_channels: int, **extra: Any) -> dict[str, Any]:
    return {
        "in_channels": 8,
        "out_channels": 8,
        "model_channels": channels,
        "cond_channels": cond_channels,
        "num_blocks": num_blocks,
        "num_heads": num_heads,
        "mlp_ratio": 4,
        "pe_mode": "ape",
        "qk_rms_norm": True,
        "use_fp16": True,
        **extra,
    }


def _structure_flow(*size: int, **extra: Any) -> dict[str, Any]:
    return _flow(*size, resolution=16, patch_size=1, **extra)


def _slat_flow(*size: int, num_io_res_blocks: int = 2, io_block_channels: int = 128) -> dict[str, Any]:
    return _flow(
        *size,
        resolution=64,
        patch_size=2,
        num_io_res_blocks=num_io_res_blocks,
        io_block_channels=[io_block_channels],
    )


def _record(
    name: str,
    stem: str,
    architecture: str,
    num_parameters: int,
    arguments: dict[str, Any],
    *,
    repository: str = IMAGE_REPOSITORY,
    size_bytes: int | None = None,
    sha256: str | None = None,
) -> WeightsRecord:
    return WeightsRecord(
        name=f"trellis1/{name}",
        repository=repository,
        file=f"ckpts/{stem}.safetensors",
        architecture=architecture,
        licence="MIT",
        paper=_PAPER,
        arguments=arguments,
        sha256=sha256,
        size_bytes=size_bytes,
        num_parameters=num_parameters,
        stored_dtype=_STORED,
        latent=SLAT_STATISTICS if architecture.startswith("SLat") else None,
    )


_ALL = (
    _record(
        "structure_encoder",
        "ss_enc_conv3d_16l8_fp16",
        "SparseStructureEncoder",
        59_298_192,
        {"in_channels": 1, **_STRUCTURE_VAE, "channels": [32, 128, 512], "use_fp16": True},
        size_bytes=119_068_016,
        sha256="107874eeaa0feb82f51b19db5da7db534fb7e7f19e5a122b9ff1bc2e258bfc6d",
    ),
    _record(
        "structure_decoder",
        "ss_dec_conv3d_16l8_fp16",
        "SparseStructureDecoder",
        73_671_201,
        {"out_channels": 1, **_STRUCTURE_VAE, "channels": [512, 128, 32], "use_fp16": True},
        size_bytes=147_591_972,
        sha256="1c76d4a40519aa2d711cc263a8404105231ac26db31d946bed48b84fee79009a",
    ),
    _record(
        "structure_flow",
        "ss_flow_img_dit_L_16l8_fp16",
        "SparseStructureFlowModel",
        555_543_560,
        _structure_flow(1024, 24, 16, 1024),
        size_bytes=1_130_770_840,
        sha256="96dc6bfd4136fd950af564dd16b4ae533c9ba6af8f26c670646b2a9f2789b1db",
    ),
    _record(
        "slat_flow",
        "slat_flow_img_dit_L_64l8p2_fp16",
        "SLatFlowModel",
        600_432_520,
        _slat_flow(1024, 24, 16, 1024),
        size_bytes=1_203_755_136,
        sha256="693fb2a58ad497bd222007301eeec49d14d60f8c12d2f2f00c221fa747b4c66c",
    ),
    _record(
        "slat_encoder",
        "slat_enc_swin8_B_64l8_fp16",
        "SLatEncoder",
        85_817_104,
        {"in_channels": 1024, **_SWIN_TRUNK},
        size_bytes=173_242_816,
        sha256="21dceac6bee917ab6458ff52c9757ba89a779d03031c7bd17f9e7f0103bfd436",
    ),
    _record(
        "gaussian_decoder",
        "slat_dec_gs_swin8_B_64l8gs32_fp16",
        "SLatGaussianDecoder",
        85_369_024,
        {**_SWIN_TRUNK, "representation_config": _GAUSSIAN_REPRESENTATION},
        size_bytes=171_450_952,
        sha256="38c84bcef5ce0af1f48b1b5558dabc7575a13346043c41a7e0610f1fa619a161",
    ),
    _record(
        "mesh_decoder",
        "slat_dec_mesh_swin8_B_64l8m256c_fp16",
        "SLatMeshDecoder",
        90_926_693,
        {**_SWIN_TRUNK, "representation_config": {"use_color": True}},
        size_bytes=181_903_412,
        sha256="3e87aba94b5786407eb06d0502c1ed0885a0027a3f2b8537bfe15b0a92c01859",
    ),
    _record(
        "radiance_field_decoder",
        "slat_dec_rf_swin8_B_64l8r16_fp16",
        "SLatRadianceFieldDecoder",
        85_369_024,
        {**_SWIN_TRUNK, "representation_config": {"rank": 16, "dim": 8}},
        size_bytes=171_450_488,
        sha256="737da6578d01948016b7c39786113af0d64a46f7922f6b8b5e698b84643be514",
    ),
    _record(
        "text_base_structure_flow",
        "ss_flow_txt_dit_B_16l8_fp16",
        "SparseStructureFlowModel",
        156_726_536,
        _structure_flow(768, 12, 12, 768),
        repository="microsoft/TRELLIS-text-base",
    ),
    _record(
        "text_base_slat_flow",
        "slat_flow_txt_dit_B_64l8p2_fp16",
        "SLatFlowModel",
        185_364_616,
        _slat_flow(768, 12, 12, 768),
        repository="microsoft/TRELLIS-text-base",
    ),
    _record(
        "text_large_structure_flow",
        "ss_flow_txt_dit_L_16l8_fp16",
        "SparseStructureFlowModel",
        542_960_648,
        _structure_flow(1024, 24, 16, 768),
        repository="microsoft/TRELLIS-text-large",
    ),
    _record(
        "text_large_slat_flow",
        "slat_flow_txt_dit_L_64l8p2_fp16",
        "SLatFlowModel",
        587_849_608,
        _slat_flow(1024, 24, 16, 768),
        repository="microsoft/TRELLIS-text-large",
    ),
    _record(
        "text_xlarge_structure_flow",
        "ss_flow_txt_dit_XL_16l8_fp16",
        "SparseStructureFlowModel",
        975_440_648,
        _structure_flow(1280, 28, 16, 768, qk_rms_norm_cross=True),
        repository="microsoft/TRELLIS-text-xlarge",
    ),
    _record(
        "text_xlarge_slat_flow",
        "slat_flow_txt_dit_XL_64l8p2_fp16",
        "SLatFlowModel",
        1_073_414_408,
        _slat_flow(1280, 28, 16, 768, num_io_res_blocks=3, io_block_channels=256),
        repository="microsoft/TRELLIS-text-xlarge",
    ),
)
RECORDS: dict[str, WeightsRecord] = {record.name: record for record in _ALL}
