"""Facts of a backbone that need none of its networks; everything that offers a choice derives from them.

A backbone is a folder here with a `spec.py`, and one line in `registry.py`.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.weights.record import WeightsRecord

__all__ = ["BackboneSpec", "imported"]


@dataclass(frozen=True)
class BackboneSpec:
    """One generator of single objects.

    Attributes:
        name: what users choose it by.
        summary: what its objects have, in a few words.
        repository: where its weights are published.
        records: of all its published files, by name.
        networks: names of the records (also of encoders) that a picture to an object needs.
        finish: how its raw surfaces become assets unless the user says otherwise.
        steps, guidance_strength: as published, the latter as the s of (1 + s) v_cond - s v_uncond.
        loans: whether its decoder reads each network for its stage and lets it go again.
        max_pictures: how many pictures of one object it reads; None is any number.
        resolutions: plan of sampling by the voxels per side of its result; empty where there is no choice.
        options: those that not every backbone understands ("splats", "multi_image", "resolution"), with the values
            that they may have; none named is any.
        decoder: "module:class" of the `ObjectDecoder`, voxels to raw objects.
        objects: "module:class" of the `ObjectBackbone`, pictures to a raw object.
    """

    name: str
    summary: str
    repository: str
    records: Mapping[str, WeightsRecord]
    networks: tuple[str, ...]
    finish: FinishOptions
    steps: int
    guidance_strength: float
    decoder: str
    objects: str
    loans: bool = False
    max_pictures: int | None = None
    resolutions: Mapping[int, str] = field(default_factory=dict)
    options: Mapping[str, tuple[object, ...]] = field(default_factory=dict)

    def decoder_class(self) -> Any:
        """The class of the decoder; importing it takes as long as importing torch."""
        return imported(self.decoder)

    def objects_class(self) -> Any:
        """The class that makes an object of pictures."""
        return imported(self.objects)


def imported(name: str) -> Any:
    """The attribute that "module:attribute" names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
