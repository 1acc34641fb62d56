"""Published weights of SceneGen: its structure flow; everything else in its repository is TRELLIS-image-large's.

The flow is a plain state dict in a `.pt` file that mixes fp16 and fp32. Its constructor arguments come from a
third-party loader of the same file, not from the publisher's JSON.
"""

from scenewright.weights.record import WeightsRecord

__all__ = ["RECORDS", "REPOSITORY"]

REPOSITORY = "haoningwu/SceneGen"

_FLOW = WeightsRecord(
    name="scenegen/structure_flow",
    repository=REPOSITORY,
    file="ckpts/ss_scenegen_flow_img_dit_L_16l8_fp16.pt",
    architecture="SparseStructureFlowModel",
    licence="MIT",
    paper="SceneGen (3DV 2026)",
    arguments={
        "resolution": 16,
        "in_channels": 8,
        "out_channels": 8,
        "model_channels": 1024,
        "cond_channels": 1024,
        "num_blocks": 24,
        "num_heads": 16,
        "mlp_ratio": 4,
        "patch_size": 1,
        "pe_mode": "ape",
        "qk_rms_norm": True,
        "use_fp16": True,
        "use_checkpoint": False,
        "use_global": True,
        "trunk_depth": 4,
        "num_iteration": 4,
        "use_batch_encoder": False,
    },
    num_parameters=908_802_584,
    stored_dtype="fp16 and fp32",
)
RECORDS: dict[str, WeightsRecord] = {_FLOW.name: _FLOW}
