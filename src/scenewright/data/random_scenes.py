"""I-Scene's non-semantic random scenes: any assets, scaled and strewn over the ground, some stacked on flat tops.

Source: I-Scene, supplement; layout in `random_layout.py`, stacking in `support_surface.py`. Views are spread evenly
over all directions and look at the scene's centre (150 per scene in the paper).
"""

import math

import numpy as np

from scenewright.data.composition import RESTING_GAP_M, ComposedScene, Composer, PlacedAsset
from scenewright.data.floor_scenes import object_corners
from scenewright.data.held_out import TrainingAsset
from scenewright.data.random_layout import DEFAULT_LAYOUT, sample_layout
from scenewright.data.selection import Selector
from scenewright.data.support_surface import Support, footprint_radius, largest_scale
from scenewright.data.viewpoints import sample_sphere_view

__all__ = ["compose_random_scene"]

NUM_VIEWS = 150
_STACK_SHARE = 0.3
_STACK_MARGIN = 0.9


def compose_random_scene(
    selector: Selector,
    rng: np.random.Generator,
    *,
    size: int = 512,
    views: int = 4,
) -> ComposedScene:
    """A scene with `views` of the 150 cameras; all randomness comes from `rng`."""
    count = int(rng.integers(DEFAULT_LAYOUT.num_objects[0], DEFAULT_LAYOUT.num_objects[1] + 1))
    sources = [selector.anything(rng) for _ in range(count)]
    low, high = np.log(DEFAULT_LAYOUT.size_range)
    scales = np.exp(rng.uniform(low, high, count)) / np.array([math.hypot(*s.asset.size_m) for s in sources])
    yaws = rng.uniform(-math.pi, math.pi, count)
    tops = [_top(source, float(scale)) for source, scale in zip(sources, scales, strict=True)]
    stacked: dict[int, int] = {}
    for index in range(1, count):
        carriers = [i for i in range(index) if tops[i] is not None and i not in stacked and i not in stacked.values()]
        if carriers and rng.uniform() < _STACK_SHARE:
            stacked[index] = int(rng.choice(carriers))
    ground = [index for index in range(count) if index not in stacked]
    radii = np.array([scales[i] * footprint_radius(*sources[i].asset.size_m[:2]) for i in ground])
    layout = sample_layout(radii, rng)
    composer = Composer()
    number: dict[int, int] = {}
    for row in layout.indices:
        index = ground[row]
        x, y = layout.centres[row]
        placed = PlacedAsset(sources[index], (float(x), float(y), 0.0), float(yaws[index]), float(scales[index]))
        if composer.place(placed, gap=0.0):
            number[index] = len(composer.objects) - 1
    for index, carrier in stacked.items():
        if carrier in number:
            _stack(composer, sources[index], float(scales[index]), float(yaws[index]), number[carrier])
    corners = object_corners(composer.objects)
    offset = (float(rng.uniform()), float(rng.uniform()))
    indices = rng.permutation(NUM_VIEWS)[:views]
    cameras = [sample_sphere_view(corners, int(index), NUM_VIEWS, offset, size=size) for index in indices]
    return ComposedScene(
        kind="random",
        objects=tuple(composer.objects),
        cameras=tuple(cameras),
        layout={"gap": layout.gap, "region": layout.region},
    )


def _top(source: TrainingAsset, scale: float) -> Support | None:
    probe = Composer()
    probe.objects.append(PlacedAsset(source, (0.0, 0.0, 0.0), 0.0, scale))
    return probe.support(0)


def _stack(composer: Composer, source: TrainingAsset, scale: float, yaw: float, carrier: int) -> bool:
    """The asset at the centroid of the carrier's top, shrunk to fit with a margin of ten percent."""
    support = composer.support(carrier)
    if support is None:
        return False
    fitting = _STACK_MARGIN * largest_scale(support, footprint_radius(*source.asset.size_m[:2]))
    if fitting < 0.2 * scale:
        return False
    position = (*support.anchor_xy, support.height + RESTING_GAP_M)
    return composer.place(PlacedAsset(source, position, yaw, min(scale, fitting), "on", carrier), gap=0.0)
