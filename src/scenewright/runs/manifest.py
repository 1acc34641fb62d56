"""The run manifest: everything that a scene was made from, as JSON beside it, enough to make the same bytes again.

Inputs, weights and outputs are named by path and SHA-256. A re-rolled scene's manifest
holds the manifest it started from under "from".
"""

import hashlib
import json
import math
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from scenewright.errors import InputError
from scenewright.io.atomic import write_bytes
from scenewright.systems.options import RoomOverride

__all__ = ["GenerateSettings", "Manifest", "read_manifest", "sha256_of_bytes", "write_manifest"]

_KIND = "scenewright generate"
_FORMAT = 2
# Settings that format 1 called otherwise.
_RENAMED = {"preset": "weights", "fit_places": "fit_layout"}


@dataclass(frozen=True)
class GenerateSettings:
    """The choices of one run; paths are absolute, None is what the weights were published with.

    `further_views` are (picture, masks) of every view after the first; a panorama has no masks. `stages` is the folder
    where a system that can keeps what its stages made. `offline` forbids downloads. What is known of a panorama's room
    stands in `heading_deg` (counter-clockwise), `camera_height_m`, `floor_m` and `extent_m` (`options.RoomOverride`).
    `depth` is a file; `depth_model` estimates it where there is none. `commercial` refuses weights not cleared for it.
    """

    image: str
    masks: tuple[str, ...]
    system: str
    weights: str | None = None
    decoder: str | None = None
    decoder_weights: str | None = None
    resolution: int | None = None
    segmenter: str | None = None
    camera: str | None = None
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    max_memory_bytes: int | None = None
    max_faces: int | None = None
    texture_size: int | None = None
    settle: bool = False
    fit_layout: bool | None = None
    device: str = "cpu"
    dtype: str | None = None
    further_views: tuple[tuple[str, str], ...] = ()
    depth: str | None = None
    stages: str | None = None
    offline: bool = False
    heading_deg: float | None = None
    camera_height_m: float | None = None
    floor_m: float | None = None
    extent_m: tuple[float, float, float, float] | None = None
    depth_model: str | None = None
    commercial: bool = False
    preset: str | None = None

    @property
    def room(self) -> RoomOverride:
        """Facts of the room that the user knows."""
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
    placements: dict[str, list[list[float]]]
    environment: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    further_views_sha256: tuple[tuple[str, str], ...] = ()


def write_manifest(manifest: Manifest, path: str | Path) -> Path:
    """Writes a manifest atomically; returns the path."""
    text = json.dumps(_as_json(manifest), indent=2, ensure_ascii=False) + "\n"
    # Bytes of a file name that are no UTF-8 become JSON's escapes, which are read back as those bytes.
    return write_bytes(path, text.encode(errors="backslashreplace"))


def read_manifest(path: str | Path) -> Manifest:
    """The manifest in a JSON file.

    Raises:
        InputError: the file is missing or is no manifest of this version.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"Manifest '{path}' does not exist; give the .json that lies beside a scene.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Manifest '{path}' is not readable JSON ({error}).") from error
    try:
        return _from_json(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{path}' is not a manifest that `scenewright generate` wrote ({error}).") from error


def sha256_of_bytes(content: bytes) -> str:
    """The SHA-256 of bytes in memory, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _as_json(manifest: Manifest) -> dict[str, Any]:
    content = {item.name: getattr(manifest, item.name) for item in fields(manifest)}
    content["settings"] = asdict(manifest.settings)
    content["from"] = None if manifest.parent is None else _as_json(manifest.parent)
    del content["parent"]
    return {"kind": _KIND, "format": _FORMAT, **content}


def _from_json(content: dict[str, Any]) -> Manifest:
    if content["kind"] != _KIND or content["format"] not in (1, _FORMAT):
        raise KeyError(f"kind {content['kind']!r}, format {content['format']!r}")
    # What later versions added has a default, so that earlier manifests stay readable.
    optional = {item.name for item in fields(Manifest) if item.default is not MISSING}
    values = {
        item.name: content[item.name]
        for item in fields(Manifest)
        if item.name not in ("settings", "parent") and (item.name in content or item.name not in optional)
    }
    settings = {_RENAMED.get(name, name): value for name, value in content["settings"].items()}
    settings["masks"] = tuple(settings["masks"])
    settings["further_views"] = _pairs(settings.get("further_views", ()))
    if settings.get("extent_m") is not None:
        settings["extent_m"] = tuple(settings["extent_m"])
    values["further_views_sha256"] = _pairs(values.get("further_views_sha256", ()))
    return Manifest(
        settings=GenerateSettings(**settings),
        parent=None if content["from"] is None else _from_json(content["from"]),
        **{**values, "names": tuple(values["names"]), "rerolled": tuple(values["rerolled"])},
    )


def _pairs(rows: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(first), str(second)) for first, second in rows)
