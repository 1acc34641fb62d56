"""Published weights of I-Scene: a package of a structure flow (and a copy of DINOv2) described by a YAML file.

`iscene_config.json` in the repository names the YAML configuration and the checkpoint paths; the file name here is
the expected one, to be confirmed by that file. Decoders and the latent flow are TRELLIS-image-large's.
"""

from scenewright.weights.record import WeightsRecord

__all__ = ["PACKAGE_FILE", "RECORDS", "REPOSITORY"]

REPOSITORY = "LuLing/IScene"
PACKAGE_FILE = "iscene_config.json"

_FLOW = WeightsRecord(
    name="iscene/structure_flow",
    repository=REPOSITORY,
    file="ckpts/denoiser.pt",
    architecture="SparseStructureSceneContextFlowModel",
    licence="MIT",
    paper="I-Scene (CVPR 2026)",
    arguments={"scene_context_attn_num": 5},
)
RECORDS: dict[str, WeightsRecord] = {_FLOW.name: _FLOW}
