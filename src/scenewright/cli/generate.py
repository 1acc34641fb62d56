"""`scenewright generate`: a photograph with object masks to a scene of placed objects."""

import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from scenewright.errors import InputError
from scenewright.systems.registry import DEFAULT_SYSTEM, find_system, usable_systems

__all__ = ["generate", "summarise"]


EXIT_SOME_FAILED = 1


class Decoder(StrEnum):
    trellis1 = "trellis1"
    trellis2 = "trellis2"


def generate(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE...", help="A photograph, or a folder of them; for scenegen, several of the same objects."
        ),
    ] = None,
    masks: Annotated[
        list[str] | None,
        typer.Option(
            "--masks",
            "-m",
            help="Masks: a label picture, folder, COCO or prompt .json, or 'auto'; one for each photograph.",
        ),
    ] = None,
    auto: Annotated[bool, typer.Option("--auto", help="Let SAM find the objects; the same as --masks auto.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The .glb to write (scene.glb), or a folder (scenes).")
    ] = None,
    system: Annotated[
        str, typer.Option(help=f"What generates: {', '.join(spec.name for spec in usable_systems())}.")
    ] = DEFAULT_SYSTEM,
    preset: Annotated[
        str | None, typer.Option(help="mini, published, a folder, or a hub repository; by default what is here.")
    ] = None,
    decoder: Annotated[
        Decoder | None, typer.Option(help="Who turns voxels into objects; trellis2 gives PBR materials.")
    ] = None,
    decoder_weights: Annotated[str | None, typer.Option(help="Folder or repository of the decoder.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Of the trellis2 decoder: 512, 1024 or 1536.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same scene on the same device.", min=0)] = 0,
    steps: Annotated[int | None, typer.Option(help="Sampling steps; default as published.", min=1)] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance strength; default as published.", min=0)] = None,
    settle: Annotated[bool, typer.Option(help="Rest objects on the floor and out of each other.")] = False,
    fit_places: Annotated[
        bool | None,
        typer.Option(help="Move objects into their masks and onto the floor; by default for the mini preset only."),
    ] = None,
    max_memory: Annotated[str | None, typer.Option(help="Ceiling of memory, such as 6GB.")] = None,
    faces: Annotated[int | None, typer.Option(help="Face budget of each object.", min=4)] = None,
    texture_size: Annotated[int | None, typer.Option(help="Side of each texture.", min=16, max=8192)] = None,
    splats: Annotated[Path | None, typer.Option(help="Also write all Gaussians to this .ply.")] = None,
    camera: Annotated[Path | None, typer.Option(help="The picture's camera as .json, where it is known.")] = None,
    panorama: Annotated[
        bool, typer.Option("--panorama", help="IMAGE is a 2:1 panorama, whatever else; without masks it is recognised.")
    ] = False,
    depth: Annotated[
        Path | None, typer.Option(help="Distances of a panorama: .npy in metres or 16-bit .png in millimetres.")
    ] = None,
    stages: Annotated[
        Path | None, typer.Option(help="Folder where a panorama's stages are kept, edited and continued from.")
    ] = None,
    segmenter: Annotated[str | None, typer.Option(help="SAM for boxes, points and auto: folder or repository.")] = None,
    reroll: Annotated[
        list[str] | None, typer.Option(help="Make only this object anew (repeatable); needs --from.")
    ] = None,
    source: Annotated[Path | None, typer.Option("--from", help="Manifest (.json) of the scene to change.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Of a capture: go on where an interrupted run of the same command stopped.")
    ] = False,
    metres_per_unit: Annotated[
        float | None, typer.Option(help="Of a capture: its scale, where it is known.", min=0)
    ] = None,
    room_labels: Annotated[
        int | None, typer.Option(help="Of a capture: grey levels of masks from this on are the room.", min=1)
    ] = None,
    camera_height: Annotated[
        float | None, typer.Option(help="Of a capture: height of the cameras in metres, for its scale (1.6).", min=0)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make a folder's scenes again.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
) -> None:
    """Turn a photograph with object masks, or a folder of them, into 3D scenes of separate, placed objects."""
    folder = images[0] if images and len(images) == 1 and images[0].is_dir() else None
    if folder is not None:
        from scenewright.systems.genrecon.captures import is_capture

        if is_capture(folder):
            from scenewright.cli.generate_capture import generate_capture
            from scenewright.runs.captures import CaptureSettings

            generate_capture(
                CaptureSettings(
                    folder,
                    preset=preset,
                    masks=Path(masks[0]) if masks else None,
                    room_labels=room_labels,
                    metres_per_unit=metres_per_unit,
                    camera_height_m=camera_height,
                    seed=seed,
                    steps=steps,
                    max_faces=faces,
                    texture_size=texture_size,
                    max_memory=max_memory,
                    device=device,
                    dtype=dtype,
                ),
                out or Path("scene.glb"),
                resume=resume,
            )
            return
    if folder is not None:
        out = _checked_folder(folder, out or Path("scenes"), masks, camera=camera, splats=splats)
    else:
        out = out or Path("scene.glb")
        _check_outputs(out, splats)
        if overwrite:
            raise InputError("--overwrite is for a folder of photographs; a single scene is always written.")
    from dataclasses import replace

    from scenewright.cli.progress import stage_progress
    from scenewright.io.scene_file import save_scene
    from scenewright.machine import choose_device, choose_dtype
    from scenewright.runs.generate import Reroll, run, save_run
    from scenewright.runs.inputs import read_inputs
    from scenewright.runs.manifest import GenerateSettings, read_manifest
    from scenewright.systems.assembly.memory import parse_bytes
    from scenewright.systems.loading import choose_preset

    # What these log is told here once, as warnings and notes; without a handler, logging would print it, too.
    for part in ("encoders.masks", "systems"):
        logger = logging.getLogger(f"scenewright.{part}")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    place = choose_device(device)
    ceiling = None if max_memory is None else parse_bytes(max_memory)
    parent = None
    if source is not None:
        if images or masks or auto:
            raise InputError("With --from, picture and masks are those of the manifest; leave them out.")
        if not reroll:
            raise InputError(
                "Say with --reroll NAME what to make anew; `scenewright replay` makes the same scene again."
            )
        if splats is not None:
            raise InputError("A scene file keeps no Gaussians of the other objects; leave --splats out.")
        parent = read_manifest(source)
        unknown = [name for name in reroll if name not in parent.names]
        if unknown:
            raise InputError(f"There is no object '{unknown[0]}' in '{source}'; it has {', '.join(parent.names)}.")
        settings = replace(parent.settings, device=str(place), max_memory_bytes=ceiling)
    else:
        if reroll:
            raise InputError("--reroll needs --from MANIFEST, the .json beside the scene to change.")
        given = ["auto"] if auto else list(masks or ())
        if panorama or (not given and folder is None and _is_panorama(images)):
            system = _panorama_system(system)
            pairs = _one_panorama([str(path.absolute()) for path in images or ()], given)
        elif depth is not None or stages is not None:
            raise InputError("--depth and --stages belong to a panorama; leave them out, or add --panorama.")
        elif folder is None:
            pairs = _pairs_of_views([str(path.absolute()) for path in images or ()], given, system)
        else:
            from scenewright.cli.generate_folder import generate_and_report
            from scenewright.runs.folder import pair_photographs

            photographs = pair_photographs(folder, given[0] if given else None)
            pairs = [("", ())]
        chosen = choose_preset(system, preset)
        if chosen.notice:
            typer.echo(chosen.notice)
        settings = GenerateSettings(
            image=pairs[0][0],
            masks=pairs[0][1],
            further_views=tuple((path, own[0]) for path, own in pairs[1:]),
            system=system,
            preset=chosen.preset,
            decoder=None if decoder is None else decoder.value,
            decoder_weights=decoder_weights,
            resolution=resolution,
            segmenter=segmenter,
            camera=None if camera is None else str(camera.absolute()),
            depth=None if depth is None else str(depth.absolute()),
            stages=None if stages is None else str(stages.absolute()),
            seed=seed,
            steps=steps,
            guidance=guidance,
            max_memory_bytes=ceiling,
            max_faces=faces,
            texture_size=texture_size,
            settle=settle,
            fit_places=fit_places,
            device=str(place),
            dtype=None if dtype == "auto" else str(choose_dtype(dtype, place)).removeprefix("torch."),
        )
    if folder is not None:
        out.mkdir(parents=True, exist_ok=True)
        if generate_and_report(photographs, settings, out, overwrite=overwrite):
            raise typer.Exit(EXIT_SOME_FAILED)
        return
    inputs = read_inputs(settings)
    for line in inputs.warnings:
        typer.echo(f"warning: {line}", err=True)
    with stage_progress() as progress:
        rolled = None if parent is None else Reroll(parent, tuple(reroll or ()))
        made = run(settings, inputs, reroll=rolled, progress=progress)
        if splats is not None:
            save_scene(made.scene, splats)
        progress.stage("draw")
        written = save_run(made, out, comparison=out.with_name(f"{out.stem}_comparison.png"), inputs=inputs)
    summarise(made, len(inputs.masks), [*written, *([splats] if splats is not None else [])])


