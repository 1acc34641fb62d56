"""Baseline by memory: every mask is answered with the stored model whose picture looks most like it."""

from scenewright.systems.retrieval.library import FeatureFunction, ModelLibrary, StoredModel, build_library
from scenewright.systems.retrieval.system import RetrievalSystem

__all__ = ["FeatureFunction", "ModelLibrary", "RetrievalSystem", "StoredModel", "build_library"]
