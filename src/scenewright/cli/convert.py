"""`scenewright convert`: a scene from one file format to another."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["convert"]


def convert(
    source: Annotated[Path, typer.Argument(help="A scene: .glb .gltf .obj .ply .stl, or voxels: .vxz .npz.")],
    target: Annotated[Path, typer.Argument(help="The file to write; its suffix chooses the format.")],
    resolution: Annotated[int, typer.Option(min=8, max=4096, help="Voxels per side, from meshes to voxels.")] = 512,
    compression: Annotated[str, typer.Option(help="Of .vxz files: none, deflate, lzma or zstd.")] = "lzma",
    colliders: Annotated[
        str,
        typer.Option(
            help="Of files for simulators (.xml .urdf .usd*): hull, decomposition (extra `sim`), box or none."
        ),
    ] = "hull",
    welded: Annotated[bool, typer.Option("--welded", help="No object of a file for simulators moves.")] = False,
    program: Annotated[
        str | None,
        typer.Option("--for", help="Write it as blender, unity, unreal, ros, isaac, mujoco or three reads it best."),
    ] = None,
) -> None:
    """Convert between file formats. Voxels hold the scene as one object fitted to a unit cube, without its size."""
    from scenewright.cli.progress import progress_bar
    from scenewright.io.atomic import check_writable
    from scenewright.io.conversion import convert as convert_file

    check_writable(target)
    with progress_bar() as progress:
        written = convert_file(
            source,
            target,
            resolution=resolution,
            compression=compression,
            colliders=colliders,
            welded=welded,
            program=program,
            report=typer.echo,
            progress=progress,
        )
    typer.echo(f"wrote {written}")
