"""SceneGen's pictures: asset cut-outs as in TRELLIS v1, full frames for DINOv2, and a padded frame for VGGT.

Also its own reading of colour-coded masks, where assets are told apart by grey level. Source:
Mengmouxu/SceneGen scenegen/pipelines/scenegen_image_to_scene.py and scenegen/utils/inference_scene.py.
"""

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from scenewright.encoders.preprocess.crop import image_to_tensor, with_alpha

__all__ = ["asset_cut_out", "prepare_frame", "prepare_vggt_frame"]


def prepare_frame(image: Image.Image, *, size: int = 518) -> Float[Tensor, "3 size size"]:
    """A whole picture (scene or mask) for DINOv2: `size` x `size`, aspect ignored, in [0, 1]."""
    return image_to_tensor(image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS))


def prepare_vggt_frame(image: Image.Image, *, size: int = 518, patch_size: int = 14) -> Float[Tensor, "3 size size"]:
    """A whole picture for VGGT: longer side `size`, shorter side a multiple of the patch, padded with white.

    Transparent pictures are laid on white first.
    """
    image = with_alpha(image)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    image = image.convert("RGB")
    scale = size / max(image.size)
    width, height = (
        size if side == max(image.size) else max(1, round(side * scale / patch_size)) * patch_size
        for side in image.size
    )
    pixels = image_to_tensor(image.resize((width, height), Image.Resampling.BICUBIC))
    right, below = size - width, size - height
    return F.pad(pixels, (right // 2, right - right // 2, below // 2, below - below // 2), value=1.0)


def asset_cut_out(image: Image.Image, mask: Bool[Tensor, "height width"]) -> Image.Image:
    """The picture as a full-frame RGBA cut-out of one asset; everything outside the mask is transparent black."""
    inside = mask.cpu().numpy()[..., None]
    pixels = np.asarray(image.convert("RGB"))
    return Image.fromarray(np.concatenate([pixels * inside, inside * np.uint8(255)], axis=-1).astype(np.uint8))
