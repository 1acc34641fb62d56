"""Published weights of GenRecon: three flows with their TRELLIS.2 base, adapters and aggregator in one flat file each.

They are served by the authors' university, not by the hub: download them once and give the folder. Decoders are those
of TRELLIS.2 and the TRELLIS v1 sparse-structure decoder. The structure file also holds `rope_phases`, recomputed here.
"""

from typing import Any

from scenewright.weights.record import WeightsRecord

__all__ = ["RECORDS"]

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
}


def _record(
    name: str,
    architecture: str,
    channels: tuple[int, int],
    num_parameters: int,
    size_bytes: int,
    sha256: str,
    resolution: int,
    stored_dtype: str,
) -> WeightsRecord:
    return WeightsRecord(
        name=f"genrecon/{name}",
        repository="GenRecon authors' server",
        file=f"{name}.pt",
        architecture=architecture,
        licence="MIT",
        paper="arXiv:2605.23888",
        arguments={"resolution": resolution, "in_channels": channels[0], "out_channels": channels[1], **_FLOW},
        sha256=sha256,
        size_bytes=size_bytes,
        num_parameters=num_parameters,
        stored_dtype=stored_dtype,
        ignore=("rope_phases",),
        url="the links in GenRecon's README",
    )


_ALL = (
    _record(
        "sparse_structure",
        "SparseStructureFlowModel",
        (8, 8),
        1_352_475_145,
        2_862_971_400,
        "e18c1caddb2357dbf5839f0f7e1569c50d855fcb47e0871483d99c91a14e2bb7",
        16,
        "bf16 blocks, fp32 rest",
    ),
    _record(
        "shape_slat",
        "ElasticSLatFlowModel",
        (32, 32),
        1_352_548_897,
        5_410_532_174,
        "d9e13be151a213bf67565d2a17341fe97328e455814fb2328a59366344e122fb",
        32,
        "fp32",
    ),
    _record(
        "texture_slat",
        "ElasticSLatFlowModel",
        (64, 32),
        1_352_598_049,
        5_410_728_782,
        "28f99217a4fbcd04f36a5f576905975ae8b874ad63548d6ab8afdb96cf03ed47",
        32,
        "fp32",
    ),
)
RECORDS: dict[str, WeightsRecord] = {record.name: record for record in _ALL}
