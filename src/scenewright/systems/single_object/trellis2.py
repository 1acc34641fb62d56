"""Picture to a raw object with TRELLIS.2: encode, sample structure, then as in a scene of one (`Trellis2Decoder`).

Source: microsoft/TRELLIS.2 trellis2/pipelines/trellis2_image_to_3d.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image

from scenewright.backbones.spec import BackboneSpec
from scenewright.backbones.structure_vae import decode_structure
from scenewright.backbones.trellis2 import SPEC
from scenewright.backbones.trellis2.pretrained import STRUCTURE_DECODER, STRUCTURE_FLOW
from scenewright.backbones.trellis2.sampling import sample_structure_latent, structure_noise
from scenewright.encoders.preprocess.crop import BackgroundRemover
from scenewright.encoders.preprocess.trellis2 import prepare_object
from scenewright.progress import SILENT, Progress
from scenewright.systems.assembly.decoding import Draw, RawObject
from scenewright.systems.assembly.trellis2_decoder import Trellis2Decoder
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.weights.source import WeightsSource

__all__ = ["Trellis2Objects"]


@dataclass(frozen=True)
class Trellis2Objects:
    """The networks of the image pipeline, loaned from the decoder's; see `ObjectBackbone`."""

    decoder: Trellis2Decoder
    spec: BackboneSpec = SPEC

    @property
    def source(self) -> str:
        return self.decoder.source

    @classmethod
    def from_pretrained(
        cls,
        source: WeightsSource,
        *,
        plan: str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        keep_loaded: bool = False,
    ) -> "Trellis2Objects":
        """The networks that `pipeline.json` names; see `Trellis2Decoder`."""
        return cls(
            Trellis2Decoder.from_pretrained(source, plan=plan, device=device, dtype=dtype, keep_loaded=keep_loaded)
        )

    def prepare(self, picture: Image.Image, remove_background: BackgroundRemover | None = None) -> Image.Image:
        return prepare_object(picture, remove_background=remove_background)

    @torch.no_grad()
    def raw_object(
        self,
        pictures: Sequence[Image.Image],
        draw: Draw,
        options: GenerateOptions = DEFAULT,
        *,
        progress: Progress = SILENT,
    ) -> RawObject | None:
        networks, plan = self.decoder.networks, self.decoder.plan
        tokens = self.decoder.encode(pictures, progress)
        with networks.loaned(STRUCTURE_FLOW) as flow:
            latent = sample_structure_latent(
                flow,
                tokens[512],
                structure_noise(flow, 1, draw("structure")),
                networks.sampler("structure").overridden(options.sampling),
                progress=progress.stage("structure"),
            )
        with networks.loaned(STRUCTURE_DECODER) as decoder:
            coords = decode_structure(decoder, latent, plan.structure_resolution)
        (made,) = self.decoder.objects([coords], tokens, [draw], options, progress=progress)
        return made

    def provenance(self, options: GenerateOptions) -> Mapping[str, Any]:
        sampler, unguided = self.decoder.networks.sampler, options.sampling.unguided
        return {
            "plan": asdict(self.decoder.plan),
            "samplers": {
                "structure": asdict(sampler("structure").overridden(options.sampling)),
                "shape": asdict(sampler("shape").overridden(options.sampling)),
                "texture": asdict(sampler("texture").overridden(unguided)),
            },
        }
