"""`scenewright replay`: the scene of a run manifest again, byte for byte on the same device."""

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["replay"]

EXIT_DIFFERENT = 1


def replay(
    manifest: Annotated[Path, typer.Argument(help="The .json that lies beside a scene.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The .glb to write; by default none.")] = None,
) -> None:
    """Make a scene again from its manifest and compare it with the first; exit code 1 if the bytes differ."""
    from scenewright.cli.progress import stage_progress
    from scenewright.errors import InputError
    from scenewright.machine import environment
    from scenewright.runs.generate import run, save_run
    from scenewright.runs.manifest import read_manifest

    if out is not None and (out.suffix.lower() != ".glb" or not out.absolute().parent.is_dir()):
        raise InputError(f"Expected --out to name a .glb in an existing folder, got '{out}'.")
    wanted = read_manifest(manifest)
    with stage_progress() as progress:
        made = _again(wanted, run, progress)
    if out is not None:
        typer.echo(f"wrote {', '.join(str(path) for path in save_run(made, out))}")
    if made.manifest.scene_sha256 == wanted.scene_sha256:
        typer.echo(f"identical to the first run: sha256 {wanted.scene_sha256}")
        return
    here = environment(wanted.settings.device)
    changed = [key for key in here if here[key] != wanted.environment.get(key)]
    changed += [
        f"weights {name}"
        for name, was in wanted.weights_sha256.items()
        if made.manifest.weights_sha256.get(name) != was
    ]
    reason = f"; different here: {', '.join(changed)}" if changed else ""
    typer.echo(f"the scene differs from the first run{reason}", err=True)
    raise typer.Exit(EXIT_DIFFERENT)


def _again(wanted: Any, run: Any, progress: Any) -> Any:
    """The run of a manifest; where it started from another scene that is gone, that one's run first."""
    from scenewright.runs.generate import check_same_inputs, read_inputs
    from scenewright.runs.manifest import sha256_of_bytes

    inputs = read_inputs(wanted.settings)
    check_same_inputs(wanted, inputs)
    if wanted.parent is None:
        return run(wanted.settings, inputs, progress=progress)
    path = Path(wanted.parent.scene_path)
    content = path.read_bytes() if path.is_file() else b""
    if sha256_of_bytes(content) != wanted.parent.scene_sha256:
        content = _again(wanted.parent, run, progress).glb
    return run(
        wanted.settings, inputs, reroll=wanted.rerolled, parent=wanted.parent, parent_glb=content, progress=progress
    )
