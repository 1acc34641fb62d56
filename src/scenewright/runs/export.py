"""A scene file to another one for use: at rest if asked for, within a profile's budgets, with its numbers beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from scenewright.errors import InputError
from scenewright.io.conversion import collider_kind, convert
from scenewright.io.formats import FORMATS, readable
from scenewright.io.voxel_file import DEFAULT_RESOLUTION
from scenewright.progress import SILENT, Progress
from scenewright.runs.profiles import Quality, profile_named, profiled, quality_of, write_quality, writer_for
from scenewright.runs.settle_report import settle_lines
from scenewright.systems.assembly.generator import settled
from scenewright.types import Scene

__all__ = ["export"]


def export(
    source: str | Path,
    target: str | Path,
    *,
    settle: bool = False,
    profile: str | None = None,
    resolution: int = DEFAULT_RESOLUTION,
    compression: str = "lzma",
    colliders: str = "hull",
    welded: bool = False,
    program: str | None = None,
    report: Callable[[str], None],
    progress: Progress = SILENT,
) -> Quality | None:
    """Writes the scene of one file to another; the numbers of the profile, if there is one, as `TARGET.json`.

    Args:
        settle: objects come to rest first, with the colliders that the file will have.
        profile: web, game, film or sim (`profiles`).
        resolution, compression, colliders, welded, program, report: see `io.conversion.convert`.

    Raises:
        InputError: as `convert`; or a profile of a file that holds no meshes of a scene, or voxels
            that would have to come to rest.
    """
    target = Path(target)
    facts: dict[str, Any] = {"source": str(Path(source).absolute()), "program": program}
    chosen = None if profile is None else profile_named(profile)
    holds = {content for entry in FORMATS if entry.suffix == target.suffix.lower() for content in entry.holds}
    if chosen is not None and "textures" not in holds:
        raise InputError(f"'{target.name}' holds no textures, so --profile {chosen.name} has no use; write a .glb.")
    if settle and "voxels" in holds and "voxels" in readable(source).holds:
        raise InputError(f"Voxels in '{source}' are no separate objects, so --settle has no use; leave it out.")
    made: dict[str, Any] = {}

    def change(scene: Scene) -> Scene:
        if chosen is not None:
            scene = profiled(scene, chosen, progress=progress)
        if settle:  # last, with the meshes and so the colliders of the file
            scene = settled(scene, colliders="hull" if colliders == "none" else collider_kind(colliders))
            facts["settle"] = scene.provenance["settle"]
        if chosen is not None:
            made["writer"] = writer_for(scene, chosen, target)
        made["scene"] = scene
        return scene

    def write(scene: Scene, path: Path) -> Path:
        return made["writer"](scene, path)

    convert(
        source,
        target,
        resolution=resolution,
        compression=compression,
        colliders=colliders,
        welded=welded,
        program=program,
        change=change,
        writer=write if chosen is not None and target.suffix.lower() == ".glb" else None,
        report=report,
        progress=progress,
    )
    for line in settle_lines(facts["settle"]) if settle else ():
        report(line)
    if chosen is None:
        return None
    quality = quality_of(made["scene"], chosen, target)
    write_quality(quality, facts, target)
    return quality
