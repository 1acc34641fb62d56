"""A glTF material from an attribute field: which texture each channel goes to, in which encoding.

Base colour and opacity form one sRGB texture with alpha, roughness and metallic the green and blue of a linear one.
Values are rounded to 8 bits. Legend: T texture side.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenewright.geometry.mesh.bake import BakedTexture
from scenewright.types import PBRMaterial

__all__ = ["material_from_bake", "to_bytes"]

_COLOR = ("red", "green", "blue")
# A texel is see-through below this opacity; more than this share of them makes the material blend.
_SEE_THROUGH = 0.95
_MIN_SEE_THROUGH_SHARE = 0.005


def material_from_bake(
    channels: tuple[str, ...],
    baked: BakedTexture,
    *,
    normal_map: BakedTexture | None = None,
    alpha_mode: str = "auto",
    double_sided: bool = False,
) -> PBRMaterial:
    """The material of a baked texture whose last axis is named by `channels`.

    Without roughness or metallic channels the surface is fully rough and not metallic; without colour it is white.

    Args:
        alpha_mode: a glTF mode, or "auto": BLEND where at least 0.5 % of the covered texels are see-through, otherwise
            OPAQUE and without an alpha channel.
    """
    image = dict(zip(channels, baked.values.unbind(-1), strict=True))
    if alpha_mode == "auto":
        alpha_mode = "BLEND" if "alpha" in image and _is_see_through(image["alpha"], baked) else "OPAQUE"
    base_color = None
    if all(channel in image for channel in _COLOR):
        stack = [image[channel] for channel in _COLOR]
        if alpha_mode != "OPAQUE" and "alpha" in image:
            stack.append(image["alpha"])
        base_color = to_bytes(torch.stack(stack, -1))
    metallic_roughness = None
    has_surface = "roughness" in image or "metallic" in image
    if has_surface:
        blank = torch.zeros_like(baked.values[..., 0])
        planes = [blank, image.get("roughness", blank + 1), image.get("metallic", blank)]
        metallic_roughness = to_bytes(torch.stack(planes, -1))
    return PBRMaterial(
        metallic_factor=1.0 if has_surface else 0.0,
        base_color_texture=base_color,
        metallic_roughness_texture=metallic_roughness,
        normal_texture=None if normal_map is None else to_bytes(normal_map.values * 0.5 + 0.5),
        alpha_mode=alpha_mode,  # type: ignore[arg-type]
        double_sided=double_sided,
    )


def to_bytes(values: Float[Tensor, "T T C"]) -> UInt8[Tensor, "T T C"]:
    return (values.clamp(0, 1) * 255).round().to(torch.uint8)


def _is_see_through(alpha: Float[Tensor, "T T"], baked: BakedTexture) -> bool:
    return bool((alpha[baked.coverage] < _SEE_THROUGH).float().mean() > _MIN_SEE_THROUGH_SHARE)
