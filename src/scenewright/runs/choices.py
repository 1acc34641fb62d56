"""Choices that a user left open, made before a run: the kind of picture, the weights, and what would change nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from scenewright.encoders.masks.finding import choose_segmenter, is_prompt_file
from scenewright.encoders.records import CUT_OUT
from scenewright.errors import InputError
from scenewright.io.images import upright_size
from scenewright.io.linear_image import LINEAR_SUFFIXES
from scenewright.runs.manifest import GenerateSettings
from scenewright.systems.genrecon.captures import is_capture
from scenewright.systems.genrecon.registration import is_video
from scenewright.systems.loading import (
    choose_weights,
    refuse_ignored,
    refuse_steps_and_quality,
    refuse_uncleared_choice,
)
from scenewright.systems.memory_plan import fitting_dtype
from scenewright.systems.registry import DEFAULT_SYSTEM, find_system, usable_systems

__all__ = ["chosen_settings", "is_panorama", "pairs_of_views", "panorama_system", "reads_capture", "wants_panorama"]

_CUT_OUT_NOTICE = (
    "The small segmenter that ships makes masks of boxes and points; SAM makes better ones "
    "(--segmenter facebook/sam2.1-hiera-large, 0.9 GB)."
)
# Settings that some systems have no use for; see `spec.Setting`.
_NOT_FOR_ALL = (
    *("decoder", "decoder_weights", "resolution", "steps", "guidance", "max_memory_bytes", "max_faces"),
    *("texture_size", "fit_layout", "dtype", "quality"),
)


def chosen_settings(settings: GenerateSettings) -> tuple[GenerateSettings, str]:
    """The settings with the weights, the precision and the segmenter that will be used, and lines for the user, or "".

    Raises:
        InputError: a setting would change nothing, there is no such preset, or weights are not cleared.
        WeightsError: there are no weights here, and none were named.
    """
    system = settings.system
    chosen = choose_weights(system, settings.weights)
    if settings.commercial:
        places = (settings.decoder_weights, settings.depth_model, settings.segmenter)
        refuse_uncleared_choice(system, chosen.weights, decoder=settings.decoder, places=places)
    if settings.preset is not None and settings.preset not in find_system(system).presets:
        presets = ", ".join(find_system(system).presets) or "none"
        raise InputError(f"{system} has no preset '{settings.preset}'; it has {presets}.")
    given = {name: getattr(settings, name) for name in _NOT_FOR_ALL} | {"settle": settings.settle or None}
    refuse_ignored(system, chosen.weights, given)
    refuse_steps_and_quality(settings.steps, settings.quality)
    settings, notice = replace(settings, weights=chosen.weights), chosen.notice
    takes_dtype = "dtype" in find_system(system).takes and chosen.weights != "mini"
    dtype = None
    if settings.dtype is None and takes_dtype:
        ceiling, device = settings.max_memory_bytes, torch.device(settings.device)
        dtype = fitting_dtype(system, chosen.weights, device, max_memory_bytes=ceiling, decoder=settings.decoder)
    if dtype is not None:
        # It stands in the manifest, so that a replay on another machine computes as this one did.
        settings = replace(settings, dtype=str(dtype).removeprefix("torch."))  # type: ignore[arg-type]
    sources = (*settings.masks, *(masks for _, masks in settings.further_views))
    if settings.segmenter is None and any(is_prompt_file(Path(source)) for source in sources):
        settings = replace(settings, segmenter=choose_segmenter())
        if settings.segmenter == CUT_OUT:
            notice = f"{notice}\n{_CUT_OUT_NOTICE}".strip()
    return settings, notice


def wants_panorama(pictures: Sequence[Path], masks: Sequence[str], system: str | None) -> bool:
    """Whether a run is of a panorama: its system reads nothing else, or its only picture is one and has no masks.

    Raises:
        InputError: there is no such system, or that picture is missing, damaged or too large.
    """
    if system is not None and find_system(system).reads == "panorama":
        return True
    return not masks and len(pictures) == 1 and is_panorama(pictures[0])


def is_panorama(picture: Path) -> bool:
    """Whether a picture without masks is twice as wide as high.

    Raises:
        InputError: the file is missing, damaged or too large.
    """
    if picture.suffix.lower() in LINEAR_SUFFIXES:
        return True  # photographs with masks are no pictures of linear light
    width, height = upright_size(picture)
    return width == 2 * height


def panorama_system(system: str) -> str:
    """The system that reads a panorama: the one given, or the only one where the choice was left open.

    Raises:
        InputError: the system reads none.
    """
    if find_system(system).reads == "panorama":
        return system
    readers = [spec.name for spec in usable_systems() if spec.reads == "panorama"]
    if system != DEFAULT_SYSTEM or not readers:
        raise InputError(f"{system} reads no panorama; use --system {' or '.join(readers)}, or give --masks.")
    return readers[0]


def pairs_of_views(images: Sequence[Path], masks: Sequence[str], system: str) -> list[tuple[str, tuple[str, ...]]]:
    """Each picture with its masks; all masks belong to the picture where there is one only.

    Raises:
        InputError: there are no masks, or their number does not fit, or the system takes one picture.
    """
    if not masks:
        raise InputError(
            "Expected a photograph and its masks: scenewright generate PHOTO --masks MASKS (or auto), or --boxes."
        )
    pictures = [str(path.absolute()) for path in images]
    paths = [item if item == "auto" else str(Path(item).absolute()) for item in masks]
    if len(pictures) == 1:
        return [(pictures[0], tuple(paths))]
    if find_system(system).max_views is not None:
        raise InputError(
            f"{system} makes a scene from one picture, but got {len(pictures)}; "
            "give one, or add --system scenegen, which takes several of the same objects."
        )
    if "auto" in paths:
        raise InputError("Masks found automatically have no names that agree between pictures; give --masks for each.")
    if len(paths) != len(pictures):
        raise InputError(
            f"Expected one --masks for each of the {len(pictures)} pictures, in their order, got {len(paths)}; "
            "a folder of masks counts as one."
        )
    return [(picture, (path,)) for picture, path in zip(pictures, paths, strict=True)]


def reads_capture(path: Path) -> bool:
    """Whether the path is a capture, or a video, which can be nothing else."""
    return is_video(path) or (path.is_dir() and is_capture(path))
