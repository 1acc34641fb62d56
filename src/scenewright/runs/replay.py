"""The scene of a run manifest again, byte for byte on the same device, and what differs here where it is not."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from scenewright.errors import InputError
from scenewright.files import read_file
from scenewright.machine import environment
from scenewright.progress import SILENT, Progress
from scenewright.runs.generate import Reroll, Run, run
from scenewright.runs.inputs import check_same_inputs, read_inputs
from scenewright.runs.manifest import Manifest, sha256_of_bytes
from scenewright.systems.catalogue import all_records
from scenewright.weights.hub import refuse_unlisted

__all__ = ["Replay", "refuse_unlisted_repositories", "replay", "with_stages_inside"]


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


def replay(manifest: Manifest, *, offline: bool = False, progress: Progress = SILENT) -> Replay:
    """The run of a manifest once more; a parent scene that is gone is made again first.

    Args:
        offline: never download, whatever the manifest says.

    Raises:
        ScenewrightError: inputs changed since, or weights cannot be used.
    """
    refuse_unlisted_repositories(manifest)
    again = _run_again(manifest, offline, progress)
    here = environment(manifest.settings.device)
    differences = [key for key in here if here[key] != manifest.environment.get(key)]
    weights = again.manifest.weights_sha256
    differences += [f"weights {name}" for name, was in manifest.weights_sha256.items() if weights.get(name) != was]
    return Replay(again, again.manifest.scene_sha256 == manifest.scene_sha256, tuple(differences))


def with_stages_inside(manifest: Manifest, path: Path, stages: Path | None = None) -> Manifest:
    """The manifest with a folder of stages, read and written by its run, that somebody vouches for.

    Args:
        path: where the manifest lies; stages inside its folder belong to it.
        stages: the folder that the user gave instead.

    Raises:
        InputError: the manifest names a folder elsewhere, and the user gave none.
    """
    named = manifest.settings.stages
    if named is not None and stages is not None:
        named = str(stages.absolute())
    elif named is not None and not Path(named).resolve().is_relative_to(path.resolve().parent):
        raise InputError(
            f"'{path}' keeps its stages in '{named}', outside its own folder, where nothing is written; "
            "give the folder with --stages."
        )
    parent = manifest.parent and with_stages_inside(manifest.parent, path, stages)
    return replace(manifest, settings=replace(manifest.settings, stages=named), parent=parent)


def refuse_unlisted_repositories(manifest: Manifest) -> None:
    """Refuses weights from repositories that no record lists: a manifest may come from anybody.

    Raises:
        WeightsError: so it is, and the user did not allow it.
    """
    run: Manifest | None = manifest
    listed = {record.repository for record in all_records().values()}
    while run is not None:
        for place in (run.settings.weights, run.settings.decoder_weights, run.settings.segmenter):
            if place is not None:
                refuse_unlisted(place, listed, "The manifest")
        run = run.parent


def _run_again(manifest: Manifest, offline: bool, progress: Progress) -> Run:
    settings = replace(manifest.settings, offline=offline or manifest.settings.offline)
    inputs = read_inputs(settings)
    check_same_inputs(manifest, inputs)
    parent = manifest.parent
    if parent is None:
        return run(settings, inputs, progress=progress)
    path = Path(parent.scene_path)
    content = read_file(path) if os.path.isfile(path) and path.stat().st_size else b""
    if sha256_of_bytes(content) != parent.scene_sha256:
        content = _run_again(parent, offline, progress).glb
    return run(settings, inputs, reroll=Reroll(parent, manifest.rerolled, content), progress=progress)
