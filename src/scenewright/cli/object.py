"""`scenewright object`: one picture (or several of the same thing) to a textured object."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenewright.backbones.registry import BACKBONES, backbone, check_options, check_pictures
from scenewright.backbones.spec import BackboneSpec
from scenewright.cli.options import AllowDownloads, Commercial, Device, Offline, Precision, Seed, out_option
from scenewright.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

    from scenewright.encoders.preprocess.crop import BackgroundRemover

__all__ = ["object_command"]


def _each(value: Callable[[BackboneSpec], object]) -> str:
    """A value of every backbone, for help."""
    return ", ".join(f"{spec.name} {value(spec)}" for spec in BACKBONES)


def _only(option: str) -> str:
    """The backbones that understand an option, for help."""
    return " and ".join(spec.name for spec in BACKBONES if option in spec.options)


def object_command(
    images: Annotated[
        list[Path], typer.Argument(help="One picture of an object, or for trellis1 several of the same.")
    ],
    out: Annotated[Path, out_option("A .glb, .gltf or .obj to write.")] = Path("object.glb"),
    backbone_name: Annotated[
        str,
        typer.Option(
            "--backbone",
            help=f"What the object has: {_each(lambda spec: spec.summary)}.",
        ),
    ] = BACKBONES[0].name,
    resolution: Annotated[
        int | None,
        typer.Option(
            help=f"Voxels per side, 512, 1024 or 1536; by default what is published with the weights "
            f"({_only('resolution')} only)."
        ),
    ] = None,
    splats: Annotated[
        Path | None, typer.Option(help=f"Also write the Gaussians to this .ply ({_only('splats')} only).")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="A folder in the published layout, or a hub repository; default: published.")
    ] = None,
    seed: Seed = 0,
    steps: Annotated[
        int | None, typer.Option(help=f"Sampling steps; published: {_each(lambda spec: spec.steps)}.", min=1)
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            help="Guidance of structure and shape, 0 is none; published: "
            f"{_each(lambda spec: f'{spec.guidance_strength:g}')}.",
            min=0,
        ),
    ] = None,
    multi_image: Annotated[
        str | None,
        typer.Option(
            help=f"How several pictures are combined: stochastic (the default) or multidiffusion "
            f"({_only('multi_image')} only)."
        ),
    ] = None,
    faces: Annotated[
        int | None, typer.Option(help=f"Face budget; default: {_each(lambda spec: spec.finish.max_faces)}.", min=4)
    ] = None,
    texture_size: Annotated[
        int | None,
        typer.Option(
            help=f"Side of the textures in texels; default: {_each(lambda spec: spec.finish.texture_size)}.",
            min=16,
            max=8192,
        ),
    ] = None,
    remove_background: Annotated[bool, typer.Option(help="Cut the object out of opaque pictures.")] = True,
    device: Device = "auto",
    dtype: Precision = "auto",
    offline: Offline = False,
    commercial: Commercial = False,
    allow_downloads: AllowDownloads = False,
) -> None:
    """Make a textured 3D object from a picture (TRELLIS or TRELLIS.2)."""
    spec = backbone(backbone_name)
    check_options(spec, {"splats": splats, "multi_image": multi_image, "resolution": resolution})
    check_pictures(spec, len(images))
    _check_outputs(out, splats)

    from scenewright.cli.progress import progress_bar
    from scenewright.geometry.mesh.finish_options import FinishOverride
    from scenewright.io.images import load_image
    from scenewright.io.scene_file import save_scene
    from scenewright.machine import choose_device
    from scenewright.samplers.config import SamplingOverride
    from scenewright.systems.calibration import chosen_dtype
    from scenewright.systems.options import GenerateOptions
    from scenewright.systems.single_object.generate import load_backbone, object_from_pictures
    from scenewright.weights.source import WeightsSource

    pictures = [load_image(path) for path in images]
    remover = _remover_if_needed(pictures, images, remove_background)
    chosen = choose_device(device)
    with progress_bar() as progress:
        networks = load_backbone(
            spec.name,
            WeightsSource(weights or spec.repository, offline, progress.say),
            resolution=resolution,
            multi_image=multi_image,
            device=chosen,
            dtype=chosen_dtype(dtype, chosen),
            commercial=commercial,
        )
        options = GenerateOptions(
            sampling=SamplingOverride(steps, guidance), finish=FinishOverride(faces, texture_size)
        )
        scene = object_from_pictures(
            pictures, networks, seed=seed, options=options, remove_background=remover, progress=progress
        )
    typer.echo(f"wrote {save_scene(scene, out)}")
    if splats is not None:
        typer.echo(f"wrote {save_scene(scene, splats)}")


def _check_outputs(out: Path, splats: Path | None) -> None:
    from scenewright.io.formats import check_target

    check_target(out, "--out", ".glb", ".gltf", ".obj")
    if splats is not None:
        check_target(splats, "--splats", ".ply")


def _remover_if_needed(pictures: list["Image.Image"], paths: list[Path], is_wanted: bool) -> "BackgroundRemover | None":
    """A background remover where a picture has no cut-out, before any network is loaded."""
    from scenewright.encoders.background import background_remover
    from scenewright.encoders.preprocess.crop import has_cut_out, with_alpha

    opaque = [path for path, picture in zip(paths, pictures, strict=True) if not has_cut_out(with_alpha(picture))]
    if not opaque:
        return None
    if not is_wanted:
        raise InputError(f"'{opaque[0]}' is opaque everywhere; give a cut-out (PNG with alpha).")
    return background_remover()
