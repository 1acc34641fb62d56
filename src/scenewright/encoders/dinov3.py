"""DINOv3, through transformers, giving exactly the tokens the TRELLIS.2 backbone was trained on.

All tokens before the final norm, in the order [class, registers, patches row by row], layer-normed without parameters.
The network is `transformers.DINOv3ViTModel`; the module's state dict uses the names of the published file, whatever
transformers calls them in memory. Source: microsoft/TRELLIS.2
trellis2/modules/image_feature_extractor.py.

Legend: B images, T tokens = 1 + registers + patches, C channels.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenewright.encoders.normalisation import imagenet_normalized, plain_layer_norm

if TYPE_CHECKING:
    from transformers import DINOv3ViTConfig

__all__ = ["Dinov3", "Dinov3Config"]


@dataclass(frozen=True)
class Dinov3Config:
    """Sizes of the network; the defaults are ViT-L/16. It takes any image size that is a multiple of the patch."""

    patch_size: int = 16
    width: int = 1024
    mlp_width: int = 4096
    depth: int = 24
    num_heads: int = 16
    num_registers: int = 4
    layer_norm_eps: float = 1e-5
    rope_theta: float = 100.0


class Dinov3(nn.Module):
    """The encoder; `forward` gives the condition tokens of the TRELLIS.2 flows (1029 at 512 px, 4101 at 1024 px)."""

    def __init__(self, config: Dinov3Config | None = None) -> None:
        # Here, as the import takes seconds, and most of what imports this module builds no such network.
        from transformers import DINOv3ViTModel

        super().__init__()
        self.config = config or Dinov3Config()
        self.backbone = DINOv3ViTModel(_transformers(self.config))
        # Kept for strict loading only: the flows take the tokens before this norm.
        self.norm = self.backbone.norm
        self.backbone.norm = nn.Identity()
        self.register_load_state_dict_pre_hook(_read_published_names)
        self.register_state_dict_post_hook(_write_published_names)

    def reset_buffers(self, device: torch.device) -> None:
        """Recomputes the rotary frequencies, which no weight file holds, after building on the meta device."""
        rotary = self.backbone.rope_embeddings
        head_dim = self.config.width // self.config.num_heads
        exponents = torch.arange(0, 1, 4 / head_dim, dtype=torch.float32, device=device)
        rotary.inv_freq = self.config.rope_theta**-exponents

    def forward(self, images: Float[Tensor, "B 3 height width"]) -> Float[Tensor, "B T C"]:
        """Condition tokens of images in [0, 1] whose sides are multiples of the patch size."""
        patch = self.config.patch_size
        if images.shape[-2] % patch or images.shape[-1] % patch:
            size = f"{images.shape[-1]}x{images.shape[-2]}"
            raise ValueError(f"Expected image sides that are multiples of {patch}, got {size}; resize the image first.")
        return plain_layer_norm(self.backbone(imagenet_normalized(images)).last_hidden_state)


def _transformers(config: Dinov3Config) -> "DINOv3ViTConfig":
    from transformers import DINOv3ViTConfig

    return DINOv3ViTConfig(
        patch_size=config.patch_size,
        hidden_size=config.width,
        intermediate_size=config.mlp_width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.num_heads,
        num_register_tokens=config.num_registers,
        layer_norm_eps=config.layer_norm_eps,
        rope_theta=config.rope_theta,
        hidden_act="gelu",
        key_bias=False,
        use_gated_mlp=False,
    )


def _layer_start(module: Dinov3) -> str:
    """Prefix of the layers in transformers; its 5.x line nests them one level deeper."""
    return "backbone.model.layer." if hasattr(module.backbone, "model") else "backbone.layer."


def _read_published_names(module: Dinov3, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Load hook: published names become the module's own; unknown names stay, so that strict loading reports them."""
    table = {"layer.": _layer_start(module), "embeddings.": "backbone.embeddings."}
    _rename(state, prefix, table)


def _write_published_names(module: Dinov3, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Save hook, the inverse of the load hook."""
    table = {_layer_start(module): "layer.", "backbone.embeddings.": "embeddings."}
    _rename(state, prefix, table)


def _rename(state: dict[str, Tensor], prefix: str, table: dict[str, str]) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        old = next((old for old in table if name.startswith(old)), None)
        if old is not None:
            state[prefix + table[old] + name.removeprefix(old)] = state.pop(key)
