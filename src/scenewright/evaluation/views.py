"""Similarity of rendered views over a whole evaluation: PSNR, SSIM, LPIPS, CLIP, DINO and FID.

The views are those of the report: prediction, moved by the scored alignment, and truth, from one camera. Networks are
loaded, and their weights fetched, only for the names that were asked for (definitions: `scenewright.metrics`).
A truth without materials, such as that of our test scenes, makes colours meaningless; use textured truths.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.io.images import load_image
from scenewright.metrics.image_similarity import psnr, ssim
from scenewright.metrics.perceptual import (
    FidAccumulator,
    feature_similarity,
    load_clip_features,
    load_dino_features,
    load_lpips,
)

__all__ = ["VIEW_METRICS", "measure_views"]

VIEW_METRICS = ("psnr", "ssim", "lpips", "clip", "dino", "fid")


def measure_views(
    records: Sequence[Mapping[str, Any]], work: Path, names: Sequence[str], *, device: str = "cpu"
) -> dict[str, float]:
    """Mean of every named measure over the scenes whose views were drawn (FID: one number for the whole set).

    Args:
        work: the folder that the records' pictures lie in.

    Raises:
        InputError: a name is unknown, or no view was drawn.
        MissingExtraError: a measure needs a package that is not installed.
    """
    for name in names:
        if name not in VIEW_METRICS:
            raise InputError(f"Expected measures of views out of {', '.join(VIEW_METRICS)}, got '{name}'.")
    drawn = [record["pictures"] for record in records if {"prediction", "truth"} <= record.get("pictures", {}).keys()]
    if not drawn:
        raise InputError("No views were drawn, so there is nothing to measure on them; leave --no-pictures out.")
    fid = FidAccumulator(device) if "fid" in names else None
    measures = {name: _measure(name, device) for name in names if name != "fid"}
    values: dict[str, list[float]] = {name: [] for name in measures}
    for pictures in drawn:
        prediction, truth = (_pixels(load_image(work / pictures[role])) for role in ("prediction", "truth"))
        for name, measure in measures.items():
            values[name].append(measure(prediction, truth))
        if fid is not None:
            fid.add(prediction, is_truth=False)
            fid.add(truth, is_truth=True)
    found = {name: float(np.mean(column)) for name, column in values.items()}
    return found if fid is None else found | {"fid": fid.value()}


def _measure(name: str, device: str) -> Callable[[Tensor, Tensor], float]:
    if name == "psnr":
        return psnr
    if name == "ssim":
        return ssim
    if name == "lpips":
        return load_lpips(device)
    features = load_clip_features(device) if name == "clip" else load_dino_features(device)
    return lambda prediction, truth: feature_similarity(features(prediction), features(truth))


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image.convert("RGB")).copy()).permute(2, 0, 1).float() / 255
