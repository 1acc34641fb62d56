"""Light of a random time and place, so that training pictures differ in it as photographs do."""

import math

import torch

from scenewright.rendering.lights import Ambient, Lights, SunLight

__all__ = ["random_lights"]


def random_lights(generator: torch.Generator) -> Lights:
    """A sun or window with a shadow, sky and ground; the same seed gives the same light."""
    # Ten numbers, of which the ninth is unused: what is drawn after them stays the same for a seed.
    draw = torch.rand(10, generator=generator).tolist()
    azimuth, elevation = 2 * math.pi * draw[0], math.radians(25 + 55 * draw[1])
    direction = (
        math.cos(azimuth) * math.cos(elevation),
        math.sin(azimuth) * math.cos(elevation),
        math.sin(elevation),
    )
    share, total, warmth = 0.25 + 0.5 * draw[2], 0.9 + 0.5 * draw[3], 0.16 * (draw[4] - 0.4)
    sun = share * total
    sky = (1 - share) * total * (0.7 + 0.6 * draw[5])
    bounce = 0.35 + 0.4 * draw[6]
    cool = 0.08 * (draw[7] - 0.3)
    sky_color = (sky * (1 - cool), sky, sky * (1 + cool))
    return Lights(
        suns=(SunLight(direction, (sun * (1 + warmth), sun, sun * (1 - warmth))),),
        ambient=Ambient(sky_color, (bounce * sky_color[0], bounce * sky_color[1], bounce * sky_color[2])),
        shadow_size=512,
        shadow_radius=1 + int(3 * draw[9]),
    )
