"""`scenewright generate FOLDER` of a capture: what it is good for, then the scene."""

from pathlib import Path

import typer

from scenewright.cli.progress import progress_bar, run_bar
from scenewright.io.formats import check_target
from scenewright.runs.captures import (
    CaptureSettings,
    check_stages,
    expected_seconds,
    open_capture,
    placed,
    run_capture,
    stage_folder,
)

__all__ = ["generate_capture"]


def generate_capture(settings: CaptureSettings, out: Path, *, resume: bool) -> None:
    """Tells what the capture holds, makes its scene and says where it is."""
    inputs = [] if settings.masks is None else [settings.masks]
    check_target(out, "--out", ".glb", beside=["_report.png", ".json"], inputs=inputs)
    check_stages(out)
    with progress_bar() as progress:
        settings = placed(settings, out, progress=progress)
        opened = open_capture(settings, progress=progress)
    report = opened.report
    typer.echo(
        f"{report.num_pictures} pictures, {report.num_points} points, mean reprojection error "
        f"{report.mean_error_px:.2f} px; {len(report.views_per_chunk)} chunks of {report.chunk_size_m:.2f} m"
    )
    for line in report.warnings:
        typer.echo(f"warning: {line}", err=True)
    if stage_folder(out).exists() and not resume:
        typer.echo("Results of an interrupted run are deleted; --resume would have gone on from them.")
    chunks = len(report.views_per_chunk)
    with run_bar(expected_seconds(settings, chunks), title=f"{chunks} chunks:") as progress:
        scene, written = run_capture(settings, out, opened=opened, resume=resume, progress=progress)
    names = ", ".join(item.name for item in scene.objects)
    typer.echo(f"{len(scene.objects)} objects: {names}")
    typer.echo(f"wrote {', '.join(str(path) for path in written)}")
