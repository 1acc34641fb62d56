"""The border of every scene system: views in, a placed scene out.

    View (picture, masks, camera) -> System.generate -> Scene

What a system reads (masks, a panorama, posed pictures) its `SystemSpec` says (`spec.py`). Systems that read masks begin
with `masked_views`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from scenewright.errors import InputError
from scenewright.progress import SILENT, Progress
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.types import PanoramaCamera, Scene, View

__all__ = ["RerollingSystem", "System", "Views", "in_same_order", "masked_views"]

Views = View | Sequence[View]


@runtime_checkable
class System(Protocol):
    """Turns views of a place into a scene of placed objects, z up."""

    @property
    def name(self) -> str: ...

    def generate(
        self, views: Views, *, seed: int = 0, options: GenerateOptions = DEFAULT, progress: Progress = SILENT
    ) -> Scene:
        """The scene; the same views, seed and options give the same bytes on the same device.

        Systems that read masks give one object per mask, in the order of the masks and under their names, each with
        its mask; objects that were not found are left out.

        Raises:
            InputError: the system cannot read these views.
            EmptyStructureError: no object was found at all.
            OutOfMemoryBudgetError: the work cannot fit the ceiling.
        """
        ...

    def weights_sha256(self) -> dict[str, str]:
        """Hash of every weight file by its name; empty where a system has none."""
        ...


@runtime_checkable
class RerollingSystem(System, Protocol):
    """A system that can make single objects of a scene anew."""

    def reroll(
        self,
        scene: Scene,
        attempts: Mapping[str, int],
        views: Views,
        *,
        seed: int = 0,
        options: GenerateOptions = DEFAULT,
        progress: Progress = SILENT,
    ) -> Scene:
        """The scene with some objects made anew; all others are those of `scene`, unchanged.

        Args:
            scene: what `generate` gave for the same views and seed.
            attempts: attempt number (1 for the first re-roll, ...) of each object to make again, by name.

        Raises:
            InputError: an object is not among the masks, or `scene` is not of this system.
            EmptyStructureError: an object was not found this time.
        """
        ...


def masked_views(views: Views, system: str, *, max_views: int | None = 1) -> tuple[View, ...]:
    """The views of a system that reads perspective pictures with masks, their objects in the order of the first view.

    Args:
        system: its name, for messages.
        max_views: how many pictures it can read; None is any number.

    Raises:
        InputError: there are no views or more than the system reads, one has no masks or is a panorama, or they do not
            show the same objects.
    """
    given = (views,) if isinstance(views, View) else tuple(views)
    if max_views is not None and len(given) > max_views:
        raise InputError(
            f"{system} makes a scene from one picture, but got {len(given)}; give one, or use SceneGen's published "
            "networks."
        )
    for view in given:
        if view.objects is None:
            raise InputError(f"{system} needs the masks of the objects in every picture; give View(image, masks).")
        if isinstance(view.camera, PanoramaCamera):
            raise InputError(f"{system} reads perspective pictures, but got a panorama; give a part of it.")
    return in_same_order(given)


def in_same_order(views: Sequence[View]) -> tuple[View, ...]:
    """The views, all with masks, with their objects in the order of the first one.

    A single object needs no name to be told apart: where every view has one, the first view's name is taken.

    Raises:
        InputError: there is no view, or one does not show the same objects by name.
    """
    if not views:
        raise InputError("Expected at least one view of the scene, got none.")
    masks = [view.objects for view in views if view.objects is not None]
    names = masks[0].names
    if all(len(own) == 1 for own in masks):
        return tuple(_renamed(view, names) for view in views)
    labels = _labels(views)
    ordered = []
    for label, view, own in zip(labels, views, masks, strict=True):
        if sorted(own.names) != sorted(names):
            raise InputError(
                f"Expected the same objects in every view, but {_difference(labels[0], names, label, own.names)}; "
                "give an object the same value, colour or name in all of them, and leave out what one view hides."
            )
        ordered.append(view.at([own.names.index(name) for name in names]))
    return tuple(ordered)


def _renamed(view: View, names: tuple[str, ...]) -> View:
    assert view.objects is not None
    return replace(view, objects=replace(view.objects, names=names))


def _labels(views: Sequence[View]) -> list[str]:
    """The views' names, or numbers where some have none or are alike."""
    names = [view.name for view in views]
    if all(names) and len(set(names)) == len(names):
        return names
    return [f"view {number}" for number in range(1, len(views) + 1)]


def _difference(first: str, order: Sequence[str], other: str, names: Sequence[str]) -> str:
    counts = f"{first} has {len(order)} and {other} has {len(names)}"
    lacks = [f"'{name}'" for name in order if name not in names]
    extra = [f"'{name}'" for name in names if name not in order]
    parts = [f"{label} lacks {', '.join(which)}" for label, which in ((other, lacks), (first, extra)) if which]
    return f"{counts} ({'; '.join(parts)})"
