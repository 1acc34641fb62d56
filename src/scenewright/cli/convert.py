"""`scenewright convert`: a scene from one file format to another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenewright.cli.options import Settle
from scenewright.cli.settle_report import settle_lines

if TYPE_CHECKING:
    from scenewright.types import Scene

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
    settle: Settle = False,
) -> None:
    """Convert between file formats. Voxels hold the scene as one object fitted to a unit cube, without its size."""
    from scenewright.cli.progress import progress_bar
    from scenewright.io.atomic import check_writable
    from scenewright.io.conversion import collider_kind
    from scenewright.io.conversion import convert as convert_file

    check_writable(target)

    def rest(scene: "Scene") -> "Scene":
        from scenewright.systems.assembly.generator import settled

        # With the colliders that the file will have, so that nothing moves there.
        rested = settled(scene, colliders="hull" if colliders == "none" else collider_kind(colliders))
        for line in settle_lines(rested.provenance["settle"]):
            typer.echo(line)
        return rested

    with progress_bar() as progress:
        written = convert_file(
            source,
            target,
            resolution=resolution,
            compression=compression,
            colliders=colliders,
            welded=welded,
            program=program,
            change=rest if settle else None,
            report=typer.echo,
            progress=progress,
        )
    typer.echo(f"wrote {written}")
