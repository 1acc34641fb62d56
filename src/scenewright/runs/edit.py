"""Editing a scene step by step: every step stands in the manifest beside the result, to be undone or replayed.

    opened = open_edit("scene.glb")              # the scene, and the steps that made it if it is an edited one
    edited = apply(opened, [Step("move", "sofa", (0.5, 0, 0)), Step("lock", "sofa")])
    save_edit(edited, "edited.glb")

An edited scene is its base file and a list of steps. `undone` takes steps away, `replay_edit` makes the scene again;
both need the base as it was. The same base and steps give the same bytes.

Frame: world z up; metres where the scene is metric.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import MaxLen
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.files import MAX_NUMBER, Number, checked, read_file, read_json, reading
from scenewright.io.atomic import write_together
from scenewright.io.formats import readable
from scenewright.io.glb import glb_bytes
from scenewright.progress import SILENT, Progress
from scenewright.runs.generate import OpenSystem, Reroll, run
from scenewright.runs.manifest import EDIT_KIND, Manifest, manifest_text, read_manifest, sha256_of_bytes, usable_name
from scenewright.runs.replay import refuse_unlisted_repositories
from scenewright.types import OrientedBox, Scene, SceneObject

__all__ = ["ACTIONS", "Action", "Edited", "Step", "apply", "is_edit", "open_edit", "replay_edit", "save_edit", "undone"]

_FORMAT = 1
_GAP = 0.05  # between an object and its copy, as a share of its width

Action = Literal["move", "rotate", "scale", "delete", "duplicate", "swap", "lock", "unlock", "regenerate"]

ACTIONS: dict[Action, int] = {
    "move": 3,
    "rotate": 1,
    "scale": 1,
    "delete": 0,
    "duplicate": 0,
    "swap": 0,
    "lock": 0,
    "unlock": 0,
    "regenerate": 0,
}
"""The numbers that a step takes: x, y, z of a move in the world; degrees counter-clockwise from above; a factor."""


@dataclass(frozen=True)
class Step:
    """One change of the object called `name`; `file` and its hash are those of a model to swap it with.

    Raises:
        InputError: the wrong number of values, values that no manifest may hold, or a scale that is not above 0.
    """

    action: Action
    name: str
    values: Annotated[tuple[Number, ...], MaxLen(3)] = ()
    file: str | None = None
    file_sha256: str | None = None

    def __post_init__(self) -> None:
        wanted = ACTIONS[self.action]
        if len(self.values) != wanted or not all(map(math.isfinite, self.values)):
            raise InputError(f"--{self.action} '{self.name}' takes {wanted} numbers, got {len(self.values)}.")
        if any(abs(value) > MAX_NUMBER for value in self.values):
            raise InputError(
                f"--{self.action} '{self.name}' takes numbers of at most {MAX_NUMBER:g}; give smaller ones."
            )
        if self.action == "scale" and self.values[0] <= 0:
            raise InputError(f"Expected a factor above 0 to scale '{self.name}' by, got {self.values[0]:g}.")
        if (self.file is not None) != (self.action == "swap"):
            raise InputError(f"--{self.action} '{self.name}' takes {'a' if self.action == 'swap' else 'no'} file.")


@dataclass(frozen=True)
class Edited:
    """A scene, and the file and steps that make it. `generated`: the manifest of the base, where a run made it."""

    scene: Scene
    base: str
    base_sha256: str
    steps: tuple[Step, ...] = ()
    generated: Manifest | None = None

    @property
    def locked(self) -> frozenset[str]:
        """Names of the objects that no step may change."""
        locked: set[str] = set()
        for step in self.steps:
            if step.action == "lock":
                locked.add(step.name)
            elif step.action == "unlock":
                locked.discard(step.name)
        return frozenset(locked)


@dataclass(frozen=True)
class _EditManifest:
    base: str
    base_sha256: str
    steps: Annotated[tuple[Step, ...], MaxLen(10_000)]
    scene_sha256: str
    locked: tuple[str, ...] = field(default=())


def open_edit(path: str | Path) -> Edited:
    """The scene in a file; with the base and the steps where the manifest of an edit lies beside it.

    Raises:
        InputError: the scene cannot be read, or a manifest beside it is of another scene.
    """
    path = Path(path)
    content, beside = read_file(path), path.with_suffix(".json")
    if not is_edit(beside):
        scene = readable(path).read(path)
        return Edited(scene, str(path.absolute()), sha256_of_bytes(content), generated=_manifest_of(path, content))
    manifest = _read(beside)
    if manifest.scene_sha256 != sha256_of_bytes(content):
        raise InputError(f"'{path}' is not the scene of '{beside}' any more; move the manifest away to begin anew.")
    base = Path(manifest.base)
    generated = _manifest_of(base, read_file(base)) if os.path.isfile(base) else None
    return Edited(readable(path).read(path), manifest.base, manifest.base_sha256, manifest.steps, generated)


def apply(
    edited: Edited,
    steps: Sequence[Step],
    *,
    offline: bool = False,
    device: str | None = None,
    open_system: OpenSystem | None = None,
    progress: Progress = SILENT,
) -> Edited:
    """The scene after more steps.

    Args:
        offline: objects that are made anew download nothing.
        device: makes objects anew; None is the one that made the scene.
        open_system: opens the system that makes objects anew; None is `load_system`.

    Raises:
        InputError: no object has a step's name, it is locked, it cannot be made anew here, or would be too large or
            small to be read again.
    """
    means = _Means(offline, device, open_system, progress)
    for step in steps:
        index = _index(edited.scene, step.name)
        if step.name in edited.locked and step.action not in ("lock", "unlock"):
            raise InputError(f"'{step.name}' is locked; --unlock it before --{step.action}.")
        if step.action == "swap":
            step = replace(step, file_sha256=_hash_of(step))
        scene = _CHANGES[step.action](edited, index, step, means)
        _refuse_unreadable(edited.scene, scene, step)
        edited = replace(edited, scene=scene, steps=(*edited.steps, step))
    return edited


def undone(
    edited: Edited,
    count: int = 1,
    *,
    offline: bool = False,
    device: str | None = None,
    open_system: OpenSystem | None = None,
    progress: Progress = SILENT,
) -> Edited:
    """The scene without its last `count` steps.

    Raises:
        InputError: there are fewer steps, or the base is not what it was.
    """
    if not 0 < count <= len(edited.steps):
        raise InputError(f"There are {len(edited.steps)} steps to undo, not {count}.")
    start = _base(edited)
    steps = edited.steps[:-count]
    return apply(start, steps, offline=offline, device=device, open_system=open_system, progress=progress)


def replay_edit(path: str | Path, *, offline: bool = False, progress: Progress = SILENT) -> tuple[Edited, bool]:
    """The scene of an edit's manifest made again from its base, and whether its bytes are the same.

    Raises:
        InputError: no manifest of an edit, or the base or a swapped file is not what it was.
    """
    manifest = _read(Path(path))
    start = _base(Edited(Scene(()), manifest.base, manifest.base_sha256))
    again = apply(start, manifest.steps, offline=offline, progress=progress)
    return again, sha256_of_bytes(glb_bytes(again.scene)) == manifest.scene_sha256


def save_edit(edited: Edited, path: str | Path) -> list[Path]:
    """Writes the scene (.glb) and its manifest beside it; returns both paths.

    Raises:
        InputError: the file is the base or a model of a step, which undoing and replaying need, or cannot be written.
    """
    path = Path(path)
    needed = {Path(edited.base): "the scene that the steps begin with"}
    needed |= {Path(step.file): f"the model that '{step.name}' is swapped with" for step in edited.steps if step.file}
    for file, what in needed.items():
        if path.resolve() == file.resolve():
            raise InputError(f"'{path}' is {what}; write another file with --out.")
    content = glb_bytes(edited.scene)
    manifest = {
        "kind": EDIT_KIND,
        "format": _FORMAT,
        "base": edited.base,
        "base_sha256": edited.base_sha256,
        "steps": [asdict(step) for step in edited.steps],
        "locked": sorted(edited.locked),
        "scene_sha256": sha256_of_bytes(content),
    }
    paths = [path, path.with_suffix(".json")]
    with write_together(*paths) as (scene_file, manifest_file):
        scene_file.write_bytes(content)
        manifest_file.write_text(manifest_text(manifest), encoding="utf-8")
    return paths


def _base(edited: Edited) -> Edited:
    """The scene before any step."""
    path = Path(edited.base)
    if not os.path.isfile(path):
        raise InputError(f"The scene '{path}' that the steps begin with is gone; put it back.")
    if sha256_of_bytes(read_file(path)) != edited.base_sha256:
        raise InputError(f"'{path}' is not the scene that the steps began with any more; put that one back.")
    return replace(open_edit(path), base=edited.base, base_sha256=edited.base_sha256, steps=())


def is_edit(path: Path) -> bool:
    """Whether the file is there and is the manifest of an edit."""
    if not path.is_file():
        return False
    try:
        return read_json(path, dict).get("kind") == EDIT_KIND
    except (InputError, ValueError):
        return False


def _manifest_of(path: Path, content: bytes) -> Manifest | None:
    """The manifest of the run that made a scene; None where none of this scene lies beside it."""
    try:
        manifest = read_manifest(path.with_suffix(".json"))
    except InputError:
        return None
    return manifest if manifest.scene_sha256 == sha256_of_bytes(content) else None


def _read(path: Path) -> _EditManifest:
    with reading(path, "a manifest that `scenewright edit` wrote", "give the .json that lies beside an edited scene"):
        content = read_json(path, dict)
        if content.pop("kind") != EDIT_KIND or content.pop("format") != _FORMAT:
            raise ValueError("another kind or format")
        manifest = checked(content, _EditManifest)
    steps = tuple(replace(step, file=step.file and usable_name(step.file)) for step in manifest.steps)
    return replace(manifest, base=usable_name(manifest.base), steps=steps)


def _refuse_unreadable(before: Scene, after: Scene, step: Step) -> None:
    """Steps add up: each may be one that a manifest can hold, and their result none that a file can."""
    known = {id(item) for item in before.objects}
    for item in after.objects:
        if id(item) in known:
            continue
        placement = item.world_from_object.float()
        has_geometry = item.splats is not None or any(len(part.vertices) for part in item.parts)
        bounds = item.world_bounds() if has_geometry else placement[:3, 3]
        is_flat = not bool(placement[:3, :3].any(0).all())
        if is_flat or not bool(placement.isfinite().all()) or not bool((bounds.abs() <= MAX_NUMBER).all()):
            fault = "small" if is_flat else "large, or puts it too far away,"
            raise InputError(
                f"--{step.action} '{step.name}' makes it too {fault} to be read again; give other numbers."
            )


def _index(scene: Scene, name: str) -> int:
    found = [index for index, item in enumerate(scene.objects) if item.name == name]
    if len(found) == 1:
        return found[0]
    names = ", ".join(dict.fromkeys(item.name for item in scene.objects))
    if found:
        way_out = "number them with `scenewright convert SCENE NEW.glb --for blender`"
        raise InputError(f"The scene has {len(found)} objects '{name}'; {way_out}.")
    raise InputError(f"The scene has no object '{name}'; it has {names}.")


@dataclass(frozen=True)
class _Means:
    """The means to make an object anew."""

    offline: bool
    device: str | None
    open_system: OpenSystem | None
    progress: Progress


_Change = Callable[[Edited, int, Step, _Means], Scene]


def _exchanged(scene: Scene, index: int, *items: SceneObject) -> Scene:
    return replace(scene, objects=(*scene.objects[:index], *items, *scene.objects[index + 1 :]))


def _moved(edited: Edited, index: int, step: Step, means: _Means) -> Scene:
    item = edited.scene.objects[index]
    return _exchanged(edited.scene, index, _carried(item, _translation(step.values)))


def _rotated(edited: Edited, index: int, step: Step, means: _Means) -> Scene:
    item = edited.scene.objects[index]
    angle = math.radians(step.values[0])
    turn = torch.eye(4, dtype=torch.float64)
    turn[:2, :2] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return _exchanged(edited.scene, index, _carried(item, _about(_foot(item), turn), yaw=angle))


def _scaled(edited: Edited, index: int, step: Step, means: _Means) -> Scene:
    item, factor = edited.scene.objects[index], step.values[0]
    grow = torch.diag(torch.tensor([factor, factor, factor, 1.0], dtype=torch.float64))
    return _exchanged(edited.scene, index, _carried(item, _about(_foot(item), grow), scale=factor))


def _deleted(edited: Edited, index: int, step: Step, means: _Means) -> Scene:
    return _exchanged(edited.scene, index)


def _duplicated(edited: Edited, index: int, step: Step, means: _Means) -> Scene:
    item = edited.scene.objects[index]
    taken = {other.name for other in edited.scene.objects}
    name = next(word for number in range(2, len(taken) + 3) if (word := f"{item.name}_{number}") not in taken)
    low, high = item.world_bounds().double()
    aside = _translation([(1 + _GAP) * float(high[0] - low[0]), 0.0, 0.0])
    return _exchanged(edited.scene, index, item, replace(_carried(item, aside), name=name, mask=None))


def _swapped(edited: Edited, index: int, step: Step, means: _Means) -> Scene:
    """The model stands where the object stood, turned as it was, as large as its box allows."""
    assert step.file is not None
    item, path = edited.scene.objects[index], Path(step.file)
    others = readable(path).read(path).objects
    parts = tuple(part for other in others for part in other.placed_parts(torch.float64) if len(part.faces))
    if not parts:
        raise InputError(f"'{path}' has no triangles, so it cannot stand for '{step.name}'.")
    points = torch.cat([part.vertices for part in parts])
    low, high = points.amin(0), points.amax(0)
    if not (high - low > 1e-9).any():
        raise InputError(f"'{path}' is a single point, so it cannot stand for '{step.name}'.")
    old_low, old_high = _own_bounds(item)
    ratio = (old_high - old_low) / (high - low).clamp(min=1e-9)
    factor = float(ratio[high - low > 1e-9].min())
    middle, old_middle = (low + high) / 2, (old_low + old_high) / 2
    middle[2], old_middle[2] = low[2], old_low[2]
    fit = torch.diag(torch.tensor([factor, factor, factor, 1.0], dtype=torch.float64))
    fit[:3, 3] = old_middle - factor * middle
    # The frame stays that of the old object: what is made anew afterwards stands where that stood.
    fitted = SceneObject("", parts, world_from_object=fit).placed_parts(torch.float64)
    fresh = SceneObject(
        item.name,
        fitted,
        world_from_object=item.world_from_object,
        mask=item.mask,
        role=item.role,
        category=item.category,
    )
    return _exchanged(edited.scene, index, fresh)


def _unchanged(edited: Edited, index: int, step: Step, means: _Means) -> Scene:
    return edited.scene


def _regenerated(edited: Edited, index: int, step: Step, means: _Means) -> Scene:
    """The object of a new attempt, moved, turned and scaled by the steps that its older self went through."""
    manifest = edited.generated
    if manifest is None or step.name not in manifest.names:
        raise InputError(
            f"'{step.name}' was not generated by itself, or the manifest of '{edited.base}' is not beside it, so it "
            "cannot be made anew; swap it instead."
        )
    refuse_unlisted_repositories(manifest)
    was = manifest.settings
    settings = replace(was, offline=means.offline or was.offline, device=means.device or was.device)
    scene, content = _base(edited).scene, read_file(Path(edited.base))
    for _ in range(1 + sum(was.action == "regenerate" and was.name == step.name for was in edited.steps)):
        older = scene.objects[_index(scene, step.name)]
        reroll = Reroll(manifest, (step.name,), content)
        result = run(settings, reroll=reroll, open_system=means.open_system, progress=means.progress)
        scene, manifest, content = result.scene, result.manifest, result.glb
    fresh, item = scene.objects[_index(scene, step.name)], edited.scene.objects[index]
    change = item.world_from_object.double() @ torch.linalg.inv(older.world_from_object.double())
    return _exchanged(edited.scene, index, replace(_carried(fresh, change), mask=item.mask))


_CHANGES: dict[Action, _Change] = {
    "move": _moved,
    "rotate": _rotated,
    "scale": _scaled,
    "delete": _deleted,
    "duplicate": _duplicated,
    "swap": _swapped,
    "lock": _unchanged,
    "unlock": _unchanged,
    "regenerate": _regenerated,
}


def _hash_of(step: Step) -> str:
    assert step.file is not None
    found = sha256_of_bytes(read_file(Path(step.file)))
    if step.file_sha256 not in (None, found):
        raise InputError(f"'{step.file}' is not the model that '{step.name}' was swapped with any more; put it back.")
    return found


def _carried(item: SceneObject, change: Float[Tensor, "4 4"], *, yaw: float = 0.0, scale: float = 1.0) -> SceneObject:
    """The object moved by a matrix of the world; its predicted box goes with it."""
    box = item.box
    if box is not None:
        x, y, z = (change[:3, :3] @ torch.tensor(box.centre, dtype=torch.float64) + change[:3, 3]).tolist()
        width, depth, height = (scale * side for side in box.size)
        box = OrientedBox((x, y, z), (width, depth, height), box.yaw + yaw)
    return replace(item, world_from_object=change @ item.world_from_object.double(), box=box)


def _translation(values: Sequence[float]) -> Float[Tensor, "4 4"]:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, 3] = torch.tensor(values, dtype=torch.float64)
    return matrix


def _about(point: Float[Tensor, " 3"], change: Float[Tensor, "4 4"]) -> Float[Tensor, "4 4"]:
    return _translation(point.tolist()) @ change @ _translation((-point).tolist())


def _foot(item: SceneObject) -> Float[Tensor, " 3"]:
    """The middle of the underside of the object's upright box, about which it turns and grows."""
    low, high = item.world_bounds().double()
    foot = (low + high) / 2
    foot[2] = low[2]
    return foot


def _own_bounds(item: SceneObject) -> Float[Tensor, "2 3"]:
    return replace(item, world_from_object=torch.eye(4, dtype=torch.float64)).world_bounds().double()
