"""Sizes of the TRELLIS v1 networks; defaults are the published image-large checkpoint."""

from dataclasses import dataclass, field

__all__ = [
    "GaussianConfig",
    "SLatFlowConfig",
    "SLatTrunkConfig",
    "StructureFlowConfig",
]


@dataclass(frozen=True)
class StructureFlowConfig:
    """Flow on the dense structure latent."""

    resolution: int = 16
    in_channels: int = 8
    out_channels: int = 8
    model_channels: int = 1024
    cond_channels: int = 1024
    num_blocks: int = 24
    num_heads: int = 16
    mlp_ratio: float = 4.0
    patch_size: int = 1
    qk_rms_norm: bool = True
    qk_rms_norm_cross: bool = False
    share_mod: bool = False


@dataclass(frozen=True)
class SLatFlowConfig:
    """Flow on the structured latent of the active voxels; `io_channels` are widths before the token resolution."""

    resolution: int = 64
    in_channels: int = 8
    out_channels: int = 8
    model_channels: int = 1024
    cond_channels: int = 1024
    num_blocks: int = 24
    num_heads: int = 16
    mlp_ratio: float = 4.0
    num_io_res_blocks: int = 2
    io_channels: tuple[int, ...] = (128,)
    use_skip_connection: bool = True
    qk_rms_norm: bool = True
    qk_rms_norm_cross: bool = False
    share_mod: bool = False


@dataclass(frozen=True)
class SLatTrunkConfig:
    """Windowed transformer shared by the latent encoder and the three decoders."""

    resolution: int = 64
    in_channels: int = 8
    model_channels: int = 768
    num_blocks: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    window_size: int = 8
    qk_rms_norm: bool = False
    is_windowed: bool = True


@dataclass(frozen=True)
class GaussianConfig:
    """Rules by which the Gaussian decoder's numbers become Gaussians.

    Source: microsoft/TRELLIS trellis/models/structured_latent_vae/decoder_gs.py.
    """

    num_gaussians: int = 32
    voxel_size: float = 1.5
    perturb_offset: bool = True
    scaling_bias: float = 4e-3
    scaling_activation: str = "softplus"
    opacity_bias: float = 0.1
    kernel_size_3d: float = 9e-4
    kernel_size_2d: float = 0.1
    learning_rates: dict[str, float] = field(
        default_factory=lambda: {
            "_xyz": 1.0,
            "_features_dc": 1.0,
            "_opacity": 1.0,
            "_scaling": 1.0,
            "_rotation": 0.1,
        }
    )
