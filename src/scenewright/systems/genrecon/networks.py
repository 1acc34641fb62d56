"""The networks of GenRecon from a folder: its three flows, and decoders and encoder of TRELLIS.2.

The folder holds `sparse_structure`, `shape_slat` and `texture_slat`, as published (.pt) or converted (.safetensors);
networks of one's own have a `<stem>.json` (`{"name": class, "args": sizes}`) beside each. Decoders, encoder and
statistics of the latents come from `trellis2` in that folder where it is there, else from the published repository.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scenewright.backbones.structure_vae import StructureDecoder
from scenewright.backbones.trellis2.pretrained import (
    SHAPE_DECODER,
    STRUCTURE_DECODER,
    TEXTURE_DECODER,
    trellis2_networks,
)
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder
from scenewright.backbones.trellis2.texture_vae import TextureDecoder
from scenewright.backbones.trellis2.weights import REPOSITORY
from scenewright.encoders.weights import load_named_dinov3
from scenewright.errors import WeightsError
from scenewright.systems.genrecon.flow import ProjectedLatentFlow, ProjectedStructureFlow
from scenewright.systems.genrecon.pretrained import convert, flow_config, load_latent_flow, load_structure_flow
from scenewright.systems.genrecon.weights import RECORDS
from scenewright.weights.config import read_config
from scenewright.weights.hub import sha256_of
from scenewright.weights.record import WeightsRecord
from scenewright.weights.source import WeightsSource

__all__ = ["FLOW_STEMS", "FolderNetworks"]

FLOW_STEMS = ("sparse_structure", "shape_slat", "texture_slat")
_DECODERS = (STRUCTURE_DECODER, SHAPE_DECODER, TEXTURE_DECODER)


class FolderNetworks:
    """A `SceneNetworks` of files; one network is in memory at a time.

    Args:
        dtype: of the flows' blocks; None is bfloat16 on CUDA and float32 elsewhere.
        report: called with one line per network that is being loaded.

    Raises:
        WeightsError: the folder is not there, or a file is missing, damaged, or not what was published.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        offline: bool = False,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.folder, self.device = Path(folder).expanduser(), torch.device(device)
        if not self.folder.is_dir():
            raise WeightsError(
                f"GenRecon's weights folder '{self.folder}' does not exist; download {', '.join(FLOW_STEMS)} (.pt) "
                "from the links in GenRecon's README into a folder and give it."
            )
        self._dtype = dtype or (torch.bfloat16 if self.device.type == "cuda" else torch.float32)
        self._report = report or (lambda line: None)
        beside = self.folder / "trellis2"
        source = str(beside) if beside.is_dir() else REPOSITORY
        self._trellis2 = trellis2_networks(WeightsSource(source, offline, self._report), device=device)
        self.shape_statistics = self._trellis2.statistics("shape")
        self.texture_statistics = self._trellis2.statistics("texture")
        self._records = {stem: _record(self.folder, stem) for stem in FLOW_STEMS}
        self.latent_resolution = flow_config(self._records["shape_slat"]).resolution

    def encoder(self) -> nn.Module:
        self._report("Loading image_encoder")
        return load_named_dinov3(self._trellis2.image_encoder, self._trellis2.source, device=self.device)[0]

    def structure_flow(self) -> ProjectedStructureFlow:
        self._report("Loading sparse_structure")
        return load_structure_flow(
            self.folder, device=self.device, dtype=self._dtype, record=self._records["sparse_structure"]
        )

    def structure_decoder(self) -> StructureDecoder:
        return self._trellis2.load(STRUCTURE_DECODER)

    def shape_flow(self) -> ProjectedLatentFlow:
        return self._latent_flow("shape_slat")

    def texture_flow(self) -> ProjectedLatentFlow:
        return self._latent_flow("texture_slat")

    def shape_decoder(self) -> ShapeDecoder:
        return self._trellis2.load(SHAPE_DECODER)

    def texture_decoder(self) -> TextureDecoder:
        return self._trellis2.load(TEXTURE_DECODER)

    def weights_sha256(self) -> Mapping[str, str]:
        """Hash of every file; published flows are converted first, so that later runs read the same files."""
        files = {stem: convert(record, self.folder) for stem, record in self._records.items()}
        files |= {key.name: self._trellis2.weights_file(key) for key in _DECODERS}
        return {name: sha256_of(path) for name, path in files.items()}

    def _latent_flow(self, stem: str) -> ProjectedLatentFlow:
        self._report(f"Loading {stem}")
        return load_latent_flow(self._records[stem], self.folder, device=self.device, dtype=self._dtype)


def _record(folder: Path, stem: str) -> WeightsRecord:
    """The published record, or one of the sizes beside the file."""
    known = RECORDS[f"genrecon/{stem}"]
    path = folder / f"{stem}.json"
    if not path.is_file():
        return known
    name, arguments = read_config(path)
    own: dict[str, Any] = {"arguments": arguments, "architecture": name}
    return WeightsRecord(
        name=known.name,
        repository=str(folder),
        file=known.file,
        licence="",
        paper=known.paper,
        ignore=known.ignore,
        **own,
    )