def summarise(made: Any, num_masks: int, written: list[Path]) -> None:
    """Prints what came out of a run: what was not found, settling, timings, memory and files."""
    found = len(made.scene.objects)
    if found < num_masks:
        kept = {item.name for item in made.scene.objects}
        lost = [name for name in made.manifest.names if name not in kept]
        typer.echo(f"warning: no shape was found for {', '.join(lost)}; try another --seed.", err=True)
    for note in made.scene.notes:
        typer.echo(f"note: {note}")
    if report := made.scene.provenance.get("settle"):
        before, after = report["penetration_before"], report["penetration_after"]
        deepest = [max((pair["depth"] for pair in pairs), default=0.0) for pairs in (before, after)]
        typer.echo(
            f"settled: {len(report['moves'])} objects moved; overlapping pairs {len(before)} -> {len(after)}, "
            f"deepest {deepest[0]:.3f} -> {deepest[1]:.3f}"
        )
    typer.echo("  ".join(f"{stage} {seconds:.1f} s" for stage, seconds in made.timings_s.items()))
    typer.echo(f"peak memory {made.manifest.facts['peak_memory_bytes'] / 2**20:.0f} MiB, {found} objects")
    typer.echo(f"wrote {', '.join(str(path) for path in written)}")


def _is_panorama(images: list[Path] | None) -> bool:
    """Whether there is one picture, twice as wide as high; a file that is no picture is told of later."""
    from PIL import Image

    if not images or len(images) > 1:
        return False
    try:
        with Image.open(images[0]) as picture:
            return picture.width == 2 * picture.height
    except OSError:
        return False


