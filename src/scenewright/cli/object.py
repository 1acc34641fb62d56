"""`scenewright object`: one picture (or several of the same thing) to a textured object."""

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scenewright.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

    from scenewright.encoders.preprocess.crop import BackgroundRemover
    from scenewright.types import Scene

__all__ = ["object_command"]

_PUBLISHED = {"trellis1": "microsoft/TRELLIS-image-large", "trellis2": "microsoft/TRELLIS.2-4B"}
_RESOLUTIONS = (512, 1024, 1536)


class Backbone(StrEnum):
    trellis1 = "trellis1"
    trellis2 = "trellis2"


class MultiImage(StrEnum):
    stochastic = "stochastic"
    multidiffusion = "multidiffusion"


@dataclass(frozen=True)
class _Request:
    """What both backbones understand; dictionaries hold the settings that the user gave."""

    weights: str
    device: str
    dtype: str
    offline: bool
    settings: dict[str, Any]
    sampler: dict[str, Any]
    finish: dict[str, Any]


def object_command(
    images: Annotated[list[Path], typer.Argument(help="A picture of one object (trellis1: or several of the same).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A .glb, .gltf or .obj to write.")] = Path("object.glb"),
    backbone: Annotated[
        Backbone, typer.Option(help="trellis1: colour, also splats. trellis2: physically based materials, finer.")
    ] = Backbone.trellis1,
    resolution: Annotated[
        int | None, typer.Option(help="trellis2: voxels per side, 512, 1024 or 1536; default 1024.")
    ] = None,
    splats: Annotated[Path | None, typer.Option(help="trellis1: also write the Gaussians to this .ply.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="A folder in the published layout, or a hub repository; default: published.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same object.", min=0)] = None,
    steps: Annotated[int | None, typer.Option(help="Sampling steps; published: 25, trellis2: 12.", min=1)] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance of structure and shape, 0: none; published: 5, trellis2: 6.5.", min=0)
    ] = None,
    multi_image: Annotated[
        MultiImage | None, typer.Option(help="trellis1: how several pictures are combined; default: stochastic.")
    ] = None,
    faces: Annotated[int | None, typer.Option(help="Face budget; default 30000, trellis2: 200000.", min=4)] = None,
    texture_size: Annotated[
        int | None, typer.Option(help="Side of the texture in texels; default 1024, trellis2: 2048.", min=16, max=8192)
    ] = None,
    remove_background: Annotated[bool, typer.Option(help="Cut the object out of opaque pictures.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    offline: Annotated[bool, typer.Option(help="Never download.")] = False,
) -> None:
    """Make a textured 3D object from a picture (TRELLIS or TRELLIS.2)."""
    from scenewright.io.images import load_image
    from scenewright.io.scene_file import save_scene

    _check_outputs(out, splats)
    request = _Request(
        weights=weights or _PUBLISHED[backbone],
        device=device,
        dtype=dtype,
        offline=offline,
        settings=_given(seed=seed),
        sampler=_given(steps=steps, guidance_strength=guidance),
        finish=_given(max_faces=faces, texture_size=texture_size),
    )
    if backbone is Backbone.trellis2:
        _refuse("trellis1", splats=splats, multi_image=multi_image)
        if len(images) != 1:
            raise InputError(f"TRELLIS.2 makes an object from one picture, got {len(images)}; use --backbone trellis1.")
        if resolution not in (None, *_RESOLUTIONS):
            raise InputError(f"Expected --resolution 512, 1024 or 1536, got {resolution}.")
    else:
        _refuse("trellis2", resolution=resolution)
    pictures = [load_image(path) for path in images]
    remover = _remover_if_needed(pictures, images, remove_background)
    if backbone is Backbone.trellis2:
        scene = _with_trellis2(pictures[0], remover, resolution or 1024, request)
    else:
        mode: Literal["stochastic", "multidiffusion"] = (multi_image or MultiImage.stochastic).value
        scene = _with_trellis1(pictures, remover, mode, request)
    typer.echo(f"wrote {save_scene(scene, out)}")
    if splats is not None:
        typer.echo(f"wrote {save_scene(scene, splats)}")


def _with_trellis1(
    pictures: list["Image.Image"],
    remover: "BackgroundRemover | None",
    multi_image: Literal["stochastic", "multidiffusion"],
    request: _Request,
) -> "Scene":
    from scenewright.backbones.trellis1.pretrained import Trellis1
    from scenewright.cli.progress import stage_progress
    from scenewright.machine import choose_device, choose_dtype
    from scenewright.systems.single_object.trellis1 import (
        TRELLIS1_FINISH,
        ObjectOptions,
        load_image_encoder,
        object_from_pictures,
    )

    device = choose_device(request.device)
    with stage_progress() as progress:
        networks = Trellis1.from_pretrained(
            request.weights,
            device=device,
            dtype=choose_dtype(request.dtype, device),
            offline=request.offline,
            report=lambda line: progress(line, 0.0),
        )
        encoder = load_image_encoder(networks, device=device, offline=request.offline)
        options = ObjectOptions(
            structure_sampler=replace(networks.structure_sampler, **request.sampler),
            slat_sampler=replace(networks.slat_sampler, **request.sampler),
            multi_image=multi_image,
            finish=replace(TRELLIS1_FINISH, **request.finish),
            **request.settings,
        )
        return object_from_pictures(pictures, networks, encoder, options, remove_background=remover, progress=progress)


def _with_trellis2(
    picture: "Image.Image", remover: "BackgroundRemover | None", resolution: int, request: _Request
) -> "Scene":
    from scenewright.backbones.trellis2.object_sampling import ObjectSamplers
    from scenewright.backbones.trellis2.pretrained import Trellis2
    from scenewright.cli.progress import stage_progress
    from scenewright.machine import choose_device, choose_dtype
    from scenewright.systems.single_object.trellis2 import (
        PLAN_OF_RESOLUTION,
        TRELLIS2_FINISH,
        ObjectOptions,
        load_image_encoder,
        object_from_picture,
    )

    device = choose_device(request.device)
    with stage_progress() as progress:
        networks = Trellis2(
            request.weights,
            device=device,
            dtype=None if request.dtype == "auto" else choose_dtype(request.dtype, device),
            offline=request.offline,
            report=lambda line: progress(line, 0.0),
        )
        encoder = load_image_encoder(networks, device=device, offline=request.offline)
        published = networks.samplers
        # Materials are published without guidance; the strength is for structure and shape only.
        unguided = {name: value for name, value in request.sampler.items() if name != "guidance_strength"}
        options = ObjectOptions(
            plan=PLAN_OF_RESOLUTION[resolution],
            samplers=ObjectSamplers(
                structure=replace(published.structure, **request.sampler),
                shape=replace(published.shape, **request.sampler),
                texture=replace(published.texture, **unguided),
            ),
            finish=replace(TRELLIS2_FINISH, **request.finish),
            **request.settings,
        )
        return object_from_picture(picture, networks, encoder, options, remove_background=remover, progress=progress)


def _given(**options: Any) -> dict[str, Any]:
    """The options that the user gave."""
    return {name: value for name, value in options.items() if value is not None}


def _refuse(backbone: str, **options: Any) -> None:
    """A setting that would silently do nothing is an error."""
    for name in _given(**options):
        raise InputError(f"--{name.replace('_', '-')} works only with --backbone {backbone}; leave it out.")


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
