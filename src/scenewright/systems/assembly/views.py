"""Several pictures of one scene: each with the masks of the same objects, which their names tell apart.

Legend: N objects, H/W picture size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError

__all__ = ["SceneView", "in_same_order"]


@dataclass(frozen=True)
class SceneView:
    """One picture of a scene with the masks of its objects; `names` tell the same object in several views."""

    image: Image.Image
    masks: Bool[Tensor, "N H W"]
    names: tuple[str, ...]

    def at(self, indices: Sequence[int]) -> "SceneView":
        """The same picture with the chosen objects, in the given order."""
        chosen = list(indices)
        return SceneView(self.image, self.masks[chosen], tuple(self.names[index] for index in chosen))


def in_same_order(views: Sequence[SceneView], labels: Sequence[str] | None = None) -> list[SceneView]:
    """The views with their objects in the order of the first one.

    A single object needs no name to be told apart: where every view has one, the first view's name is taken.

    Args:
        labels: what to call the views in messages; by default "view 1", "view 2", ...

    Raises:
        InputError: there is no view, or one does not show the same objects by name.
    """
    if not views:
        raise InputError("Expected at least one view of the scene, got none.")
    called = labels or [f"view {number}" for number in range(1, len(views) + 1)]
    order = views[0].names
    if all(len(view.names) == 1 for view in views):
        return [SceneView(view.image, view.masks, order) for view in views]
    ordered = []
    for label, view in zip(called, views, strict=True):
        if sorted(view.names) != sorted(order):
            raise InputError(
                f"Expected the same objects in every view, but {_difference(called[0], order, label, view.names)}; "
                "give an object the same value, colour or name in all of them, and leave out what one view hides."
            )
        ordered.append(view.at([view.names.index(name) for name in order]))
    return ordered


def _difference(first: str, order: Sequence[str], other: str, names: Sequence[str]) -> str:
    counts = f"{first} has {len(order)} and {other} has {len(names)}"
    lacks = [f"'{name}'" for name in order if name not in names]
    extra = [f"'{name}'" for name in names if name not in order]
    parts = [f"{label} lacks {', '.join(which)}" for label, which in ((other, lacks), (first, extra)) if which]
    return f"{counts} ({'; '.join(parts) or 'names repeat'})"
