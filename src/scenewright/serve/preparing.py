"""The work of the limited process (`serve.reading`): uploads read and checked, and the job that they are for."""

from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import assert_never

from scenewright.encoders.masks.finding import AUTOMATIC, is_prompt_file
from scenewright.encoders.masks.prompts import read_prompts
from scenewright.errors import InputError
from scenewright.io.conversion import collider_kind
from scenewright.io.formats import FORMATS, readable
from scenewright.io.images import PICTURE_SUFFIXES, image_size, load_photograph, upright_size
from scenewright.io.linear_image import LINEAR_SUFFIXES, load_linear_image
from scenewright.io.programs import PROGRAMS, program_named
from scenewright.runs.captures import CaptureSettings, open_capture
from scenewright.runs.choices import pairs_of_views, panorama_system, reads_capture, wants_panorama
from scenewright.runs.edit import Step
from scenewright.runs.generate import Reroll
from scenewright.runs.inputs import choose_depth, read_inputs
from scenewright.runs.job import CaptureJob, EditJob, ExportJob, GenerateJob, Job, RerollJob, job_key, job_to_json
from scenewright.runs.manifest import GenerateSettings, read_manifest
from scenewright.runs.profiles import PROFILES, profile_named
from scenewright.serve.limits import Limits
from scenewright.serve.reading import Accepted, Catalogue, Submission
from scenewright.serve.requests import (
    CaptureRequest,
    EditRequest,
    ExportRequest,
    GenerateRequest,
    RerollRequest,
)
from scenewright.serve.unpacking import unpacked
from scenewright.systems.loading import shipped_systems
from scenewright.systems.registry import DEFAULT_SYSTEM, find_system, usable_systems

__all__ = ["catalogue", "prepared"]

_OF_PANORAMAS = ("heading_deg", "camera_height_m", "floor_m", "extent_m")
_MODELS = (".glb", ".ply")


def prepared(submission: Submission, limits: Limits, device: str, offline: bool) -> Accepted:
    """The job of a submission; its files were read as the job will read them.

    Raises:
        ScenewrightError: something cannot be used, or is more than the limits allow.
    """
    job = _job(submission, limits, device, offline)
    return Accepted(job.kind, job_to_json(job), job_key(job))


def catalogue() -> Catalogue:
    """The systems and formats of this installation."""
    shipped = shipped_systems()
    systems = tuple(
        {
            "name": spec.name,
            "summary": spec.summary,
            "reads": spec.reads,
            "mini": spec.name in shipped,
            "presets": list(spec.presets),
        }
        for spec in usable_systems()
    )
    formats = tuple({"suffix": entry.suffix, "name": entry.name, "holds": sorted(entry.holds)} for entry in FORMATS)
    return Catalogue(
        systems, formats, tuple(profile.name for profile in PROFILES), tuple(program.name for program in PROGRAMS)
    )


def _job(submission: Submission, limits: Limits, device: str, offline: bool) -> Job:
    request = submission.request
    match request:
        case GenerateRequest():
            return _generate(request, submission, limits, device, offline)
        case CaptureRequest():
            return _capture(request, submission, limits, device, offline)
        case RerollRequest():
            scene = _scene(submission)
            Reroll(read_manifest(scene.with_suffix(".json")), tuple(request.names))  # refuses unknown names
            return RerollJob(str(scene), tuple(request.names), offline=offline)
        case EditRequest():
            return _edit(request, submission, offline)
        case ExportRequest():
            return _export(request, submission)
        case _:
            assert_never(request)


def _scene(submission: Submission) -> Path:
    assert submission.scene is not None
    return submission.scene


def _generate(
    request: GenerateRequest, submission: Submission, limits: Limits, device: str, offline: bool
) -> GenerateJob:
    pictures = submission.files.get("pictures", ())
    if not pictures:
        raise InputError("Expected at least one picture in the field 'pictures', got none.")
    for path in pictures:
        _check_size(path, limits)
    masks = [str(path) for path in _masks(request, submission, limits)]
    if request.panorama or wants_panorama(pictures, masks, request.system):
        settings = _panorama(request, submission, pictures, masks)
    else:
        for name in (*_OF_PANORAMAS, "depth"):
            if getattr(request, name, None) is not None or submission.files.get(name):
                raise InputError(f"The picture is no panorama, so '{name}' would change nothing; leave it out.")
        system = request.system or DEFAULT_SYSTEM
        if find_system(system).reads != "masks":
            raise InputError(f"{system} reads no pictures with masks; GET /catalogue says what each reads.")
        pairs = pairs_of_views(pictures, masks, system)
        camera = submission.files.get("camera", ())
        settings = GenerateSettings(
            image=pairs[0][0],
            masks=pairs[0][1],
            further_views=tuple((image, own[0]) for image, own in pairs[1:]),
            camera=str(camera[0]) if camera else None,
            system=system,
        )
    names = {item.name for item in fields(GenerateSettings)}
    given = {name: value for name, value in dict(request).items() if name in names and name != "system"}
    settings = replace(settings, **given, device=device, offline=offline)
    job = GenerateJob(settings, splats=request.splats)
    views = [(settings.image, settings.masks), *((image, (own,)) for image, own in settings.further_views)]
    prompts = [(Path(own[0]), image) for image, own in views if len(own) == 1 and is_prompt_file(Path(own[0]))]
    if prompts or request.auto_masks:  # the objects are found when the job runs
        for image, _ in views:
            load_photograph(image)
        for path, image in prompts:
            _check_prompts(path, image, limits)
        return job
    count = len(read_inputs(settings).masks)
    if count > limits.objects:
        raise InputError(f"The masks are of {count:,} objects, more than the {limits.objects:,} of a scene here.")
    return job


