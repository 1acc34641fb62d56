"""Scenes by number: the same recipe and number give the same scene anywhere, so a stream resumes at any number.

A number's scene is the first of its attempts whose views obey the rules (no hidden object, no speck, nothing cut off);
rooms take what their cameras see, and need a free spot for a camera.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np

from scenewright.data.composition import ComposedScene
from scenewright.data.floor_scenes import compose_floor_scene
from scenewright.data.ground_truth import ViewRules, prepare_scene
from scenewright.data.library import TrainingLibrary
from scenewright.data.random_scenes import compose_random_scene
from scenewright.data.recipes import DataRecipe
from scenewright.data.rooms import compose_room
from scenewright.data.selection import Selector

__all__ = ["SceneStream"]

MAX_ATTEMPTS = 24
MIN_SEEN_IN_ROOMS = 2
_SHRINK = 4
_RANDOM_RULES = ViewRules(min_visible_fraction=0.0, min_picture_share=0.001, keeps_inside=False)


@dataclass(frozen=True)
class SceneStream:
    """The scenes of a recipe, made on demand; cheap to hand to a worker, which opens the packs itself."""

    recipe: DataRecipe

    @cached_property
    def selector(self) -> Selector:
        return Selector(TrainingLibrary(self.recipe.packs), self.recipe.parametric_share)

    def __len__(self) -> int:
        return self.recipe.count

    def __iter__(self) -> Iterator[ComposedScene]:
        return self.iterate()

    def iterate(self, start: int = 0) -> Iterator[ComposedScene]:
        """Scenes from `start` on: all, or the rest after an interruption."""
        for number in range(start, self.recipe.count):
            scene = self.scene(number)
            if scene is not None:
                yield scene

    def scene(self, number: int) -> ComposedScene | None:
        """Scene `number`, or None in the rare case that no attempt obeyed the rules."""
        for attempt in range(MAX_ATTEMPTS):
            rng = np.random.default_rng(np.random.SeedSequence([self.recipe.seed, number, attempt]))
            scene = self._compose(rng)
            if scene is not None:
                return scene
        return None

    def _compose(self, rng: np.random.Generator) -> ComposedScene | None:
        recipe, selector = self.recipe, self.selector
        if recipe.kind == "floor":
            scene = compose_floor_scene(selector, rng, size=recipe.size)
            return scene if len(scene.objects) >= 2 and _good_views(scene, ViewRules(), 1) else None
        if recipe.kind == "random":
            # Enough spare cameras to replace views that hide an object.
            spare = compose_random_scene(selector, rng, size=recipe.size, views=min(3 * recipe.views + 4, 150))
            good = _good_views(spare, _RANDOM_RULES, recipe.views)
            return replace(spare, cameras=good) if len(good) == recipe.views else None
        if recipe.kind == "panorama":
            room = compose_room(selector, rng, panoramas=1, size=recipe.size)
            return room if room.panorama_poses and len(room.objects) >= 3 else None
        if recipe.kind == "walk":
            room = compose_room(selector, rng, views=recipe.views, walk=True, size=recipe.size)
        else:
            # Spare cameras replace those that look at a bare wall.
            spare = compose_room(selector, rng, views=2 * recipe.views + 2, size=recipe.size)
            prepared = prepare_scene(spare)
            seen = (camera for camera in spare.cameras if prepared.num_seen(camera) >= MIN_SEEN_IN_ROOMS)
            room = replace(spare, cameras=tuple(islice(seen, recipe.views)))
        return room if len(room.cameras) == recipe.views and len(room.objects) >= 3 else None


def _good_views(scene: ComposedScene, rules: ViewRules, count: int) -> tuple:
    """The first `count` cameras in whose view every object obeys the rules, judged at a quarter of the resolution."""
    prepared = prepare_scene(scene)
    good = []
    for camera in scene.cameras:
        pixels = (camera.width // _SHRINK) * (camera.height // _SHRINK)
        if all(view.obeys(rules, pixels) for view in prepared.views(camera, shrink=_SHRINK)):
            good.append(camera)
            if len(good) == count:
                break
    return tuple(good)
