"""`scenewright texture`: new materials for a given mesh, from a picture."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.errors import InputError

__all__ = ["texture"]

_PUBLISHED = "microsoft/TRELLIS.2-4B"
_RESOLUTIONS = (512, 1024, 1536)


def texture(
    mesh: Annotated[Path, typer.Argument(help="The object: .glb, .gltf, .obj, .ply or .stl.")],
    image: Annotated[Path, typer.Argument(help="A picture that shows the materials it should have.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A .glb, .gltf or .obj to write.")] = Path("textured.glb"),
    weights: Annotated[str, typer.Option(help="A folder in the published layout, or a hub repository.")] = _PUBLISHED,
    resolution: Annotated[int, typer.Option(help="Voxels per side: 512, 1024 or 1536.")] = 1024,
    seed: Annotated[int, typer.Option(help="The same seed gives the same materials.", min=0)] = 42,
    steps: Annotated[int | None, typer.Option(help="Sampling steps; published: 12.", min=1)] = None,
    texture_size: Annotated[int, typer.Option(help="Side of the textures in texels.", min=16, max=8192)] = 2048,
    keep_uv: Annotated[bool, typer.Option(help="Use the mesh's own texture coordinates where it has them.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    offline: Annotated[bool, typer.Option(help="Never download.")] = False,
) -> None:
    """Make materials for a mesh from a picture (TRELLIS.2)."""
    from dataclasses import replace

    from scenewright.backbones.trellis2.pretrained import Trellis2
    from scenewright.cli.progress import stage_progress
    from scenewright.encoders.background import background_remover
    from scenewright.encoders.preprocess.crop import has_cut_out, with_alpha
    from scenewright.io.formats import check_target
    from scenewright.io.images import load_image
    from scenewright.io.scene_file import load_scene, save_scene
    from scenewright.machine import choose_device, choose_dtype
    from scenewright.systems.single_object.texturing import TexturingOptions, scene_parts, texture_mesh
    from scenewright.systems.single_object.trellis2 import load_image_encoder

    if resolution not in _RESOLUTIONS:
        raise InputError(f"Expected --resolution 512, 1024 or 1536, got {resolution}.")
    check_target(out, "--out", ".glb", ".gltf", ".obj")
    parts, picture = scene_parts(load_scene(mesh)), load_image(image)
    remover = None if has_cut_out(with_alpha(picture)) else background_remover()
    place = choose_device(device)
    with stage_progress() as progress:
        networks = Trellis2(
            weights,
            pipeline="texturing_pipeline.json",
            device=place,
            dtype=None if dtype == "auto" else choose_dtype(dtype, place),
            offline=offline,
            report=lambda line: progress(line, 0.0),
        )
        encoder = load_image_encoder(networks, device=place, offline=offline)
        sampler = networks.sampler("texture")
        options = TexturingOptions(
            seed=seed,
            resolution=resolution,
            texture_size=texture_size,
            keep_uv=keep_uv,
            sampler=sampler if steps is None else replace(sampler, steps=steps),
        )
        scene = texture_mesh(parts, picture, networks, encoder, options, remove_background=remover, progress=progress)
    typer.echo(f"wrote {save_scene(scene, out)}")
