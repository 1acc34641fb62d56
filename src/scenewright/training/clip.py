"""Gradient clipping at a limit that follows the gradients seen so far.

Source: TRELLIS and TRELLIS.2, released trainers (microsoft/TRELLIS trellis/trainers/basic.py).
"""

import math
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scenewright.training.parallel import unsharded

__all__ = ["AdaptiveGradClipper"]


class AdaptiveGradClipper:
    """Clips the global gradient norm to `limit`.

    The limit is `max_norm` until `buffer_size` finite norms have been seen; from then on it is the `percentile` of the
    last `buffer_size` norms (before clipping) where that is lower. A step whose norm is not finite changes nothing: its
    gradients are left as they are for the caller to skip.
    """

    def __init__(self, max_norm: float = 1.0, percentile: float = 95.0, buffer_size: int = 1000) -> None:
        self.max_norm, self.percentile = max_norm, percentile
        self.limit = max_norm
        self._norms: deque[float] = deque(maxlen=buffer_size)

    def clip(self, parameters: Iterable[nn.Parameter]) -> float:
        """Clips the gradients in place to the current limit, then updates it; returns the norm before clipping."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = unsharded(nn.utils.get_total_norm(gradients))
        value = float(norm)
        if math.isfinite(value):
            _scale(gradients, norm, self.limit)
            self._observe(value)
        return value

    def _observe(self, norm: float) -> None:
        self._norms.append(norm)
        if len(self._norms) == self._norms.maxlen:
            self.limit = min(self.max_norm, float(np.percentile(self._norms, self.percentile)))

    def state_dict(self) -> dict[str, Any]:
        return {"norms": list(self._norms), "limit": self.limit}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._norms = deque(state["norms"], maxlen=self._norms.maxlen)
        self.limit = float(state["limit"])


def _scale(gradients: list[Tensor], norm: Tensor, limit: float) -> None:
    # The small constant is torch's own (clip_grad_norm_), which the published limit acts through.
    factor = (limit / (norm + 1e-6)).clamp(max=1.0)
    with torch.no_grad():
        torch._foreach_mul_(gradients, factor)
