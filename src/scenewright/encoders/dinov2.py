"""DINOv2 with registers, through transformers, giving exactly the tokens the TRELLIS backbones were trained on.

Those are all tokens before the final norm, in the order [class, registers, patches row by row], layer-normed without
parameters. The network itself is `transformers.Dinov2WithRegistersModel`; the module's state dict uses the names of
the published torch-hub file (`dinov2_vitl14_reg4_pretrain.pth`), which is also how DINOv2 is embedded in VGGT and
I-Scene checkpoints. Source: facebookresearch/dinov2 dinov2/models/vision_transformer.py;
microsoft/TRELLIS trellis/pipelines/trellis_image_to_3d.py.

Legend: B images, T tokens = 1 + registers + patches, C channels.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn

from scenewright.encoders.dinov2_names import AttentionNames, attention_names, to_published, to_transformers
from scenewright.encoders.normalisation import imagenet_normalized, plain_layer_norm

if TYPE_CHECKING:
    from transformers import Dinov2WithRegistersConfig

__all__ = ["Dinov2", "Dinov2Config"]


@dataclass(frozen=True)
class Dinov2Config:
    """Sizes of the network; the defaults are ViT-L/14 with four registers, pre-trained at 518 pixels."""

    image_size: int = 518
    patch_size: int = 14
    width: int = 1024
    depth: int = 24
    num_heads: int = 16
    num_registers: int = 4
    mlp_ratio: int = 4


class Dinov2(nn.Module):
    """The encoder; `forward` gives the condition tokens of the TRELLIS v1, SceneGen and I-Scene flows."""

    def __init__(self, config: Dinov2Config | None = None) -> None:
        # Here, as the import takes seconds, and most of what imports this module builds no such network.
        from transformers import Dinov2WithRegistersModel

        super().__init__()
        self.config = config or Dinov2Config()
        self.backbone = Dinov2WithRegistersModel(_transformers(self.config))
        # The final norm is moved out so that the backbone's own forward ends before it (VGGT applies it, TRELLIS not).
        self.norm = self.backbone.layernorm
        self.backbone.layernorm = nn.Identity()
        self.register_load_state_dict_pre_hook(_read_published_names)
        self.register_state_dict_post_hook(_write_published_names)

    def prenorm_tokens(self, pixels: Float[Tensor, "B 3 height width"]) -> Float[Tensor, "B T C"]:
        """All tokens before the final norm, for images already normalised with ImageNet statistics.

        Height and width must be multiples of the patch size; away from the training size the position embedding is
        resized (bicubic, antialiased, to the exact grid).
        """
        patch = self.config.patch_size
        if pixels.shape[-2] % patch or pixels.shape[-1] % patch:
            size = f"{pixels.shape[-1]}x{pixels.shape[-2]}"
            raise ValueError(f"Expected image sides that are multiples of {patch}, got {size}; resize the image first.")
        return self.backbone(pixels).last_hidden_state

    def normed_patch_tokens(self, pixels: Float[Tensor, "B 3 height width"]) -> Float[Tensor, "B P C"]:
        """Patch tokens after the network's own final norm, for normalised images; what VGGT starts from."""
        return self.norm(self.prenorm_tokens(pixels))[:, 1 + self.config.num_registers :]

    def forward(self, images: Float[Tensor, "B 3 height width"]) -> Float[Tensor, "B T C"]:
        """Condition tokens of images in [0, 1]: all tokens before the final norm, plainly layer-normed."""
        return plain_layer_norm(self.prenorm_tokens(imagenet_normalized(images)))


def _transformers(config: Dinov2Config) -> "Dinov2WithRegistersConfig":
    from transformers import Dinov2WithRegistersConfig

    return Dinov2WithRegistersConfig(
        image_size=config.image_size,
        patch_size=config.patch_size,
        hidden_size=config.width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.num_heads,
        num_register_tokens=config.num_registers,
        mlp_ratio=config.mlp_ratio,
        layer_norm_eps=1e-6,
        hidden_act="gelu",
    )


def _attention_names(module: Dinov2) -> AttentionNames:
    return attention_names(name for name, _ in module.backbone.named_parameters())


def _read_published_names(module: Dinov2, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Load hook: published names become the module's own; unknown names stay, so that strict loading reports them."""
    published = {key.removeprefix(prefix): state.pop(key) for key in list(state) if key.startswith(prefix)}
    for name, tensor in to_transformers(published, _attention_names(module)).items():
        own = name.removeprefix("layer") if name.startswith("layernorm.") else f"backbone.{name}"
        state[prefix + (name if name in published else own)] = tensor


def _write_published_names(module: Dinov2, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Save hook, the inverse of the load hook."""
    own = {key.removeprefix(prefix): state.pop(key) for key in list(state) if key.startswith(prefix)}
    inner = {
        f"layer{name}" if name.startswith("norm.") else name.removeprefix("backbone."): tensor
        for name, tensor in own.items()
    }
    for name, tensor in to_published(inner, _attention_names(module)).items():
        state[prefix + name] = tensor
