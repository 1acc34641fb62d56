"""Pictures to a raw object with TRELLIS v1: encode, sample structure, then as in a scene of one (`Trellis1Decoder`).

Source: microsoft/TRELLIS trellis/pipelines/trellis_image_to_3d.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image

from scenewright.backbones.spec import BackboneSpec
from scenewright.backbones.structure_vae import StructureDecoder, decode_structure
from scenewright.backbones.trellis1 import SPEC
from scenewright.backbones.trellis1.pretrained import STRUCTURE_DECODER, STRUCTURE_FLOW, trellis1_networks
from scenewright.backbones.trellis1.sampling import MultiImage, sample_structure_latent
from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.encoders.dinov2 import Dinov2
from scenewright.encoders.pictures import encode_pictures
from scenewright.encoders.preprocess.crop import BackgroundRemover
from scenewright.encoders.preprocess.trellis1 import prepare_object
from scenewright.encoders.weights import load_named_dinov2
from scenewright.progress import SILENT, Progress
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.assembly.decoding import Draw, RawObject
from scenewright.systems.assembly.trellis1_decoder import Trellis1Decoder
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.weights.source import WeightsSource

__all__ = ["Trellis1Objects"]


@dataclass(frozen=True)
class Trellis1Objects:
    """The networks of the image pipeline; see `ObjectBackbone`. `multi_image` is how several pictures are combined."""

    decoder: Trellis1Decoder
    structure_flow: StructureFlow
    structure_decoder: StructureDecoder
    structure_sampler: SamplerConfig
    encoder: Dinov2
    multi_image: MultiImage = "stochastic"
    spec: BackboneSpec = SPEC

    @property
    def source(self) -> str:
        return self.decoder.source

    @classmethod
    def from_pretrained(
        cls,
        source: WeightsSource,
        *,
        multi_image: MultiImage = "stochastic",
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> "Trellis1Objects":
        """The networks that `pipeline.json` names; see `Trellis1Decoder`."""
        networks = trellis1_networks(source, device=device, dtype=dtype)
        return cls(
            structure_flow=networks.load(STRUCTURE_FLOW),
            structure_decoder=networks.load(STRUCTURE_DECODER),
            structure_sampler=networks.sampler("structure"),
            decoder=Trellis1Decoder.of(networks),
            encoder=load_named_dinov2(networks.image_encoder, source, device=device)[0],
            multi_image=multi_image,
        )

    def prepare(self, picture: Image.Image, remove_background: BackgroundRemover | None = None) -> Image.Image:
        return prepare_object(picture, remove_background=remove_background, size=self.encoder.config.image_size)

    @torch.no_grad()
    def raw_object(
        self,
        pictures: Sequence[Image.Image],
        draw: Draw,
        options: GenerateOptions = DEFAULT,
        *,
        progress: Progress = SILENT,
    ) -> RawObject | None:
        progress.stage("encode")
        tokens = encode_pictures(pictures, self.encoder).to(self.decoder.device)
        latent = sample_structure_latent(
            self.structure_flow,
            tokens,
            self.structure_sampler.overridden(options.sampling),
            draw("structure"),
            multi_image=self.multi_image,
            progress=progress.stage("structure"),
        )
        coords = decode_structure(self.structure_decoder, latent)
        (made,) = self.decoder.objects(
            [coords], tokens[:, None], [draw], options, multi_image=self.multi_image, progress=progress
        )
        return made

    def provenance(self, options: GenerateOptions) -> Mapping[str, Any]:
        return {
            "structure_sampler": asdict(self.structure_sampler.overridden(options.sampling)),
            "slat_sampler": asdict(self.decoder.sampler.overridden(options.sampling)),
            "multi_image": self.multi_image,
        }
