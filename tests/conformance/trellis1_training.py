"""Adapters of the TRELLIS training goldens."""

from torch import Tensor

from tests.conformance.case import Case
from tests.conformance.trellis2_networks import clipped_norms


def adaptive_grad_clip(case: Case) -> dict[str, Tensor]:
    clipped, limits = clipped_norms(case.inputs["grad_norms"], case.config)
    return {"clipped_norms": clipped, "max_norm_after": limits}


MODULES = {"AdaptiveGradClipper": adaptive_grad_clip}
