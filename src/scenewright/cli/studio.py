"""`scenewright studio`: a page in the browser, from a picture to a scene that is looked at, changed and exported."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.options import Device, Offline
from scenewright.errors import MissingExtraError
from scenewright.systems.registry import DEFAULT_SYSTEM

__all__ = ["studio"]


def studio(
    source: Annotated[
        Path | None, typer.Argument(help="Open this photograph, panorama, capture, scene or manifest at once.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Listen on this address; others than 127.0.0.1 need --tokens.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Listen on this port, or on the next free one.", min=0, max=65535)] = 8080,
    tokens: Annotated[
        Path | None, typer.Option(help="Let in only who knows a secret of this file: a name and a secret a line.")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Keep uploads and scenes in this folder; by default a temporary one.")
    ] = None,
    system: Annotated[str, typer.Option(help="Choose this system at first.")] = DEFAULT_SYSTEM,
    segmenter: Annotated[
        str | None,
        typer.Option(help="Make masks of clicks with this SAM (folder or repository), or with cut-out, which ships."),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    device: Device = "auto",
    offline: Offline = False,
) -> None:
    """Open a page to mark objects of a picture, generate a scene, look at it, change it and export it."""
    try:
        import viser  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("The studio", "studio") from error
    from scenewright.studio.opening import open_studio

    opened = open_studio(
        work,
        host=host,
        port=port,
        tokens=tokens,
        system=system,
        segmenter=segmenter,
        device=device,
        offline=offline,
        source=source,
    )
    with opened as server:
        typer.echo(f"studio at {server.url} (Ctrl-C ends it)")
        if browser:
            typer.launch(server.url)
        server.sleep_forever()
