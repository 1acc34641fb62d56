"""A library of models with the features of their pictures, searched by cosine similarity.

Each model is kept once and pictured from several yaws; the features come from any function of a picture, so that the
encoder is the caller's choice. Only training models belong in here.

Legend: K pictures, D feature width.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.types import Mesh

__all__ = ["FeatureFunction", "ModelLibrary", "StoredModel", "build_library"]

FeatureFunction = Callable[[Image.Image], Tensor]
"""The RGBA cut-out of one object -> its feature vector `[D]`."""


@dataclass(frozen=True)
class StoredModel:
    """`load` gives the model's parts in its canonical frame (z up, front -y); called only when the model is chosen."""

    name: str
    load: Callable[[], Sequence[Mesh]]


@dataclass(frozen=True)
class ModelLibrary:
    """Features of K pictures; picture k shows `models[model_of[k]]` turned by `yaws[k]` as the camera sees it.

    `yaws` are radians counter-clockwise seen from above; 0 shows the front.
    """

    models: tuple[StoredModel, ...]
    features: Float[Tensor, "K D"]
    model_of: Int[Tensor, " K"]
    yaws: Float[Tensor, " K"]

    def nearest(self, feature: Float[Tensor, " D"]) -> tuple[StoredModel, float, float]:
        """The best model, its yaw towards the camera, and the cosine similarity."""
        similarity = torch.nn.functional.normalize(self.features.float(), dim=1) @ torch.nn.functional.normalize(
            feature.float(), dim=0
        )
        best = int(similarity.argmax())
        return self.models[int(self.model_of[best])], float(self.yaws[best]), float(similarity[best])


def build_library(
    models: Iterable[tuple[StoredModel, Iterable[tuple[float, Image.Image]]]], features: FeatureFunction
) -> ModelLibrary:
    """The features of every model's pictures, given as (yaw, RGBA cut-out) pairs.

    Raises:
        InputError: there is no picture at all.
    """
    stored: list[StoredModel] = []
    rows, model_of, yaws = [], [], []
    for model, pictures in models:
        for yaw, picture in pictures:
            rows.append(features(picture).detach().float().cpu())
            model_of.append(len(stored))
            yaws.append(yaw)
        stored.append(model)
    if not rows:
        raise InputError("Expected at least one model with a picture for the retrieval library, got none.")
    return ModelLibrary(tuple(stored), torch.stack(rows), torch.tensor(model_of), torch.tensor(yaws))
