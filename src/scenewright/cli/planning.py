"""`scenewright doctor --for "generate ..."`: time, memory, downloads and ceiling of a command, before it is run."""

import shlex
from pathlib import Path
from typing import Any

import torch
import typer

from scenewright.encoders.records import RECORDS
from scenewright.errors import InputError, OutOfMemoryBudgetError
from scenewright.machine import choose_device, choose_dtype
from scenewright.runs.choices import panorama_system, reads_capture, wants_panorama
from scenewright.runs.inputs import ChosenDepth, choose_depth
from scenewright.samplers.config import quality_named
from scenewright.systems.assembly.memory import parse_bytes, readable_bytes
from scenewright.systems.calibration import measured
from scenewright.systems.costs import REFERENCE, START_S, USUAL_FURNITURE, stage_seconds
from scenewright.systems.loading import choose_weights
from scenewright.systems.memory_plan import check_ceiling, fitting_dtype, memory_plan, needed_records, room_on
from scenewright.systems.registry import find_system
from scenewright.weights.hub import cached_file, is_local_source
from scenewright.weights.record import WeightsRecord

__all__ = ["plan_command", "plan_lines"]

_DEFAULT = 'Expected a command such as --for "generate photo.jpg --masks masks.png"'


def plan_command(line: str) -> dict[str, Any]:
    """Plain JSON data: the system of a `generate` command, its seconds by stage, least memory, downloads, and ceiling.

    The seconds are expected ones, nothing else running; none where a system's costs are not known.

    Raises:
        InputError: it is another command, or a file cannot be read.
    """
    given = _parsed(line)
    images: list[Path] = given["images"]
    masks, device, preset = list(given["masks"] or ()), choose_device(given["device"]), given["preset"]
    system, objects = _system_and_objects(given, images, masks)
    weights = choose_weights(system, given["weights"]).weights
    is_mini = bool(find_system(system).mini) and weights == "mini"
    ceiling = None if given["max_memory"] is None else parse_bytes(given["max_memory"])
    dtype: torch.dtype | None = None
    if given["dtype"] != "auto":
        dtype = choose_dtype(given["dtype"])
    elif not is_mini and "dtype" in find_system(system).takes:
        dtype = fitting_dtype(system, weights, device, max_memory_bytes=ceiling, decoder=given["decoder"])
    plan = memory_plan(
        system,
        weights,
        device,
        objects=objects,
        dtype=dtype,
        decoder=given["decoder"],
        preset=preset,
        room=room_on(device, ceiling),
    )
    refusal = ""
    try:
        check_ceiling(plan, ceiling)
    except OutOfMemoryBudgetError as error:
        refusal = str(error)
    block = measured(device)
    distances = choose_depth(given["depth"], given["depth_model"]) if system == "inspace" else ChosenDepth()
    counted = USUAL_FURNITURE * (distances != ChosenDepth()) if system == "inspace" else objects
    quality = quality_named(given["quality"] or "standard")
    spent = stage_seconds(system, weights, block, device, objects=counted, dtype=dtype, preset=preset, quality=quality)
    if spent:
        spent = {"start": START_S * block.float32 / REFERENCE.float32} | spent
    is_local = weights != "published" and is_local_source(weights)
    needed = [] if is_mini or is_local else needed_records(system, given["decoder"], preset)
    missing = _missing([*needed, *(record for record in RECORDS if record.repository == distances.model)])
    return {
        "system": plan.label,
        "device": str(device),
        "dtype": None if dtype is None else str(dtype).removeprefix("torch."),
        "in_turn": plan.is_in_turn,
        "objects": objects,
        "memory_bytes": {
            "program": plan.program,
            "networks": plan.networks,
            "work": plan.work,
            "total": plan.total,
        },
        "seconds": {stage: round(value, 1) for stage, value in spent.items()},
        "networks_of_unknown_size": list(plan.unknown),
        "max_memory_bytes": ceiling,
        "refusal": refusal,
        "downloads": missing,
    }


