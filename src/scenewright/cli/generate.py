"""`scenewright generate`: photographs with masks of objects, or many of one place, to scenes of placed objects."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scenewright.cli.options import (
    AllowDownloads,
    CameraHeight,
    Commercial,
    Depth,
    DepthModel,
    Device,
    Extent,
    Faces,
    Floor,
    Guidance,
    Heading,
    Offline,
    Precision,
    Quality,
    Seed,
    Settle,
    Steps,
    TextureSize,
    Weights,
    out_option,
)
from scenewright.cli.warned import keep_repeated_warnings_quiet
from scenewright.errors import InputError
from scenewright.systems.registry import DEFAULT_SYSTEM, usable_systems

if TYPE_CHECKING:
    from scenewright.runs.generate import Reroll
    from scenewright.runs.manifest import GenerateSettings

__all__ = ["generate", "run_and_write"]

EXIT_SOME_FAILED = 1


def generate(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="A photograph, several of the same objects, a folder of them, a panorama, a capture or a video.",
        ),
    ],
    masks: Annotated[
        list[str] | None,
        typer.Option(
            "--masks",
            "-m",
            help="Masks of the objects: label picture, folder, COCO, LabelMe, CVAT, .npy, boxes and points (.json), or "
            "auto.",
        ),
    ] = None,
    boxes: Annotated[
        list[str] | None,
        typer.Option(
            "--boxes", help="A box around an object, LEFT,UPPER,RIGHT,LOWER in pixels, repeatable: its mask is found."
        ),
    ] = None,
    out: Annotated[Path | None, out_option("Write the scene here (scene.glb), or a folder's scenes (scenes).")] = None,
    system: Annotated[
        str,
        typer.Option(
            help=f"Generate with {', '.join(spec.name for spec in usable_systems())}; "
            "a panorama takes inspace, a capture genrecon."
        ),
    ] = DEFAULT_SYSTEM,
    weights: Weights = None,
    decoder: Annotated[
        str | None, typer.Option(help="Turn voxels into objects with trellis1, or trellis2 for PBR materials.")
    ] = None,
    decoder_weights: Annotated[
        str | None, typer.Option(help="Take the decoder from this folder or repository.")
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(help="Decode on a grid of 512, 1024 or 1536 voxels a side (trellis2).")
    ] = None,
    seed: Seed = 0,
    steps: Steps = None,
    quality: Quality = None,
    guidance: Guidance = None,
    settle: Settle = False,
    fit_layout: Annotated[
        bool | None,
        typer.Option(help="Move objects into their masks and onto the floor; by default with the mini weights only."),
    ] = None,
    max_memory: Annotated[str | None, typer.Option(help="Stay below this much memory, such as 6GB.")] = None,
    faces: Faces = None,
    texture_size: TextureSize = None,
    splats: Annotated[Path | None, typer.Option(help="Write all Gaussians to this .ply, too.")] = None,
    camera: Annotated[
        Path | None, typer.Option(help="The picture's camera: .json, transforms.json, or a photograph with EXIF.")
    ] = None,
    panorama: Annotated[
        bool, typer.Option("--panorama", help="Read the picture as a 2:1 panorama; one without masks is recognised.")
    ] = False,
    depth: Depth = None,
    depth_model: DepthModel = None,
    heading: Heading = None,
    floor: Floor = None,
    extent: Extent = None,
    stages: Annotated[
        Path | None, typer.Option(help="Keep a panorama's stages in this folder, to edit them and go on from there.")
    ] = None,
    capture: Annotated[
        bool, typer.Option("--capture", help="Read a folder of plain photographs as one place; find their cameras.")
    ] = False,
    preset: Annotated[
        str | None, typer.Option(help="Named options of a system; inspace: published, published_fixed or refined.")
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(
            help="Find masks from boxes, points or auto with this SAM (folder or repository); "
            "cut-out is the small segmenter that ships, for boxes and points."
        ),
    ] = None,
    metres_per_unit: Annotated[float | None, typer.Option(help="Scale of a capture, where it is known.", min=0)] = None,
    camera_height: CameraHeight = None,
    room_labels: Annotated[
        int | None, typer.Option(help="Grey levels of a capture's masks from this on are the room.", min=1)
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Assemble a capture's scene as GenRecon's authors do.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run of a capture.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make a folder's scenes again.")] = False,
    device: Device = "auto",
    dtype: Precision = "auto",
    offline: Offline = False,
    commercial: Commercial = False,
    allow_downloads: AllowDownloads = False,
) -> None:
    """Turn a photograph with masks, a folder of them, a panorama or a capture into scenes of placed objects."""
    of_captures = {
        "--metres-per-unit": metres_per_unit,
        "--room-labels": room_labels,
        "--published": published or None,
        "--resume": resume or None,
    }
    of_panoramas = {
        "--depth": depth,
        "--depth-model": depth_model,
        "--heading": heading,
        "--floor": floor,
        "--extent": extent,
        "--stages": stages,
    }
    of_photographs = {
        "--decoder": decoder,
        "--decoder-weights": decoder_weights,
        "--resolution": resolution,
        "--guidance": guidance,
        "--settle": settle or None,
        "--fit-layout": fit_layout,
        "--splats": splats,
        "--camera": camera,
        "--preset": preset,
        "--overwrite": overwrite or None,
        "--panorama": panorama or None,
        **of_panoramas,
    }
    if boxes and (masks or capture or len(images) != 1 or images[0].is_dir()):
        raise InputError("--boxes are of one photograph, in place of --masks; for several give each a file of boxes.")
    if capture and len(images) != 1:
        raise InputError(f"--capture reads one folder of photographs or one video, got {len(images)} files.")
    from scenewright.cli.progress import starting

    with starting():
        from scenewright.runs.choices import (
            chosen_settings,
            pairs_of_views,
            panorama_system,
            reads_capture,
            wants_panorama,
        )
        from scenewright.samplers.config import quality_named

    sampling_quality = None if quality is None else quality_named(quality)

    if len(images) == 1 and (capture or reads_capture(images[0])):
        _refuse(of_photographs, f"'{images[0]}' is a capture, photographs of one place")
        from scenewright.cli.generate_capture import generate_capture
        from scenewright.runs.captures import CaptureSettings

        settings_of_capture = CaptureSettings(
            images[0],
            weights=weights,
            masks=_one_source(masks),
            segmenter=segmenter,
            published=published,
            room_labels=room_labels,
            metres_per_unit=metres_per_unit,
            camera_height_m=camera_height,
            seed=seed,
            steps=steps,
            quality=sampling_quality,
            max_faces=faces,
            texture_size=texture_size,
            max_memory=max_memory,
            device=device,
            dtype=dtype,
            offline=offline,
            commercial=commercial,
        )
        generate_capture(settings_of_capture, out or Path("scene.glb"), resume=resume)
        return
    _refuse(of_captures, "There is no capture, a folder of posed photographs, to read")
    folder = images[0] if len(images) == 1 and images[0].is_dir() else None
    if folder is not None:
        out = _checked_folder(folder, out or Path("scenes"), masks, camera=camera, splats=splats)
    else:
        out = out or Path("scene.glb")
        beside = ["_comparison.png", ".json", *(["_boxes.json"] if boxes else [])]
        _check_outputs(
            out, beside, splats, [*images, *(path for path in (*(masks or ()), camera, depth) if path is not None)]
        )
        if overwrite:
            raise InputError("--overwrite is for a folder of photographs; a single scene is always written.")
    # Beside the scene lies nothing as long as its run may be refused.
    with tempfile.TemporaryDirectory() as drafts:
        if boxes:
            masks = [str(_boxes_file(boxes, Path(drafts) / f"{out.stem}_boxes.json"))]
        from scenewright.machine import choose_device, choose_dtype
        from scenewright.runs.inputs import ChosenDepth, choose_depth
        from scenewright.runs.manifest import GenerateSettings
        from scenewright.systems.assembly.memory import parse_bytes

        torch_device = choose_device(device)
        distances = ChosenDepth()
        if panorama or (folder is None and wants_panorama(images, masks or (), system)):
            system = panorama_system(system)
            pairs = _one_panorama(images, list(masks or ()))
            distances = choose_depth(depth, depth_model)
        else:
            _refuse({**of_panoramas, "--camera-height": camera_height}, "The picture is no panorama")
            pairs = [("", ())] if folder is not None else pairs_of_views(images, list(masks or ()), system)
        precision: Any = None if dtype == "auto" else str(choose_dtype(dtype)).removeprefix("torch.")
        settings = GenerateSettings(
            image=pairs[0][0],
            masks=pairs[0][1],
            further_views=tuple((path, own[0]) for path, own in pairs[1:]),
            system=system,
            weights=weights,
            decoder=decoder,
            decoder_weights=decoder_weights,
            resolution=resolution,
            segmenter=segmenter,
            camera=None if camera is None else str(camera.absolute()),
            depth=distances.file,
            depth_model=distances.model,
            stages=None if stages is None else str(stages.absolute()),
            heading_deg=heading,
            camera_height_m=camera_height,
            floor_m=floor,
            extent_m=extent,
            seed=seed,
            steps=steps,
            quality=sampling_quality,
            guidance=guidance,
            max_memory_bytes=None if max_memory is None else parse_bytes(max_memory),
            max_faces=faces,
            texture_size=texture_size,
            settle=settle,
            fit_layout=fit_layout,
            device=str(torch_device),
            dtype=precision,
            offline=offline,
            commercial=commercial,
            preset=preset,
        )
        with starting():  # the first time, a block of a flow may be timed
            settings, notice = chosen_settings(settings)
        if notice:
            typer.echo(notice)
        if folder is None:
            boxes_file = out.with_name(f"{out.stem}_boxes.json") if boxes else None
            run_and_write(settings, out, comparison=_comparison(out), splats=splats, boxes_file=boxes_file)
            return
        from scenewright.cli.generate_folder import generate_and_report
        from scenewright.io.atomic import make_folder
        from scenewright.runs.folder import pair_photographs, unread_pictures

        for path in unread_pictures(folder):
            typer.echo(f"skipped: {path.name} is in no format that is read; save it as PNG or JPEG", err=True)
        photographs = pair_photographs(folder, masks[0] if masks else None)
        make_folder(out)
        if generate_and_report(photographs, settings, out, overwrite=overwrite):
            raise typer.Exit(EXIT_SOME_FAILED)


def run_and_write(
    settings: "GenerateSettings",
    out: Path,
    *,
    comparison: Path,
    reroll: "Reroll | None" = None,
    splats: Path | None = None,
    boxes_file: Path | None = None,
) -> None:
    """Makes one scene with a bar, writes its files, and prints what came of it.

    Args:
        boxes_file: a copy to write of the settings' masks, for the manifest to name.
    """
    from scenewright.cli.progress import run_bar, starting

    with starting():
        from scenewright.files import read_file
        from scenewright.machine import peak_memory_bytes
        from scenewright.runs.compiled_ahead import compile_ahead
        from scenewright.runs.generate import expected_objects, expected_seconds, memory_notes, run, save_run
        from scenewright.runs.inputs import read_inputs
        from scenewright.runs.settle_report import settle_lines

    keep_repeated_warnings_quiet()
    inputs = read_inputs(settings)
    also = {}
    if boxes_file is not None:
        also[boxes_file] = read_file(settings.masks[0])
        settings = replace(settings, masks=(str(boxes_file.absolute()),))
    compile_ahead()
    for line in inputs.warnings:
        typer.echo(f"warning: {line}", err=True)
    objects = expected_objects(settings, len(inputs.masks)) if reroll is None else len(reroll.names)
    expected = expected_seconds(settings, objects)
    with run_bar(expected, objects, again=lambda number: expected_seconds(settings, number)) as bar:
        result = run(settings, inputs, reroll=reroll, progress=bar)
        bar.stage("draw")
        paths = save_run(result, out, comparison=comparison, inputs=inputs, splats=splats, also=also)
    scene, facts = result.scene, result.manifest.facts
    names = {item.name for item in scene.objects}
    if missing := [name for name in result.manifest.names if name not in names]:
        typer.echo(f"warning: no shape was found for {', '.join(missing)}; try another --seed.", err=True)
    for note in [*scene.notes, *memory_notes(settings)]:
        typer.echo(f"note: {note}")
    if report := facts["settle"]:
        for line in settle_lines(report):
            typer.echo(line)
    typer.echo("  ".join(f"{stage} {seconds:.1f} s" for stage, seconds in result.timings_s.items()))
    typer.echo(f"peak memory {peak_memory_bytes(settings.device) / 2**20:.0f} MiB, {len(scene.objects)} objects")
    typer.echo(f"wrote {', '.join(str(path) for path in paths)}")


def _one_panorama(images: list[Path], masks: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    if len(images) != 1 or masks:
        raise InputError("Expected one panorama without masks: scenewright generate PANORAMA [--depth DEPTH].")
    return [(str(images[0].absolute()), ())]


def _one_source(masks: list[str] | None) -> str | None:
    if len(masks or ()) > 1:
        raise InputError("Masks of a capture are one folder, one COCO .json, or auto; got several --masks.")
    return masks[0] if masks else None


def _refuse(options: dict[str, Any], reason: str) -> None:
    """Refuses options that would change nothing."""
    for name, value in options.items():
        if value is not None:
            raise InputError(f"{reason}, so {name} would change nothing; leave it out.")


def _checked_folder(
    folder: Path, out: Path, masks: list[str] | None, *, camera: Path | None, splats: Path | None
) -> Path:
    """The folder for the scenes of a folder of photographs; refuses what is meant for a single photograph."""
    for value, option in ((camera, "--camera"), (splats, "--splats")):
        if value is not None:
            raise InputError(f"{option} belongs to one photograph; leave it out for the folder '{folder}'.")
    if len(masks or ()) > 1:
        raise InputError(
            f"Expected one --masks for the folder '{folder}', itself a folder or a COCO .json, got several."
        )
    if out.suffix.lower() == ".glb" or (out.exists() and not out.is_dir()):
        raise InputError(f"Expected --out to be a folder for the scenes of '{folder}', got '{out}'.")
    if out.resolve() in {folder.resolve(), *(Path(path).resolve() for path in masks or ())}:
        raise InputError(
            "Give --out another folder than those of the photographs and masks, or files of scenes would join them."
        )
    return out


def _comparison(out: Path) -> Path:
    return out.with_name(f"{out.stem}_comparison.png")


def _boxes_file(boxes: list[str], path: Path) -> Path:
    """The boxes as a file of prompts."""
    from scenewright.encoders.masks.prompts import MaskPrompts, box_of, prompt_bytes
    from scenewright.io.atomic import write_bytes

    return write_bytes(path, prompt_bytes(MaskPrompts(tuple(box_of(text) for text in boxes))))


def _check_outputs(out: Path, beside: list[str], splats: Path | None, inputs: list[str | Path]) -> None:
    from scenewright.io.formats import check_target

    check_target(out, "--out", ".glb", beside=beside, inputs=inputs)
    if splats is not None:
        check_target(splats, "--splats", ".ply", inputs=inputs)
