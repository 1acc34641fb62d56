"""Baseline by memory: every mask is answered with the stored model whose picture looks most like it."""

from scenewright.systems.retrieval.appearance import appearance
from scenewright.systems.retrieval.cut_out import cut_out
from scenewright.systems.retrieval.library import FeatureFunction, ModelLibrary, StoredModel, build_library
from scenewright.systems.retrieval.pack_library import library_of_pack
from scenewright.systems.retrieval.system import RetrievalSystem

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
