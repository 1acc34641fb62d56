"""The part of the true camera that a system is told in an evaluation, and systems opened to be evaluated."""

from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import torch

from scenewright.errors import InputError
from scenewright.progress import SILENT, Progress
from scenewright.systems.loading import load
from scenewright.systems.registry import find_system
from scenewright.systems.spec import Reads
from scenewright.systems.system import System
from scenewright.types import Camera

__all__ = ["CameraKnowledge", "camera_knowledge", "known_camera", "open_for_evaluation"]

CameraKnowledge = Literal["pose", "lens", "nothing"]
"""The part of the true camera that a system is told: its pose and its lens, its lens, or nothing."""


def camera_knowledge(name: str) -> CameraKnowledge:
    """The choice of that name.

    Raises:
        InputError: there is no such choice.
    """
    for choice in get_args(CameraKnowledge):
        if choice == name:
            return choice
    raise InputError(f"Expected --known-camera {', '.join(get_args(CameraKnowledge))}; got '{name}'.")


def known_camera(camera: Camera | None, knowledge: CameraKnowledge) -> Camera | None:
    """The part of the true camera that a system is told; a camera of unknown pose stands at the origin."""
    if camera is None or knowledge == "nothing":
        return None
    return camera if knowledge == "pose" else replace(camera, cam_from_world=torch.eye(4))


def open_for_evaluation(
    name: str,
    weights: str | None = None,
    *,
    reads: Reads = "masks",
    device: str = "cpu",
    scenes: Path | None = None,
    work: Path | None = None,
    depth_model: str | None = None,
    progress: Progress = SILENT,
) -> System:
    """The system of that name, ready to generate test scenes.

    Args:
        weights: as given with --weights.
        reads: the kind of pictures that the scenes hold.
        scenes: the test scenes' folder.
        work: a folder to keep things in.
        depth_model: estimates distances of panoramas that come without.

    Raises:
        InputError: there is no such system, or it reads another kind of pictures.
        WeightsError: there are no weights, or they cannot be read.
    """
    spec = find_system(name)
    if spec.reads != reads:
        wanted = {"panorama": "panoramas", "posed": "captures"}.get(reads, "pictures with masks")
        raise InputError(f"'{name}' reads {spec.reads} pictures, but the protocol is for {wanted}.")
    return load(name, weights, device=device, scenes=scenes, work=work, depth_model=depth_model, progress=progress)
