"""Published flows of GenRecon: read once from their pickled files without running anything, then from safetensors.

The download gives `sparse_structure.pt`, `shape_slat.pt` and `texture_slat.pt`, flat state dicts with base weights,
adapters, aggregator and projections. Converting writes `<stem>.safetensors` beside each, with the hash of the file it
came from; later loads read only that. Loading is strict: a partial file is refused.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.errors import WeightsError
from scenewright.io.atomic import atomic_path
from scenewright.nn.precision import cast_torso
from scenewright.systems.genrecon.flow import ProjectedLatentFlow, ProjectedStructureFlow, merged_adapters
from scenewright.systems.genrecon.weights import RECORDS
from scenewright.weights.checkpoint import open_checkpoint, read_metadata
from scenewright.weights.config import IRRELEVANT_ARGUMENTS, config_from_json
from scenewright.weights.hub import Progress, fetch, sha256_of
from scenewright.weights.load import load_weights
from scenewright.weights.record import WeightsRecord

__all__ = ["convert", "flow_config", "load_latent_flow", "load_structure_flow"]

_SOURCE_HASH = "source_sha256"


def load_structure_flow(
    folder: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    record: WeightsRecord = RECORDS["genrecon/sparse_structure"],
) -> ProjectedStructureFlow:
    """The sparse-structure flow with its adapters merged, in evaluation mode.

    Args:
        folder: holds the published file, or the converted one.
        dtype: of the blocks and projections; the rest stays fp32 as published.

    Raises:
        WeightsError: the file is missing, not the published one, or does not fit.
    """

    def build() -> ProjectedStructureFlow:
        flow = ProjectedStructureFlow(flow_config(record))
        cast_torso(flow.torso, dtype)
        return flow

    path = convert(record, folder)
    return load_weights(build, path, device=device, ignore=record.ignore, view=merged_adapters)


def load_latent_flow(
    record: WeightsRecord,
    folder: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ProjectedLatentFlow:
    """The shape or texture flow of a record; arguments as in `load_structure_flow`."""

    def build() -> ProjectedLatentFlow:
        flow = ProjectedLatentFlow(flow_config(record))
        cast_torso(flow.torso, dtype)
        return flow

    path = convert(record, folder)
    return load_weights(build, path, device=device, ignore=record.ignore, view=merged_adapters)


def flow_config(record: WeightsRecord) -> FlowConfig:
    return config_from_json(FlowConfig, record.arguments, irrelevant=IRRELEVANT_ARGUMENTS)


def convert(record: WeightsRecord, folder: str | Path, *, progress: Progress | None = None) -> Path:
    """The safetensors file of a record in `folder`, made from the published file where it is not there yet.

    Args:
        progress: called with (bytes hashed, bytes in total) while the published file is verified.

    Raises:
        WeightsError: neither file is there, or one is not what was published.
    """
    folder = Path(folder).expanduser()
    target = (folder / record.file).with_suffix(".safetensors")
    if target.is_file():
        made_from = read_metadata(target).get(_SOURCE_HASH)
        if record.sha256 is not None and made_from != record.sha256:
            raise WeightsError(
                f"'{target}' was not made from the published '{record.file}' (recorded hash {made_from}); delete it "
                "and convert the published file again."
            )
        return target
    source = fetch(record, folder, progress=progress)
    with open_checkpoint(source) as checkpoint:
        names = [name for name in checkpoint.shapes if name not in record.ignore]
        tensors = {}
        for name in names:
            tensors[name] = torch.empty(checkpoint.shapes[name], dtype=checkpoint.dtypes[name])
            checkpoint.read_into(name, tensors[name])
    with atomic_path(target) as temporary:
        save_file(tensors, temporary, metadata={_SOURCE_HASH: record.sha256 or sha256_of(source)})
    return target
