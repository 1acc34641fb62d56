"""`scenewright texture`: new materials for a given mesh, from a picture."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.backbones.trellis2 import SPEC
from scenewright.cli.options import AllowDownloads, Commercial, Device, Offline, Precision, Seed, out_option

__all__ = ["texture"]


def texture(
    mesh: Annotated[Path, typer.Argument(help="The object: .glb, .gltf, .obj, .ply or .stl.")],
    image: Annotated[Path, typer.Argument(help="A picture that shows the materials it should have.")],
    out: Annotated[Path, out_option("A .glb, .gltf or .obj to write.")] = Path("textured.glb"),
    weights: Annotated[
        str, typer.Option(help="A folder in the published layout, or a hub repository.")
    ] = SPEC.repository,
    resolution: Annotated[int, typer.Option(help="Voxels per side: 512, 1024 or 1536.")] = 1024,
    seed: Seed = 0,
    steps: Annotated[int | None, typer.Option(help=f"Sampling steps; published: {SPEC.steps}.", min=1)] = None,
    texture_size: Annotated[int, typer.Option(help="Side of the textures in texels.", min=16, max=8192)] = (
        SPEC.finish.texture_size
    ),
    keep_uv: Annotated[bool, typer.Option(help="Use the mesh's own texture coordinates where it has them.")] = True,
    device: Device = "auto",
    dtype: Precision = "auto",
    offline: Offline = False,
    allow_downloads: AllowDownloads = False,
    commercial: Commercial = False,
) -> None:
    """Make materials for a mesh from a picture (TRELLIS.2)."""
    from scenewright.cli.progress import progress_bar
    from scenewright.encoders.background import background_remover
    from scenewright.encoders.preprocess.crop import has_cut_out, with_alpha
    from scenewright.io.formats import check_target
    from scenewright.io.images import load_image
    from scenewright.io.scene_file import load_scene, save_scene
    from scenewright.machine import choose_device
    from scenewright.systems.calibration import chosen_dtype
    from scenewright.systems.catalogue import refuse_uncleared
    from scenewright.systems.single_object.texturing import Texturer, TexturingOptions, scene_parts, texture_mesh
    from scenewright.weights.source import WeightsSource

    if commercial:
        refuse_uncleared(SPEC.networks, (weights,))
    options = TexturingOptions(resolution=resolution, texture_size=texture_size, keep_uv=keep_uv, steps=steps)
    check_target(out, "--out", ".glb", ".gltf", ".obj", inputs=[mesh, image])
    parts, picture = scene_parts(load_scene(mesh)), load_image(image)
    remover = None if has_cut_out(with_alpha(picture)) else background_remover()
    chosen = choose_device(device)
    with progress_bar() as progress:
        texturer = Texturer.from_pretrained(
            WeightsSource(weights, offline, progress.say),
            device=chosen,
            dtype=chosen_dtype(dtype, chosen),
        )
        scene = texture_mesh(
            parts, picture, texturer, seed=seed, options=options, remove_background=remover, progress=progress
        )
    typer.echo(f"wrote {save_scene(scene, out)}")
