"""Changes of frame, all in one place: y up and z up, glTF's and OpenCV's camera axes, the turn to a view's heading.

Inside, everything is z up with OpenCV cameras; glTF, OBJ and several data sets are y up, and glTF cameras look along
-z with y up. Matrices name both frames so that neighbours cancel (docs/conventions.md).
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "CVCAM_FROM_GLTFCAM",
    "YUP_FROM_ZUP",
    "ZUP_FROM_YUP",
    "view_centric_rotation",
    "yup_from_zup",
    "zup_from_yup",
]

ZUP_FROM_YUP = torch.tensor([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=torch.float64)
YUP_FROM_ZUP = ZUP_FROM_YUP.T.contiguous()
# Its own inverse: both cameras share x; y and z point the other way.
CVCAM_FROM_GLTFCAM = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))


def zup_from_yup(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Points or directions of a y-up frame (front +z) in ours (front -y): (x, y, z) becomes (x, -z, y)."""
    x, y, z = vectors.unbind(-1)
    return torch.stack([x, -z, y], -1)


def yup_from_zup(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Points or directions of our frame in a y-up one: (x, y, z) becomes (x, z, -y); inverse of `zup_from_yup`."""
    x, y, z = vectors.unbind(-1)
    return torch.stack([x, z, -y], -1)


def view_centric_rotation(heading: Float[Tensor, " 2"]) -> Float[Tensor, "3 3"]:
    """The yaw that turns a horizontal direction (of any length above 0) to +y, so that the view's right becomes +x."""
    x, y = heading / heading.norm()
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return torch.stack([torch.stack([y, -x, zero]), torch.stack([x, y, zero]), torch.stack([zero, zero, one])])
