"""The scene of a run manifest again, byte for byte on the same device, and what differs here where it is not."""

from dataclasses import dataclass
from pathlib import Path

from scenewright.machine import environment
from scenewright.progress import SILENT, Progress
from scenewright.runs.generate import Reroll, Run, run
from scenewright.runs.inputs import check_same_inputs, read_inputs
from scenewright.runs.manifest import Manifest, sha256_of_bytes

__all__ = ["Replay", "replay"]


@dataclass(frozen=True)
class Replay:
    """A manifest's run made again.

    Attributes:
        is_identical: whether the scene file has the same bytes as the first one.
        differences: names of everything in environment and weights that differs from the first run.
    """

    run: Run
    is_identical: bool
    differences: tuple[str, ...]


def replay(manifest: Manifest, *, progress: Progress = SILENT) -> Replay:
    """The run of a manifest once more; a parent scene that is gone is made again first.

    Raises:
        ScenewrightError: inputs changed since, or weights cannot be used.
    """
    again = _run_again(manifest, progress)
    here = environment(manifest.settings.device)
    differences = [key for key in here if here[key] != manifest.environment.get(key)]
    weights = again.manifest.weights_sha256
    differences += [f"weights {name}" for name, was in manifest.weights_sha256.items() if weights.get(name) != was]
    return Replay(again, again.manifest.scene_sha256 == manifest.scene_sha256, tuple(differences))


def _run_again(manifest: Manifest, progress: Progress) -> Run:
    inputs = read_inputs(manifest.settings)
    check_same_inputs(manifest, inputs)
    parent = manifest.parent
    if parent is None:
        return run(manifest.settings, inputs, progress=progress)
    path = Path(parent.scene_path)
    content = path.read_bytes() if path.is_file() else b""
    if sha256_of_bytes(content) != parent.scene_sha256:
        content = _run_again(parent, progress).glb
    return run(manifest.settings, inputs, reroll=Reroll(parent, manifest.rerolled, content), progress=progress)
