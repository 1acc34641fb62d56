"""Baseline by memory: every mask is answered with the stored model whose picture looks most like it."""

from scenewright.systems.baselines.retrieval.appearance import appearance
from scenewright.systems.baselines.retrieval.cut_out import cut_out
from scenewright.systems.baselines.retrieval.library import FeatureFunction, ModelLibrary, StoredModel, build_library
from scenewright.systems.baselines.retrieval.pack_library import library_of_pack
from scenewright.systems.baselines.retrieval.system import RetrievalSystem

__all__ = [
    "FeatureFunction",
    "ModelLibrary",
    "RetrievalSystem",
    "StoredModel",
    "appearance",
    "build_library",
    "cut_out",
    "library_of_pack",
]
