"""`scenewright convert`: a scene from one file format to another."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.options import Settle

__all__ = ["convert"]

EXIT_GATE_FAILED = 1


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
    settle: Settle = False,
    profile: Annotated[
        str | None, typer.Option(help="Keep the budgets of web, game, film or sim; numbers go to TARGET.json.")
    ] = None,
) -> None:
    """Convert between file formats. Voxels hold the scene as one object fitted to a unit cube, without its size."""
    from scenewright.cli.progress import progress_bar
    from scenewright.io.atomic import check_writable
    from scenewright.runs.export import export

    check_writable(target, inputs=[source])
    with progress_bar() as progress:
        quality = export(
            source,
            target,
            settle=settle,
            profile=profile,
            resolution=resolution,
            compression=compression,
            colliders=colliders,
            welded=welded,
            program=program,
            report=typer.echo,
            progress=progress,
        )
        for sentence in quality.failed if quality else ():
            typer.echo(f"--profile {profile}: {sentence}", err=True)
    typer.echo(f"wrote {target}" if quality is None else f"wrote {target}, {target}.json")
    if quality is not None and quality.failed:
        raise typer.Exit(EXIT_GATE_FAILED)