def plan_lines(needs: dict[str, Any]) -> list[str]:
    """The same for people."""
    memory, objects = needs["memory_bytes"], needs["objects"]
    parts = ", ".join(f"{name} {readable_bytes(memory[name])}" for name in ("program", "networks", "work"))
    lines = [
        f"system      {needs['system']}, {objects} object{'' if objects == 1 else 's'}, on {needs['device']}",
        f"memory      at least {readable_bytes(memory['total'])}: {parts}",
    ]
    if needs["in_turn"]:
        lines.append("            networks of structures and of objects are read in turn, as they do not fit together")
    if needs["seconds"]:
        longest = sorted(needs["seconds"].items(), key=lambda item: -item[1])[:3]
        most = ", ".join(f"{stage} {_readable_seconds(value)}" for stage, value in longest)
        lines.append(f"time        about {_readable_seconds(sum(needs['seconds'].values()))}, most of it {most}")
    else:
        lines.append("time        unknown")
    if needs["networks_of_unknown_size"]:
        lines.append(f"            and {', '.join(needs['networks_of_unknown_size'])}, whose size is not published")
    if needs["max_memory_bytes"] is not None:
        ceiling = readable_bytes(needs["max_memory_bytes"])
        lines.append(f"ceiling     {needs['refusal'] or f'{ceiling} is enough to begin; the work is split to keep it'}")
    sizes = [item["bytes"] for item in needs["downloads"]]
    for item in needs["downloads"]:
        size = "unknown size" if item["bytes"] is None else f"about {readable_bytes(item['bytes'])}"
        lines.append(f"download    {item['name']} from {item['repository']}: {size}")
    if needs["downloads"]:
        known = sum(size for size in sizes if size is not None)
        lines.append(f"            {len(sizes)} files, {readable_bytes(known)} where sizes are known")
    else:
        lines.append("download    nothing")
    return lines


def _readable_seconds(seconds: float) -> str:
    """Such as "12 s", "3 min" or "5.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _parsed(line: str) -> dict[str, Any]:
    """The parameters of a `generate` command line."""
    from scenewright.cli.app import app

    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InputError(f"{_DEFAULT}, got '{line}': {error}.") from error
    words = words[1:] if words[:1] == ["scenewright"] else words
    if words[:1] != ["generate"]:
        raise InputError(f"{_DEFAULT}, got '{line}'; only generate is planned.")
    group: Any = typer.main.get_command(app)
    return dict(group.commands["generate"].make_context("scenewright generate", words[1:]).params)


def _system_and_objects(given: dict[str, Any], images: list[Path], masks: list[str]) -> tuple[str, int]:
    """The system that the command would take, and the objects of a scene, at most, or the chunks of a capture.

    It is one where only the run finds them.
    """
    from scenewright.runs.folder import pair_photographs

    if len(images) == 1 and (given["capture"] or reads_capture(images[0])):
        return "genrecon", _chunks(images[0])
    if given["boxes"]:
        return given["system"], len(given["boxes"])
    folder = images[0] if len(images) == 1 and images[0].is_dir() else None
    if given["panorama"] or (folder is None and wants_panorama(images, masks, given["system"])):
        return panorama_system(given["system"]), 1
    if folder is not None:
        pairs = [(item.path, item.masks) for item in pair_photographs(folder, masks[0] if masks else None)]
        counts = [_count(path, (source,)) for path, source in pairs if source is not None]
        return given["system"], max(counts, default=1)
    if not masks:
        raise InputError("Expected a photograph and its masks: generate PHOTO --masks MASKS.")
    return given["system"], _count(images[0], tuple(masks) if len(images) == 1 else (masks[0],))


def _chunks(folder: Path) -> int:
    """The number of chunks of a capture; 1 where only the run finds its cameras."""
    from scenewright.runs.captures import CaptureSettings, open_capture
    from scenewright.systems.genrecon.captures import is_capture

    return len(open_capture(CaptureSettings(folder)).report.views_per_chunk) if is_capture(folder) else 1


def _count(image: Path, masks: tuple[str, ...]) -> int:
    """The number of objects of a picture."""
    from scenewright.encoders.masks.finding import find_masks, is_prompt_file
    from scenewright.io.images import load_photograph

    if "auto" in masks or (len(masks) == 1 and is_prompt_file(Path(masks[0]).expanduser())):
        return 1
    return len(find_masks(load_photograph(image), masks[0] if len(masks) == 1 else masks, image_name=image.name))


def _missing(records: list[WeightsRecord]) -> list[dict[str, Any]]:
    """Published files that are not on this machine yet."""
    return [
        {
            "name": record.name,
            "repository": record.repository,
            "bytes": record.size_bytes or _stored_bytes(record),
        }
        for record in records
        if cached_file(record.repository, record.file, revision=record.revision) is None
    ]


def _stored_bytes(record: WeightsRecord) -> int | None:
    if record.num_parameters is None or not record.stored_dtype:
        return None
    return record.num_parameters * (4 if record.stored_dtype.startswith(("float32", "fp32")) else 2)
