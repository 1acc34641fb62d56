"""`scenewright batch`: a manifest of jobs on this machine or a Ray cluster."""

from typing import TYPE_CHECKING, Annotated

import typer

from scenewright.cli.options import AllowDownloads, Device, Offline, out_option

if TYPE_CHECKING:
    from scenewright.batch.pools import Pool
    from scenewright.batch.run import Summary
    from scenewright.batch.worker import Setup

__all__ = ["batch"]

EXIT_SET_ASIDE = 3


def batch(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST.jsonl", help="JSON lines, a job each: a file or a URL.")],
    out: Annotated[
        str, out_option("Put results here, a folder per job: a folder or a URL such as s3://bucket/scenes.")
    ],
    cluster: Annotated[
        str, typer.Option(help="Work on this machine (local), the Ray cluster it belongs to (auto), or one's ADDRESS.")
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="So many workers: 1 on this machine, or all that the cluster has room for."),
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(min=0, max=8, help="Share of a GPU for each worker, such as 0.25; 0 for none.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(help="Let jobs read below this folder or URL; the manifest's own by default. Repeatable."),
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, max=100, help="Try so often again what failed for a reason that may pass.")
    ] = 3,
    cost_per_hour: Annotated[
        float | None, typer.Option(min=0, help="Cost of one worker's hour, for the cost of a job.")
    ] = None,
    device: Device = "auto",
    offline: Offline = False,
    allow_downloads: AllowDownloads = False,
) -> None:
    """Do the jobs of a manifest; the same command goes on where it was stopped. Exit code 3: some were set aside."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from scenewright.batch.places import Roots, open_place
    from scenewright.batch.run import SET_ASIDE, Batch, run_batch
    from scenewright.batch.worker import Setup
    from scenewright.weights.hub import hub_is_offline

    base, slash, name = manifest.rpartition("/")
    folder, target = open_place(base + slash or "."), open_place(out)
    roots = Roots((folder, *map(open_place, inputs or ())))
    share = gpus_per_worker if gpus_per_worker is not None and gpus_per_worker < 1 else None
    setup = Setup(roots, target, device, share or None, offline or hub_is_offline())
    job = Batch(folder, name, roots, target, retries=retries, cost_per_hour=cost_per_hour)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    pool = _pool(setup, cluster, workers, gpus_per_worker)
    try:
        with Progress(*columns, console=Console(stderr=True, soft_wrap=True), transient=True) as bar:
            line = bar.add_task(f"{pool.num_workers} workers")

            def report(summary: "Summary", name: str, status: str, reason: str) -> None:
                bar.update(line, description=_numbers(summary))
                if status == "failed":
                    bar.console.print(f"set aside: {name}: {reason}", markup=False, highlight=False, soft_wrap=True)

            summary = run_batch(job, pool, report=report)
    finally:
        pool.close()
    typer.echo(_numbers(summary))
    if summary.made:
        cost = f", {summary.cost_each:.4g} each" if summary.cost_each is not None else ""
        typer.echo(
            f"{summary.busy_s / summary.made:.1f} s each on {summary.num_workers} workers, which worked "
            f"{100 * summary.use:.0f} % of the time{cost}"
        )
    if summary.set_aside:
        typer.echo(f"reasons: {target.url}/{SET_ASIDE}", err=True)
        raise typer.Exit(EXIT_SET_ASIDE)


def _pool(setup: "Setup", cluster: str, workers: int | None, gpus_per_worker: float | None) -> "Pool":
    from scenewright.batch.pools import InlinePool, LocalPool

    if cluster != "local":
        from scenewright.batch.ray_pool import RayPool

        return RayPool(setup, cluster, num_workers=workers, gpus_per_worker=gpus_per_worker)
    return InlinePool(setup) if workers in (None, 1) else LocalPool(setup, workers or 1)


def _numbers(summary: "Summary") -> str:
    speed = f", {summary.per_hour:,.0f} an hour" if summary.made else ""
    again = f", {summary.retried} tries again" if summary.retried else ""
    return f"{summary.made} made, {summary.kept} there already, {summary.set_aside} set aside{again}{speed}"
