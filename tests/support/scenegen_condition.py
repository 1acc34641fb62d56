"""SceneGen's condition: five runs of tokens side by side, for each asset of a scene.

Order along tokens: the asset's cut-out (DINOv2), its mask (DINOv2), the whole scene (DINOv2), and the two halves of
VGGT's channels as separate runs. Nothing is projected or marked; VGGT's tokens are not normalised.
Source: Mengmouxu/SceneGen scenegen/pipelines/scenegen_image_to_scene.py.

Legend: N assets, C channels, T* tokens of each run.
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["assemble_condition"]


def assemble_condition(
    asset_tokens: Float[Tensor, "N Ta C"],
    mask_tokens: Float[Tensor, "N Tm C"] | None = None,
    scene_tokens: Float[Tensor, "1 Ts C"] | None = None,
    vggt_tokens: Float[Tensor, "1 Tv twice_C"] | None = None,
) -> Float[Tensor, "N T C"]:
    """All tokens that condition each asset; a run given as None is left out, not filled with zeros.

    Args:
        asset_tokens: the run that the asset's own cross-attention sees; the others are for the scene's.
        mask_tokens: of the full-frame mask picture of each asset.
        scene_tokens: of the whole picture, shared by all assets.
        vggt_tokens: the aggregator's last output for the picture; frame half and global half of the channels.

    The unconditional condition is zeros of the same shape.
    """
    runs = [asset_tokens]
    if mask_tokens is not None:
        runs.append(mask_tokens)
    shared = [] if scene_tokens is None else [scene_tokens]
    if vggt_tokens is not None:
        shared.extend(vggt_tokens.chunk(2, dim=-1))
    runs.extend(run.expand(len(asset_tokens), -1, -1) for run in shared)
    return torch.cat(runs, dim=1)