def _masks(request: GenerateRequest, submission: Submission, limits: Limits) -> list[str | Path]:
    """Where masks come from: uploads, a zip of them, prompts, or SAM alone."""
    uploads, folder = submission.files.get("masks", ()), submission.folder
    sources = [bool(uploads), request.prompts is not None, request.auto_masks]
    if sum(sources) > 1:
        raise InputError("Expected one of masks, prompts and auto_masks, got several.")
    if request.auto_masks:
        return [AUTOMATIC]
    if request.prompts is not None:
        path = folder / "prompts.json"
        path.write_text(request.prompts.model_dump_json(), encoding="utf-8")
        return [path]
    return [_unpacked_masks(path, folder, limits) for path in uploads]


def _check_prompts(path: Path, picture: str, limits: Limits) -> None:
    prompts = read_prompts(path)
    if len(prompts) > limits.objects:
        raise InputError(
            f"The prompts mark {len(prompts):,} objects, more than the {limits.objects:,} of a scene here."
        )
    width, height = upright_size(picture)
    prompts.checked(height, width)


def _unpacked_masks(path: Path, folder: Path, limits: Limits) -> Path:
    return unpacked(path, folder / path.stem, limits) if path.suffix == ".zip" else path


def _panorama(
    request: GenerateRequest, submission: Submission, pictures: tuple[Path, ...], masks: list[str]
) -> GenerateSettings:
    if len(pictures) != 1 or masks:
        raise InputError("Expected one panorama without masks.")
    depth, camera = submission.files.get("depth", ()), submission.files.get("camera", ())
    distances = choose_depth(depth[0] if depth else None)
    return GenerateSettings(
        image=str(pictures[0]),
        masks=(),
        system=panorama_system(request.system or DEFAULT_SYSTEM),
        camera=str(camera[0]) if camera else None,
        depth=distances.file,
        depth_model=distances.model,
    )


def _capture(request: CaptureRequest, submission: Submission, limits: Limits, device: str, offline: bool) -> CaptureJob:
    archives = submission.files.get("archive", ())
    if len(archives) != 1 or archives[0].suffix != ".zip":
        raise InputError("Expected one .zip of a capture in the field 'archive'.")
    folder = unpacked(archives[0], submission.folder / "capture", limits)
    archives[0].unlink()  # its content is what counts
    for path in folder.rglob("*"):
        if path.suffix.lower() in PICTURE_SUFFIXES:
            _check_size(path, limits)
    masks = [str(_unpacked_masks(path, submission.folder, limits)) for path in submission.files.get("masks", ())]
    if len(masks) > 1 or (masks and request.auto_masks):
        raise InputError("Masks of a capture are one .zip, one COCO .json, or auto_masks; got several.")
    settings = CaptureSettings(
        folder,
        masks=AUTOMATIC if request.auto_masks else (masks[0] if masks else None),
        weights=request.weights,
        room_labels=request.room_labels,
        published=request.published,
        metres_per_unit=request.metres_per_unit,
        camera_height_m=request.camera_height_m,
        seed=request.seed,
        steps=request.steps,
        quality=request.quality,
        max_faces=request.max_faces,
        texture_size=request.texture_size,
        device=device,
        offline=offline,
        commercial=request.commercial,
    )
    if reads_capture(folder):
        open_capture(replace(settings, masks=None))
    elif find_spec("pycolmap") is None:
        raise InputError("The archive holds no cameras, and this server cannot find them; send a capture with cameras.")
    return CaptureJob(settings)


def _edit(request: EditRequest, submission: Submission, offline: bool) -> EditJob:
    models = submission.files.get("models", ())
    for path in models:
        if path.suffix not in _MODELS:
            raise InputError(f"Expected models as {' or '.join(_MODELS)}.")
        readable(path).read(path)
    if not request.steps and not request.undo:
        raise InputError("There is nothing to do; give a step, or a number of steps to undo.")
    steps = []
    for step in request.steps:
        if step.model is not None and step.model >= len(models):
            raise InputError(f"Step '{step.action} {step.name}' names model {step.model}, but {len(models)} were sent.")
        file = None if step.model is None else str(models[step.model])
        steps.append(Step(step.action, step.name, tuple(step.values), file))
    return EditJob(str(_scene(submission)), tuple(steps), request.undo, offline=offline)


def _export(request: ExportRequest, submission: Submission) -> ExportJob:
    suffix = f".{request.format.removeprefix('.')}"
    if suffix not in {entry.suffix for entry in FORMATS}:
        raise InputError(f"There is no format '{suffix}'; GET /catalogue lists them.")
    if request.profile is not None:
        profile_named(request.profile)
    if request.program is not None:
        program_named(request.program)
    collider_kind(request.colliders)
    return ExportJob(
        str(_scene(submission)),
        suffix,
        settle=request.settle,
        profile=request.profile,
        colliders=request.colliders,
        welded=request.welded,
        program=request.program,
        resolution=request.resolution,
        compression=request.compression,
    )


def _check_size(path: Path, limits: Limits) -> None:
    if path.suffix in LINEAR_SUFFIXES:
        load_linear_image(path, max_pixels=limits.pixels)
        return
    width, height = image_size(path)
    if width * height > limits.pixels:
        raise InputError(f"'{path.name}' has {width}x{height} pixels, more than the {limits.pixels:,} that are read.")
