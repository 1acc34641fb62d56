"""`scenewright serve`: scenes over HTTP, by workers that stay loaded."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.options import Device

__all__ = ["serve"]


def serve(
    data: Annotated[Path, typer.Option(help="Keep jobs and results in this folder.")] = Path("scenewright_service"),
    host: Annotated[
        str, typer.Option(help="Listen on this address; others than 127.0.0.1 need --tokens.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Listen on this port.", min=0, max=65535)] = 8000,
    tokens: Annotated[
        Path | None, typer.Option(help="Let in the clients of this file only: a name and a secret a line.")
    ] = None,
    device: Device = "auto",
    workers: Annotated[
        int, typer.Option(help="Processes on each device, each with the weights in its memory.", min=1, max=64)
    ] = 1,
    keep_days: Annotated[float, typer.Option(help="Delete jobs so long after they are finished.", min=0)] = 7.0,
    max_queue: Annotated[int, typer.Option(help="Refuse jobs while so many wait.", min=1)] = 1000,
    quota: Annotated[int, typer.Option(help="Unfinished jobs that each client may have.", min=1)] = 100,
    max_upload: Annotated[str, typer.Option(help="Largest request, such as 256MB.")] = "256MB",
    max_pixels: Annotated[int, typer.Option(help="Most pixels of one picture.", min=1)] = 64_000_000,
    max_objects: Annotated[int, typer.Option(help="Most objects of one scene.", min=1)] = 64,
    job_minutes: Annotated[float, typer.Option(help="End jobs that run so long.", min=0.01)] = 60.0,
    allow_downloads: Annotated[
        bool, typer.Option("--allow-downloads", help="Fetch published weights that jobs ask for.")
    ] = False,
) -> None:
    """Serve scenes over HTTP: submit, wait, fetch, change; /docs describes it. Ctrl-C ends it, jobs wait."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        from scenewright.errors import MissingExtraError

        raise MissingExtraError("serve", "serve") from error
    from scenewright.machine import available_cores, choose_device, devices
    from scenewright.serve.limits import Limits
    from scenewright.serve.server import serve as run_server
    from scenewright.serve.service import ServiceSettings
    from scenewright.systems.assembly.memory import parse_bytes

    # All of a machine's CUDA devices, where none is named.
    found = [entry.device for entry in devices() if entry.device.startswith("cuda")] if device == "auto" else []
    chosen = [name for name in found or [str(choose_device(device))] for _ in range(workers)]
    settings = ServiceSettings(
        data.absolute(),
        devices=tuple(chosen),
        # What torch chooses for itself, where a worker has the processor for itself.
        threads=None if len(chosen) == 1 else max(1, available_cores() // len(chosen)),
        tokens=tokens,
        allow_downloads=allow_downloads,
        limits=Limits(
            keep_s=keep_days * 86_400,
            queue=max_queue,
            unfinished=quota,
            upload_bytes=parse_bytes(max_upload),
            pixels=max_pixels,
            objects=max_objects,
            job_s=job_minutes * 60,
        ),
    )
    run_server(settings, host, port, on_start=typer.echo)
