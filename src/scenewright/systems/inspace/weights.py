"""Published weights of InSpace: EMA state dicts on the hub without configurations; only folders and sizes are public.

File names inside `ckpts/` are not known, so these records list the folders; the loader inspects what it finds there.
"""

from scenewright.weights.record import WeightsRecord

__all__ = ["RECORDS", "REPOSITORY"]

REPOSITORY = "GwanHyeong/InSpace"


def _record(name: str, folder: str) -> WeightsRecord:
    return WeightsRecord(
        name=f"inspace/{name}",
        repository=REPOSITORY,
        file=f"{folder}/ckpts/*.pt",
        architecture="unpublished",
        licence="MIT",
        paper="InSpace (ECCV 2026)",
        stored_dtype="fp32 (from the size)",
    )


_ALL = (
    _record("structure_flow", "erp_ss_flow_img_dit_L_16l8_bf16_spatial"),
    _record("box_head", "bbox_centerpoint"),
    _record("shape_flow", "erp_slat_flow_img2shape_asset_aware_bf16"),
    _record("texture_flow", "erp_slat_flow_imgshape2tex_asset_aware_bf16"),
)
RECORDS: dict[str, WeightsRecord] = {record.name: record for record in _ALL}
