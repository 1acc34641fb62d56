"""Published weights of InSpace: averaged state dicts in fp32, without configurations beside them.

File names carry a training step that is not fixed, so these records list folders; `pretrained` looks for the highest.
The repository's licence is MIT; its README adds that two of the renderers it runs with make the whole for
non-commercial research only. We use neither renderer, but treat the weights as not cleared for commercial use.
"""

from scenewright.weights.record import WeightsRecord

__all__ = ["FOLDERS", "RECORDS", "REPOSITORY"]

REPOSITORY = "GwanHyeong/InSpace"
FOLDERS = {
    "structure_flow": "erp_ss_flow_img_dit_L_16l8_bf16_spatial",
    "box_network": "bbox_centerpoint",
    "shape_flow": "erp_slat_flow_img2shape_asset_aware_bf16",
    "texture_flow": "erp_slat_flow_imgshape2tex_asset_aware_bf16",
}
_NETWORKS = {
    "structure_flow": ("SparseStructureFlowModel", 1_292_179_976),
    "box_network": ("BBoxCenterPoint", 12_451_839),
    "shape_flow": ("ElasticSLatFlowModel", 1_294_631_456),
    "texture_flow": ("ElasticSLatFlowModel", 1_294_680_608),
}
RECORDS: dict[str, WeightsRecord] = {
    f"inspace/{name}": WeightsRecord(
        name=f"inspace/{name}",
        repository=REPOSITORY,
        file=f"ckpts/{FOLDERS[name]}/ckpts/*.pt",
        architecture=architecture,
        licence="MIT (README: non-commercial research)",
        paper="InSpace (ECCV 2026)",
        num_parameters=num_parameters,
        stored_dtype="fp32",
        is_non_commercial=True,
    )
    for name, (architecture, num_parameters) in _NETWORKS.items()
}
