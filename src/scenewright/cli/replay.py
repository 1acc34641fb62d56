"""`scenewright replay`: the scene of a run manifest again, byte for byte on the same device."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.options import AllowDownloads, Offline, ReplayedStages

__all__ = ["replay"]

EXIT_DIFFERENT = 1


def replay(
    manifest: Annotated[Path, typer.Argument(help="The .json that lies beside a scene.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The .glb to write; by default none.")] = None,
    stages: ReplayedStages = None,
    offline: Offline = False,
    allow_downloads: AllowDownloads = False,
) -> None:
    """Make a scene again from its manifest and compare it with the first; exit code 1 if the bytes differ."""
    from scenewright.cli.progress import progress_bar
    from scenewright.io.formats import check_target
    from scenewright.runs.edit import is_edit, replay_edit, save_edit
    from scenewright.runs.generate import save_run
    from scenewright.runs.manifest import read_manifest
    from scenewright.runs.replay import replay as replay_manifest
    from scenewright.runs.replay import with_stages_inside

    if out is not None:
        check_target(out, "--out", ".glb", beside=[".json"])
    if is_edit(manifest):
        with progress_bar() as progress:
            edited, is_identical = replay_edit(manifest, offline=offline, progress=progress)
        if out is not None:
            typer.echo(f"wrote {', '.join(str(path) for path in save_edit(edited, out))}")
        typer.echo(
            f"{len(edited.steps)} steps: {'identical to' if is_identical else 'the scene differs from'} the first"
        )
        raise typer.Exit(0 if is_identical else EXIT_DIFFERENT)
    first = with_stages_inside(read_manifest(manifest), manifest, stages)
    if out is not None:
        check_target(out, "--out", ".glb", beside=[".json"], inputs=first.settings.inputs)
    with progress_bar() as progress:
        again = replay_manifest(first, offline=offline, progress=progress)
    if out is not None:
        typer.echo(f"wrote {', '.join(str(path) for path in save_run(again.run, out))}")
    if again.is_identical:
        typer.echo(f"identical to the first run: sha256 {first.scene_sha256}")
        return
    reason = f"; different here: {', '.join(again.differences)}" if again.differences else ""
    typer.echo(f"the scene differs from the first run{reason}", err=True)
    raise typer.Exit(EXIT_DIFFERENT)
