"""Options that have the same name and mean the same in every command.

A command takes `device: Device = "auto"`; only what `--out` holds differs, so each command says that itself.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from scenewright.files import MAX_SEED

__all__ = [
    "AllowDownloads",
    "CameraHeight",
    "Commercial",
    "Depth",
    "DepthModel",
    "Device",
    "Extent",
    "Faces",
    "Floor",
    "Guidance",
    "Heading",
    "Json",
    "Offline",
    "Precision",
    "ReplayedStages",
    "Seed",
    "Settle",
    "Steps",
    "TextureSize",
    "Weights",
    "Workers",
    "out_option",
    "write_json",
]

Device = Annotated[str, typer.Option("--device", help="Compute on auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[
    str,
    typer.Option(
        "--dtype", help="Number format of the large networks: auto (measured), float32, bfloat16, float16 or int8."
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="Use these weights: mini (shipped), published (downloaded), a folder, or OWNER/REPOSITORY.",
    ),
]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Work in so many processes.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED, help="The same seed gives the same result.")]


def _forbid(context: Any, is_forbidden: bool) -> bool:
    if is_forbidden:
        from scenewright.weights.hub import downloads_forbidden

        context.with_resource(downloads_forbidden())
    return is_forbidden


Offline = Annotated[bool, typer.Option("--offline", help="Never download anything.", callback=_forbid)]


def _allow(is_allowed: bool) -> bool:
    if is_allowed:
        from scenewright.weights.hub import allow_unlisted_repositories

        allow_unlisted_repositories()
    return is_allowed


AllowDownloads = Annotated[
    bool,
    typer.Option(
        "--allow-downloads", help="Take weights from any repository that a file names, listed or not.", callback=_allow
    ),
]
Json = Annotated[Path | None, typer.Option("--json", help="Write the facts as JSON to this file; - prints them.")]
ReplayedStages = Annotated[
    Path | None,
    typer.Option(
        "--stages", help="Keep a panorama's stages in this folder instead of the one that the manifest names."
    ),
]
Steps = Annotated[
    int | None, typer.Option("--steps", min=1, help="Sampling steps; by default what the weights were published with.")
]
Quality = Annotated[
    str | None,
    typer.Option(
        "--quality",
        help="Work as a draft, as standard (the default), or best: half the steps, or twice as many where that helps.",
    ),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        "--guidance", min=0, help="Guidance strength; 0 is none, by default what the weights were published with."
    ),
]
Settle = Annotated[bool, typer.Option("--settle", help="Rest objects on the floor and out of each other.")]
Faces = Annotated[int | None, typer.Option("--faces", min=4, help="Most triangles that each object may have.")]
TextureSize = Annotated[
    int | None, typer.Option("--texture-size", min=16, max=8192, help="Side of each object's texture in texels.")
]

Commercial = Annotated[
    bool, typer.Option("--commercial", help="Refuse weights that are not cleared for commercial use.")
]
Depth = Annotated[
    str | None,
    typer.Option(
        "--depth",
        help="Distances of a panorama: .npy or .exr in metres, .png in millimetres, auto (a network estimates them) "
        "or none; by default a network that is on this machine already, or else the small one that ships.",
    ),
]
DepthModel = Annotated[
    str | None,
    typer.Option(
        help="Estimate distances with this network: metric (the default), relative, small (it ships), a folder or "
        "repository."
    ),
]
Heading = Annotated[
    float | None,
    typer.Option(help="Turn a panorama by these degrees counter-clockwise instead of to its walls; 0 keeps it."),
]
CameraHeight = Annotated[
    float | None, typer.Option(help="Height of the camera of a panorama or capture in metres.", min=0)
]
Floor = Annotated[
    float | None, typer.Option(help="Level of a panorama's floor below its camera, in metres of its distances.", min=0)
]
Extent = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(
        help="Metres from a panorama's camera to the left, back, right and front wall.",
        metavar="LEFT BACK RIGHT FRONT",
    ),
]


def out_option(help: str) -> Any:
    """`--out` or `-o` with what the command writes there."""
    return typer.Option("--out", "-o", help=help)


def write_json(facts: Any, target: Path) -> None:
    """Writes the facts as indented JSON, or prints them where the target is "-"; NaN becomes null.

    Raises:
        InputError: the file cannot be written.
    """
    from scenewright.io.atomic import write_bytes
    from scenewright.jobs import to_json

    content = to_json(facts)
    if str(target) == "-":
        typer.echo(content.decode())
    else:
        write_bytes(target, content + b"\n")
