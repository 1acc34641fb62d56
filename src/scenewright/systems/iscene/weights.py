"""Published weights of I-Scene: a package of a structure flow (and a copy of DINOv2) described by a YAML file.

`iscene_config.json` in the repository names the configuration (`config.yml`) and the checkpoint paths, which are those
of the records here. Decoders and the latent flow are TRELLIS-image-large's.
"""

from scenewright.weights.record import WeightsRecord, imagenet_statistics

__all__ = ["PACKAGE_FILE", "RECORDS", "REPOSITORY"]

REPOSITORY = "LuLing/IScene"
PACKAGE_FILE = "iscene_config.json"

_FLOW = WeightsRecord(
    name="iscene/structure_flow",
    repository=REPOSITORY,
    file="ckpts/iscene_denoiser.pt",
    architecture="SparseStructureSceneContextFlowModel",
    licence="MIT",
    paper="I-Scene (CVPR 2026)",
    arguments={"scene_context_attn_num": 5},
    num_parameters=555_543_560,
)
_CONDITIONER = WeightsRecord(
    name="iscene/image_conditioner",
    repository=REPOSITORY,
    file="ckpts/iscene_image_conditioner.pt",
    architecture="Dinov2WithRegistersModel",
    licence="MIT",
    paper="I-Scene (CVPR 2026)",
    num_parameters=304_372_736,
    image=imagenet_statistics(518),
)
RECORDS: dict[str, WeightsRecord] = {record.name: record for record in (_FLOW, _CONDITIONER)}
