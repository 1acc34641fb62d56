"""Published weights of TRELLIS.2 (4B, image to PBR object).

Every tensor is stored in half precision, norms included; sizes are exact where the publisher's listing gave them, and
no hash was published that we could verify. The sparse-structure VAE is TRELLIS v1's and is listed there. Files made by
the published training code hold a `rope_phases` buffer, which is recomputed here and therefore ignored.
"""

from typing import Any

from scenewright.weights.record import LatentStatistics, WeightsRecord

__all__ = ["RECORDS", "REPOSITORY", "SHAPE_STATISTICS", "TEXTURE_STATISTICS"]

REPOSITORY = "microsoft/TRELLIS.2-4B"
# fmt: off
SHAPE_STATISTICS = LatentStatistics(
    mean=(
        0.781296, 0.018091, -0.495192, -0.558457, 1.060530, 0.093252, 1.518149, -0.933218,
        -0.732996, 2.604095, -0.118341, -2.143904, 0.495076, -2.179512, -2.130751, -0.996944,
        0.261421, -2.217463, 1.260067, -0.150213, 3.790713, 1.481266, -1.046058, -1.523667,
        -0.059621, 2.220780, 1.621212, 0.877230, 0.567247, -3.175944, -3.186688, 1.578665,
    ),
    std=(
        5.972266, 4.706852, 5.445010, 5.209927, 5.320220, 4.547237, 5.020802, 5.444004,
        5.226681, 5.683095, 4.831436, 5.286469, 5.652043, 5.367606, 5.525084, 4.730578,
        4.805265, 5.124013, 5.530808, 5.619001, 5.103930, 5.417670, 5.269677, 5.547194,
        5.634698, 5.235274, 6.110351, 5.511298, 6.237273, 4.879207, 5.347008, 5.405691,
    ),
)
# fmt: on
# fmt: off
TEXTURE_STATISTICS = LatentStatistics(
    mean=(
        3.501659, 2.212398, 2.226094, 0.251093, -0.026248, -0.687364, 0.439898, -0.928075,
        0.029398, -0.339596, -0.869527, 1.038479, -0.972385, 0.126042, -1.129303, 0.455149,
        -1.209521, 2.069067, 0.544735, 2.569128, -0.323407, 2.293000, -1.925608, -1.217717,
        1.213905, 0.971588, -0.023631, 0.106750, 2.021786, 0.250524, -0.662387, -0.768862,
    ),
    std=(
        2.665652, 2.743913, 2.765121, 2.595319, 3.037293, 2.291316, 2.144656, 2.911822,
        2.969419, 2.501689, 2.154811, 3.163343, 2.621215, 2.381943, 3.186697, 3.021588,
        2.295916, 3.234985, 3.233086, 2.260140, 2.874801, 2.810596, 3.292720, 2.674999,
        2.680878, 2.372054, 2.451546, 2.353556, 2.995195, 2.379849, 2.786195, 2.775190,
    ),
)
# fmt: on
_FLOW: dict[str, Any] = {
    "model_channels": 1536,
    "cond_channels": 1024,
    "num_blocks": 30,
    "num_heads": 12,
    "mlp_ratio": 5.3334,
    "pe_mode": "rope",
    "share_mod": True,
    "initialization": "scaled",
    "qk_rms_norm": True,
    "qk_rms_norm_cross": True,
    "dtype": "bfloat16",
}
_ENCODER: dict[str, Any] = {
    "model_channels": [64, 128, 256, 512, 1024],
    "latent_channels": 32,
    "num_blocks": [0, 4, 8, 16, 4],
    "block_type": ["SparseConvNeXtBlock3d"] * 5,
    "down_block_type": ["SparseResBlockS2C3d"] * 4,
    "use_fp16": True,
}
_DECODER: dict[str, Any] = {
    "model_channels": [1024, 512, 256, 128, 64],
    "latent_channels": 32,
    "num_blocks": [4, 16, 8, 4, 0],
    "block_type": ["SparseConvNeXtBlock3d"] * 5,
    "up_block_type": ["SparseResBlockC2S3d"] * 4,
    "use_fp16": True,
}


def _flow(resolution: int, in_channels: int, out_channels: int) -> dict[str, Any]:
    return {"resolution": resolution, "in_channels": in_channels, "out_channels": out_channels, **_FLOW}


def _record(
    name: str,
    stem: str,
    architecture: str,
    num_parameters: int,
    size_bytes: int | None,
    arguments: dict[str, Any],
    latent: LatentStatistics | None = None,
) -> WeightsRecord:
    return WeightsRecord(
        name=f"trellis2/{name}",
        repository=REPOSITORY,
        file=f"ckpts/{stem}.safetensors",
        architecture=architecture,
        licence="MIT",
        paper="Native and Compact Structured Latents for 3D Generation",
        arguments=arguments,
        size_bytes=size_bytes,
        num_parameters=num_parameters,
        stored_dtype="bf16" if stem.endswith("bf16") else "fp16",
        latent=latent,
        ignore=("rope_phases",),
    )


_ALL = (
    _record(
        "structure_flow",
        "ss_flow_img_dit_1_3B_64_bf16",
        "SparseStructureFlowModel",
        1_292_179_976,
        2_584_426_920,
        _flow(16, 8, 8),
    ),
    _record(
        "shape_flow_512",
        "slat_flow_img2shape_dit_1_3B_512_bf16",
        "SLatFlowModel",
        1_292_253_728,
        2_584_574_424,
        _flow(32, 32, 32),
        SHAPE_STATISTICS,
    ),
    _record(
        "shape_flow_1024",
        "slat_flow_img2shape_dit_1_3B_1024_bf16",
        "SLatFlowModel",
        1_292_253_728,
        2_584_574_424,
        _flow(64, 32, 32),
        SHAPE_STATISTICS,
    ),
    _record(
        "texture_flow_512",
        "slat_flow_imgshape2tex_dit_1_3B_512_bf16",
        "SLatFlowModel",
        1_292_302_880,
        2_584_672_728,
        _flow(32, 64, 32),
        TEXTURE_STATISTICS,
    ),
    _record(
        "texture_flow_1024",
        "slat_flow_imgshape2tex_dit_1_3B_1024_bf16",
        "SLatFlowModel",
        1_292_302_880,
        2_584_672_728,
        _flow(32, 64, 32),
        TEXTURE_STATISTICS,
    ),
    _record(
        "shape_encoder",
        "shape_enc_next_dc_f16c32_fp16",
        "FlexiDualGridVaeEncoder",
        354_385_392,
        None,
        _ENCODER,
        SHAPE_STATISTICS,
    ),
    _record(
        "shape_decoder",
        "shape_dec_next_dc_f16c32_fp16",
        "FlexiDualGridVaeDecoder",
        474_231_463,
        948_490_494,
        {"resolution": 256, **_DECODER},
        SHAPE_STATISTICS,
    ),
    _record(
        "texture_encoder",
        "tex_enc_next_dc_f16c32_fp16",
        "SparseUnetVaeEncoder",
        354_385_392,
        None,
        {"in_channels": 6, **_ENCODER},
        TEXTURE_STATISTICS,
    ),
    _record(
        "texture_decoder",
        "tex_dec_next_dc_f16c32_fp16",
        "SparseUnetVaeDecoder",
        474_216_006,
        948_458_812,
        {"out_channels": 6, "pred_subdiv": False, **_DECODER},
        TEXTURE_STATISTICS,
    ),
)
RECORDS: dict[str, WeightsRecord] = {record.name: record for record in _ALL}
