"""`scenewright convert`: a mesh file becomes O-Voxel, or O-Voxel becomes a mesh."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["convert"]

_VOXELS = (".vxz", ".npz")
_SCENES = (".glb", ".gltf")


def convert(
    source: Annotated[Path, typer.Argument(help="Mesh (.glb .gltf .obj .ply .stl) or voxels (.vxz .npz).")],
    target: Annotated[Path, typer.Argument(help="Voxels (.vxz .npz) for a mesh, .glb for voxels.")],
    resolution: Annotated[int, typer.Option(min=8, max=4096, help="Voxels per side, from mesh to voxels.")] = 512,
    compression: Annotated[str, typer.Option(help="Of .vxz files: none, deflate, lzma or zstd.")] = "lzma",
    published: Annotated[
        bool,
        typer.Option("--published", help="As training data was made: faster, but thin parts are lost or displaced."),
    ] = False,
) -> None:
    """Convert between meshes and O-Voxel. Voxels hold the object fitted to a unit cube, without its size and place."""
    from scenewright.errors import InputError

    to_voxels = target.suffix.lower() in _VOXELS
    if to_voxels == (source.suffix.lower() in _VOXELS) or not (to_voxels or target.suffix.lower() == ".glb"):
        raise InputError(
            f"Cannot convert '{source.name}' to '{target.name}': give a mesh and a .vxz or .npz, or these and a .glb."
        )
    if to_voxels:
        _to_voxels(source, target, resolution, compression, faithful=not published)
    else:
        _to_mesh(source, target)


def _to_voxels(source: Path, target: Path, resolution: int, compression: str, *, faithful: bool) -> None:
    from scenewright.cli.progress import stage_progress
    from scenewright.geometry.ovoxel.voxelize_object import object_to_voxels
    from scenewright.io.glb import load_glb
    from scenewright.io.mesh_file import load_mesh
    from scenewright.io.voxel_file import write_voxels
    from scenewright.io.vxz import VxzOptions

    options = VxzOptions(compression=compression)
    if source.suffix.lower() in _SCENES:
        parts = []
        for scene_object in load_glb(source).objects:
            linear, translation = scene_object.world_from_object[:3, :3], scene_object.world_from_object[:3, 3]
            parts += [replace(part, vertices=part.vertices @ linear.T + translation) for part in scene_object.parts]
    else:
        parts = [load_mesh(source)]
    with stage_progress() as report:
        voxels = object_to_voxels(
            parts, resolution, progress=lambda done: report(f"voxels at {resolution}", done), faithful=faithful
        )
    write_voxels(target, voxels, options)
    typer.echo(f"{target}: {len(voxels.coords):,} voxels at {resolution}^3")


def _to_mesh(source: Path, target: Path) -> None:
    from scenewright.geometry.ovoxel.voxelize_object import voxels_to_mesh
    from scenewright.io.glb import save_glb
    from scenewright.io.voxel_file import read_voxels
    from scenewright.types import Scene, SceneObject

    mesh = voxels_to_mesh(read_voxels(source))
    save_glb(Scene((SceneObject(target.stem, (mesh,)),)), target)
    typer.echo(f"{target}: {len(mesh.faces):,} triangles")
