"""The run manifest: everything that a scene was made from, as JSON beside it, enough to make the same bytes again.

Inputs, weights and outputs are named by path and SHA-256. A re-rolled scene's manifest
holds the manifest it started from under "from".
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote_to_bytes

from annotated_types import Ge, Le, Predicate

from scenewright.errors import InputError
from scenewright.files import Number, Row4, Seed, checked, read_json, reading
from scenewright.io.atomic import write_bytes
from scenewright.samplers.config import Quality, SamplingOverride
from scenewright.systems.options import RoomOverride

__all__ = [
    "EDIT_KIND",
    "GenerateSettings",
    "Manifest",
    "manifest_text",
    "read_manifest",
    "sha256_of_bytes",
    "usable_name",
    "write_manifest",
]

_KIND = "scenewright generate"
EDIT_KIND = "scenewright edit"
"""The kind of a manifest that `runs.edit` writes."""
_FORMAT = 2
_URI = "file://"
# Settings that format 1 called otherwise.
_RENAMED = {"preset": "weights", "fit_places": "fit_layout"}


def _is_device(name: str) -> bool:
    return re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,3})?", name) is not None


@dataclass(frozen=True)
class GenerateSettings:
    """The choices of one run; paths are absolute, None is what the weights were published with.

    `further_views` are (picture, masks) of every view after the first; a panorama has no masks. `stages` is the folder
    where a system that can keeps what its stages made. `offline` forbids downloads. What is known of a panorama's room
    stands in `heading_deg` (counter-clockwise), `camera_height_m`, `floor_m` and `extent_m` (`options.RoomOverride`).
    `depth` is a file; `depth_model` estimates it where there is none. `commercial` refuses weights not cleared for it.
    `quality` takes the place of `steps`.
    """

    image: str
    masks: tuple[str, ...]
    system: str
    weights: str | None = None
    decoder: str | None = None
    decoder_weights: str | None = None
    resolution: Annotated[int, Ge(1), Le(1 << 16)] | None = None
    segmenter: str | None = None
    camera: str | None = None
    seed: Seed = 0
    steps: Annotated[int, Ge(1), Le(100_000)] | None = None
    guidance: Number | None = None
    max_memory_bytes: Annotated[int, Ge(1), Le(1 << 60)] | None = None
    max_faces: Annotated[int, Ge(4), Le(1 << 40)] | None = None
    texture_size: Annotated[int, Ge(16), Le(8192)] | None = None
    settle: bool = False
    fit_layout: bool | None = None
    device: Annotated[str, Predicate(_is_device)] = "cpu"
    dtype: Literal["float32", "bfloat16", "float16", "int8"] | None = None
    further_views: tuple[tuple[str, str], ...] = ()
    depth: str | None = None
    stages: str | None = None
    offline: bool = False
    heading_deg: Number | None = None
    camera_height_m: Number | None = None
    floor_m: Number | None = None
    extent_m: Row4 | None = None
    depth_model: str | None = None
    commercial: bool = False
    preset: str | None = None
    quality: Quality | None = None

    def __post_init__(self) -> None:
        _ = self.room  # a room that cannot be is refused here, before weights are loaded

    @property
    def inputs(self) -> tuple[str, ...]:
        """All that a run reads; words such as "auto" are among them."""
        views = (self.image, *self.masks, *(path for view in self.further_views for path in view))
        return (*views, *(path for path in (self.camera, self.depth) if path is not None))

    @property
    def sampling(self) -> SamplingOverride:
        """Changes to the samplers."""
        return SamplingOverride(self.steps, self.guidance, self.quality or "standard")

    @property
    def room(self) -> RoomOverride:
        """Facts of the room that the user knows.

        Raises:
            InputError: a room cannot have them.
        """
        heading = None if self.heading_deg is None else math.radians(self.heading_deg)
        return RoomOverride(heading, self.camera_height_m, self.floor_m, self.extent_m)


@dataclass(frozen=True)
class Manifest:
    """One run: `attempts` counts the re-rolls of each object, `rerolled` names those made anew in this run."""

    settings: GenerateSettings
    image_sha256: str
    masks_sha256: str
    names: tuple[str, ...]
    weights_sha256: dict[str, str]
    attempts: dict[str, int]
    rerolled: tuple[str, ...]
    parent: "Manifest | None"
    scene_path: str
    scene_sha256: str
    placements: dict[str, list[list[Number]]]
    environment: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    further_views_sha256: tuple[tuple[str, str], ...] = ()


def write_manifest(manifest: Manifest, path: str | Path) -> Path:
    """Writes a manifest atomically; returns the path."""
    return write_bytes(path, manifest_text(_as_json(manifest)).encode())


def manifest_text(content: dict[str, Any]) -> str:
    """JSON of a manifest; paths with bytes that are no UTF-8 stand in it as file URIs (`usable_name`)."""
    return json.dumps(_mapped(content, _writable_name), indent=2, ensure_ascii=False) + "\n"


def read_manifest(path: str | Path) -> Manifest:
    """The manifest in a JSON file.

    Raises:
        InputError: the file is missing or is no manifest of this version.
    """
    path = Path(path)
    with reading(path, "a manifest that `scenewright generate` wrote", "give the .json that lies beside a scene"):
        return _with_usable_names(checked(_as_fields(read_json(path, dict)), Manifest))


def sha256_of_bytes(content: bytes) -> str:
    """The SHA-256 of bytes in memory, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(item, change) for item in value)
    return change(value) if isinstance(value, str) else value


def _writable_name(text: str) -> str:
    return text if text.encode(errors="ignore").decode() == text else Path(text).as_uri()


def usable_name(text: str) -> str:
    """The path that a text of `manifest_text` means."""
    return os.fsdecode(unquote_to_bytes(text.removeprefix(_URI))) if text.startswith(_URI + "/") else text


def _with_usable_names(manifest: Manifest) -> Manifest:
    settings = GenerateSettings(**_mapped(asdict(manifest.settings), usable_name))
    parent = manifest.parent and _with_usable_names(manifest.parent)
    return replace(manifest, settings=settings, scene_path=usable_name(manifest.scene_path), parent=parent)


def _as_json(manifest: Manifest) -> dict[str, Any]:
    content = {item.name: getattr(manifest, item.name) for item in fields(manifest)}
    content["settings"] = asdict(manifest.settings)
    content["from"] = None if manifest.parent is None else _as_json(manifest.parent)
    del content["parent"]
    return {"kind": _KIND, "format": _FORMAT, **content}


def _as_fields(content: dict[str, Any]) -> dict[str, Any]:
    """JSON of any version under the names of this one; what later versions added has a default."""
    if content.get("kind") == EDIT_KIND:
        raise InputError("it is of an edited scene, whose objects are made anew by a step 'regenerate' of another edit")
    if content.get("kind") is None and "chunks" in content:
        raise InputError("it is of a capture, whose objects are made together; generate them again with another seed")
    if content["kind"] != _KIND or content["format"] not in (1, _FORMAT):
        raise ValueError(f"kind {content['kind']!r}, format {content['format']!r}")
    renamed = _RENAMED if content["format"] == 1 else {}
    settings = {renamed.get(name, name): value for name, value in content["settings"].items()}
    parent = content["from"]
    return content | {"settings": settings, "parent": None if parent is None else _as_fields(parent)}
