"""What a system is told of the true camera in an evaluation, and the table of the systems known by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch

from scenewright.errors import InputError
from scenewright.progress import SILENT, Progress
from scenewright.systems.system import System
from scenewright.types import Camera

__all__ = [
    "SYSTEMS",
    "BuildRequest",
    "CameraKnowledge",
    "SystemEntry",
    "camera_knowledge",
    "find_system",
    "known_camera",
]

CameraKnowledge = Literal["pose", "lens", "nothing"]
"""What a system is told of the true camera: its place and its lens, its lens, or nothing."""


def camera_knowledge(name: str) -> CameraKnowledge:
    """
    Raises:
        InputError: there is no such choice.
    """
    for choice in get_args(CameraKnowledge):
        if choice == name:
            return choice
    raise InputError(f"Expected --camera {', '.join(get_args(CameraKnowledge))}; got '{name}'.")


def known_camera(camera: Camera | None, knowledge: CameraKnowledge) -> Camera | None:
    """What a system is given of the true camera. A camera whose place is not known is at the origin."""
    if camera is None or knowledge == "nothing":
        return None
    return camera if knowledge == "pose" else replace(camera, cam_from_world=torch.eye(4))


@dataclass(frozen=True)
class BuildRequest:
    """How a system is wanted: `preset` as given with --preset, the test scenes' folder, a folder to keep things in."""

    preset: str | None = None
    device: str = "cpu"
    scenes: Path | None = None
    work: Path | None = None
    progress: Progress = SILENT


@dataclass(frozen=True)
class SystemEntry:
    summary: str
    build: Callable[[BuildRequest], System]


def _cuboid(request: BuildRequest) -> System:
    from scenewright.systems.baselines.cuboid import CuboidSystem

    return CuboidSystem()


def _retrieval(request: BuildRequest) -> System:
    from scenewright.systems.baselines.retrieval import RetrievalSystem, appearance, library_of_pack

    pack = _model_pack(request)
    cache = request.work / "retrieval_library.npz" if request.work is not None else None
    progress = request.progress.stage("pictures of the training models")
    return RetrievalSystem(library_of_pack(pack, appearance, cache=cache, progress=progress), appearance)


def _model_pack(request: BuildRequest) -> Path:
    if request.preset is not None:
        pack = Path(request.preset)
        if not pack.exists():
            raise InputError(f"Model pack '{pack}' does not exist; give --preset the zip or folder of a model pack.")
        return pack
    above = [request.scenes.resolve(), *request.scenes.resolve().parents][:4] if request.scenes is not None else []
    for folder in above:
        found = sorted(folder.glob("*pack*.zip"))
        if found:
            return found[0]
    raise InputError(
        "The retrieval baseline needs a pack of training models, and there is none beside the test scenes; "
        "give its zip or folder with --preset."
    )


def _generator(name: str) -> Callable[[BuildRequest], System]:
    def build(request: BuildRequest) -> System:
        from scenewright.presets.loading import load

        return load(name, request.preset, device=request.device)

    return build


SYSTEMS: dict[str, SystemEntry] = {
    "iscene": SystemEntry("I-Scene; --preset mini, published or FOLDER", _generator("iscene")),
    "scenegen": SystemEntry("SceneGen; --preset mini, published or FOLDER", _generator("scenegen")),
    "cuboid": SystemEntry("baseline: every mask becomes a box on the floor of the true camera", _cuboid),
    "retrieval": SystemEntry(
        "baseline: every mask is answered with the most similar training model; --preset PACK.zip", _retrieval
    ),
}


def find_system(name: str) -> SystemEntry:
    """The entry of that name.

    Raises:
        InputError: there is none.
    """
    if name not in SYSTEMS:
        raise InputError(f"Expected a system out of {', '.join(SYSTEMS)}, got '{name}'.")
    return SYSTEMS[name]
