"""Training batches of GenRecon: views padded to one number.

Source: GenRecon, `genrecon/trainers/flow_matching`.

Legend: B samples, Q views of all samples, N views after padding, T tokens of a view, D channels, S voxels.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["PaddedViews", "padded_views"]


@dataclass(frozen=True)
class PaddedViews:
    """Views of a batch as dense tensors; missing ones have zero tokens and zero cameras, so that nothing sees them."""

    tokens: Float[Tensor, "B N T D"]
    cam_from_joint: Float[Tensor, "B N 4 4"]
    intrinsics_unit: Float[Tensor, "B N 3 3"]

    @property
    def first_tokens(self) -> Float[Tensor, "B T D"]:
        """The tokens of the cross-attention: the first view of every sample."""
        return self.tokens[:, 0]


def padded_views(
    tokens: Float[Tensor, "Q T D"],
    cam_from_joint: Float[Tensor, "Q 4 4"],
    intrinsics_unit: Float[Tensor, "Q 3 3"],
    sample_of_view: Int[Tensor, " Q"],
    num_samples: int,
) -> PaddedViews:
    """Flat views, in any order of samples, padded to the largest number of views a sample has."""
    counts = torch.bincount(sample_of_view, minlength=num_samples)
    order = sample_of_view.argsort(stable=True)
    sample = sample_of_view[order].long()
    place = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[sample]
    size = (num_samples, int(counts.max()) if len(counts) else 0)

    def spread(values: Tensor) -> Tensor:
        padded = values.new_zeros(*size, *values.shape[1:])
        padded[sample, place] = values[order]
        return padded

    return PaddedViews(spread(tokens), spread(cam_from_joint), spread(intrinsics_unit))
