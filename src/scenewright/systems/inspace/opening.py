"""InSpace's door: the system with its weights and TRELLIS.2's."""

import torch

from scenewright.backbones.trellis2.pretrained import trellis2_networks
from scenewright.backbones.trellis2.weights import REPOSITORY as BASE_REPOSITORY
from scenewright.encoders.weights import load_named_dinov3
from scenewright.errors import InputError
from scenewright.systems.inspace.panorama_depth import DepthModel
from scenewright.systems.inspace.pretrained import InSpaceWeights, read_sizes
from scenewright.systems.inspace.stage_files import StageFiles
from scenewright.systems.inspace.system import InSpace
from scenewright.systems.loading import OpenOptions

__all__ = ["open_inspace"]


def open_inspace(options: OpenOptions) -> InSpace:
    """The networks of a folder or repository; `decoder_weights` are TRELLIS.2's, `work` keeps what the stages make.

    Raises:
        InputError: another decoder is asked for, or another resolution than 512.
        WeightsError: weights are missing or damaged.
    """
    if options.decoder not in (None, "trellis2"):
        raise InputError(f"InSpace's latents are those of TRELLIS.2; leave --decoder {options.decoder} out.")
    if options.resolution not in (None, 512):
        raise InputError(f"InSpace makes a whole room on a grid of 512; leave --resolution {options.resolution} out.")
    dtype = options.dtype or options.half(torch.bfloat16)
    place = options.decoder_weights or BASE_REPOSITORY
    source = options.source.at(place)
    base = trellis2_networks(source, device=options.device, dtype=options.dtype)
    sizes = read_sizes(options.weights, offline=options.offline)
    weights = InSpaceWeights(options.weights, sizes, options.device, dtype, offline=options.offline)
    encoder, _ = load_named_dinov3(base.image_encoder, source, device=options.device)
    depth = None if options.depth_model is None else DepthModel(options.depth_model, options.device, options.offline)
    return InSpace(weights, base, encoder, stages=StageFiles(options.work), depth=depth)