def _panorama_system(chosen: str) -> str:
    """The system that reads a panorama: the one chosen, or the only one where the choice was left open."""
    spec = find_system(chosen)
    if spec.reads == "panorama":
        return chosen
    readers = [spec.name for spec in usable_systems() if spec.reads == "panorama"]
    if chosen != DEFAULT_SYSTEM or not readers:
        raise InputError(f"{chosen} reads no panorama; use --system {' or '.join(readers)}, or give --masks.")
    return readers[0]


def _one_panorama(images: list[str], masks: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    if len(images) != 1 or masks:
        raise InputError("Expected one panorama without masks: scenewright generate PANORAMA [--depth DEPTH].")
    return [(images[0], ())]


def _pairs_of_views(images: list[str], masks: list[str], system: str) -> list[tuple[str, tuple[str, ...]]]:
    """Each picture with its masks; all masks belong to the picture where there is one only."""
    if not images or not masks:
        raise InputError("Expected a photograph and its masks: scenewright generate PHOTO --masks MASKS (or --auto).")
    paths = [item if item == "auto" else str(Path(item).absolute()) for item in masks]
    if len(images) == 1:
        return [(images[0], tuple(paths))]
    if find_system(system).max_views is not None:
        raise InputError(
            f"{system} makes a scene from one picture, but got {len(images)}; "
            "give one, or add --system scenegen, which takes several of the same objects."
        )
    if "auto" in paths:
        raise InputError("Masks found automatically have no names that agree between pictures; give --masks for each.")
    if len(paths) != len(images):
        raise InputError(
            f"Expected one --masks for each of the {len(images)} pictures, in their order, got {len(paths)}; "
            "a folder of masks counts as one."
        )
    return [(image, (path,)) for image, path in zip(images, paths, strict=True)]


def _checked_folder(
    folder: Path, out: Path, masks: list[str] | None, *, camera: Path | None, splats: Path | None
) -> Path:
    """Where the scenes of a folder go; refuses what is meant for a single photograph."""
    for value, option in ((camera, "--camera"), (splats, "--splats")):
        if value is not None:
            raise InputError(f"{option} belongs to one photograph; leave it out for the folder '{folder}'.")
    if len(masks or ()) > 1:
        raise InputError(
            f"Expected one --masks for the folder '{folder}', itself a folder or a COCO .json, got several."
        )
    if out.suffix.lower() == ".glb" or (out.exists() and not out.is_dir()):
        raise InputError(f"Expected --out to be a folder for the scenes of '{folder}', got '{out}'.")
    if out.absolute() == folder.absolute():
        raise InputError(
            "Give --out another folder than that of the photographs, or pictures of scenes would join them."
        )
    return out


def _check_outputs(out: Path, splats: Path | None) -> None:
    from scenewright.io.formats import check_target

    check_target(out, "--out", ".glb")
    if splats is not None:
        check_target(splats, "--splats", ".ply")
