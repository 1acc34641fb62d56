"""Where published weights live and how they are fetched, verified and loaded strictly.

record.py (the facts) -> hub.py (find or fetch the file) -> checkpoint.py (open it) -> keymap.py (rename) -> load.py
(fill a module). config.py turns published JSON into configuration dataclasses.
"""

from scenewright.weights.config import config_from_json, read_config
from scenewright.weights.keymap import KeyMap
from scenewright.weights.load import load_state, load_weights, save_weights
from scenewright.weights.record import ImageStatistics, LatentStatistics, WeightsRecord, imagenet_statistics

__all__ = [
    "ImageStatistics",
    "KeyMap",
    "LatentStatistics",
    "WeightsRecord",
    "config_from_json",
    "imagenet_statistics",
    "load_state",
    "load_weights",
    "read_config",
    "save_weights",
]
