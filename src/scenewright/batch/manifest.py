"""The manifest of a batch: JSON lines, each one job of `scenewright.runs.job` with a name for its results.

    {"name": "kitchen", "kind": "generate", "settings": {"image": "a.jpg", "masks": ["a.png"], "system": "iscene"}}

A line that is no job is set aside with its reason; the others are done. Lines may come from anybody: they are short,
checked key by key, name results by plain words, inputs below the roots alone, and weights of listed repositories.
"""

import difflib
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from scenewright.batch.places import Place
from scenewright.errors import InputError, ScenewrightError
from scenewright.files import json_value
from scenewright.runs.job import CaptureJob, EditJob, GenerateJob, Job, RerollJob, job_from_json, job_to_json
from scenewright.systems.catalogue import all_records
from scenewright.weights.hub import refuse_unlisted

__all__ = ["BadLine", "Task", "read_manifest_lines"]

MAX_LINE_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SET_ASIDE, SUMMARY = "set_aside.jsonl", "batch.json"
"""Files of the batch itself, beside the folders of its jobs."""
_SETTINGS = ("settings", "recipe", "preparation")
_WEIGHTS = ("weights", "decoder_weights", "segmenter", "depth_model", "encoder_weights")


@dataclass(frozen=True)
class Task:
    """A job for a worker: its results lie in the folder `name`.

    `takes_device` says that the line names no device, so that the worker's own is used. A part of a divided job has the
    `whole` job's name for its results, too.
    """

    name: str
    job: str
    takes_device: bool = True
    is_part: bool = False


@dataclass(frozen=True)
class BadLine:
    """A line that is no job."""

    number: int
    name: str
    reason: str


def read_manifest_lines(place: Place, name: str) -> Iterator[tuple[Task, Job] | BadLine]:
    """The jobs of a manifest, one by one; empty lines are left out.

    Raises:
        InputError: the manifest is not there.
        TransferError: its store does not answer.
    """
    used: set[str] = set()
    for number, line in enumerate(place.lines(name, MAX_LINE_BYTES), 1):
        if line is not None and not line.strip():
            continue
        own = f"line-{number:07d}"
        try:
            if line is None:
                raise InputError(f"it is longer than {MAX_LINE_BYTES:,} bytes; a line is one job")
            content = _object(line)
            own = _name(content.pop("name", own))
            if own.lower() in used:
                raise InputError(f"another line has the name '{own}'")
            job = _job(content)
            used.add(own.lower())
        except ScenewrightError as error:
            yield BadLine(number, own, f"line {number}: {error}")
            continue
        settings = content.get("settings", content)
        yield Task(own, job_to_json(job), "device" not in settings), job


def _object(line: bytes) -> dict[str, Any]:
    try:
        return json_value(line, dict)
    except ValueError as error:
        raise InputError(f"it is no JSON object ({str(error).splitlines()[0][:200]})") from error


def _name(given: object) -> str:
    if not isinstance(given, str) or not _NAME.fullmatch(given) or given.endswith("."):
        raise InputError(f"its name {str(given)[:100]!r} is not made of at most 100 letters, digits, dots, - and _")
    if given.lower() in (SET_ASIDE, SUMMARY):
        raise InputError(f"its name '{given}' is that of a file of the batch; give it another one")
    return given


def _job(content: dict[str, Any]) -> Job:
    """The job, if it is one that reads nothing but its inputs and writes nothing but its results."""
    job = job_from_json(json.dumps(content))
    known = asdict(job)
    _refuse_unknown(content, known)
    for part in _SETTINGS:
        if isinstance(content.get(part), dict):
            _refuse_unknown(content[part], known[part])
    if isinstance(job, RerollJob | EditJob):
        raise InputError(f"a batch does no '{job.kind}' jobs, which change a scene on this machine")
    if isinstance(job, GenerateJob) and job.settings.stages is not None:
        raise InputError("stages are not kept in a batch; leave 'stages' out")
    if isinstance(job, CaptureJob) and job.settings.photographs is not None:
        raise InputError("'photographs' is found by the run itself; leave it out")
    for place in (known, *(known.get(part, {}) for part in _SETTINGS)):
        for name in _WEIGHTS:
            if place.get(name) is not None:
                refuse_unlisted(place[name], _listed(), "it")
    return job


@functools.cache
def _listed() -> frozenset[str]:
    return frozenset(record.repository for record in all_records().values())


def _refuse_unknown(content: dict[str, Any], known: dict[str, Any]) -> None:
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise InputError(f"it has the unknown key '{key[:100]}'{hint}")
