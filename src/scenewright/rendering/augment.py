"""Effects of real cameras and of random light: augmentations that make simple renders resemble photographs.

Everything is a pure function of its inputs and a `torch.Generator`, so a seed gives the same picture again. Exposure,
white balance, blur and noise act in linear light, where a sensor works; JPEG acts last, on the encoded picture.

Legend: H, W image. Pictures are sRGB-encoded RGB in [0, 1].
"""

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenewright.geometry.color import linear_from_srgb, srgb_from_linear
from scenewright.rendering.lights import Ambient, Lights, PointLight, SunLight

__all__ = [
    "PhotoAugmentation",
    "add_sensor_noise",
    "augment_picture",
    "blur",
    "change_exposure",
    "change_white_balance",
    "compress_jpeg",
    "random_backdrop",
    "random_lights",
]


@dataclass(frozen=True)
class PhotoAugmentation:
    """Ranges of the effects; each is drawn uniformly, blur and JPEG only with their probability.

    Exposure in stops; white balance as the log gain of red against blue, and of green; noise as standard deviation at
    black (`read_noise`) and variance per unit of light (`shot_noise`); blur as a standard deviation in pixels.
    """

    exposure_stops: tuple[float, float] = (-0.6, 0.6)
    warmth: tuple[float, float] = (-0.18, 0.18)
    tint: tuple[float, float] = (-0.05, 0.05)
    read_noise: tuple[float, float] = (0.0, 0.008)
    shot_noise: tuple[float, float] = (0.0, 0.0008)
    blur_px: tuple[float, float] = (0.3, 1.2)
    blur_probability: float = 0.4
    jpeg_quality: tuple[int, int] = (55, 98)
    jpeg_probability: float = 0.7


DEFAULT_AUGMENTATION = PhotoAugmentation()


def augment_picture(
    picture: Float[Tensor, "height width 3"],
    generator: torch.Generator,
    config: PhotoAugmentation = DEFAULT_AUGMENTATION,
) -> Float[Tensor, "height width 3"]:
    """The picture as a random camera might have taken it. Draws the same count of numbers whatever is switched on."""
    draw = torch.rand(9, generator=generator).tolist()
    linear = linear_from_srgb(picture)
    linear = change_exposure(linear, _between(config.exposure_stops, draw[0]))
    linear = change_white_balance(linear, _between(config.warmth, draw[1]), _between(config.tint, draw[2]))
    if draw[3] < config.blur_probability:
        linear = blur(linear, _between(config.blur_px, draw[4]))
    linear = add_sensor_noise(
        linear, generator, _between(config.read_noise, draw[5]), _between(config.shot_noise, draw[6])
    )
    encoded = srgb_from_linear(linear)
    if draw[7] < config.jpeg_probability:
        encoded = compress_jpeg(encoded, round(_between(config.jpeg_quality, draw[8])))
    return encoded


def change_exposure(linear: Float[Tensor, "*batch 3"], stops: float) -> Float[Tensor, "*batch 3"]:
    """Light times 2^stops."""
    return linear * 2.0**stops


def change_white_balance(
    linear: Float[Tensor, "*batch 3"], warmth: float, tint: float = 0.0
) -> Float[Tensor, "*batch 3"]:
    """Red gains e^warmth, blue loses as much, green gains e^tint; the luminance of a grey stays what it was."""
    gains = torch.tensor([math.exp(warmth), math.exp(tint), math.exp(-warmth)])
    luminance = torch.tensor([0.2126, 0.7152, 0.0722])
    return linear * (gains / (gains * luminance).sum()).to(linear)


def blur(linear: Float[Tensor, "height width 3"], sigma_px: float) -> Float[Tensor, "height width 3"]:
    """Gaussian blur, the border repeated outwards; a sigma of 0 changes nothing."""
    if sigma_px <= 0:
        return linear
    reach = max(1, math.ceil(3 * sigma_px))
    steps = torch.arange(-reach, reach + 1, dtype=linear.dtype, device=linear.device)
    kernel = torch.exp(-0.5 * (steps / sigma_px) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    planes = linear.movedim(-1, 0)[None]
    planes = torch.nn.functional.pad(planes, (reach, reach, reach, reach), mode="replicate")
    planes = torch.nn.functional.conv2d(planes, kernel[:, :, None, :], groups=3)
    return torch.nn.functional.conv2d(planes, kernel[:, :, :, None], groups=3)[0].movedim(0, -1)


def add_sensor_noise(
    linear: Float[Tensor, "*batch 3"], generator: torch.Generator, read_noise: float, shot_noise: float
) -> Float[Tensor, "*batch 3"]:
    """Noise of variance read_noise^2 + shot_noise * light; the result may leave [0, 1]."""
    noise = torch.randn(linear.shape, generator=generator, device=generator.device).to(linear)
    return linear + noise * (read_noise**2 + shot_noise * linear.clamp(min=0)).sqrt()


def compress_jpeg(picture: Float[Tensor, "height width 3"], quality: int) -> Float[Tensor, "height width 3"]:
    """The picture after a trip through JPEG of that quality (1 to 100)."""
    pixels = (picture.clamp(0, 1) * 255).round().byte().cpu().numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=quality)
    decoded = np.asarray(Image.open(stream).convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(decoded).to(picture)


def random_lights(
    generator: torch.Generator, *, lamp_positions: tuple[tuple[float, float, float], ...] = (), shadow_size: int = 512
) -> Lights:
    """Light of a random time and place: a sun or window with a shadow, sky and ground, lamps if given."""
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
    lamps = tuple(
        PointLight(place, (1.6 * draw[8], 1.45 * draw[8], 1.2 * draw[8]), has_shadow=False) for place in lamp_positions
    )
    sky_color = (sky * (1 - cool), sky, sky * (1 + cool))
    return Lights(
        suns=(SunLight(direction, (sun * (1 + warmth), sun, sun * (1 - warmth))),),
        points=lamps,
        ambient=Ambient(sky_color, (bounce * sky_color[0], bounce * sky_color[1], bounce * sky_color[2])),
        shadow_size=shadow_size,
        shadow_radius=1 + int(3 * draw[9]),
    )


def random_backdrop(height: int, width: int, generator: torch.Generator) -> Float[Tensor, "height width 3"]:
    """A soft random picture to put behind objects: a two-colour gradient with smooth noise of random size."""
    colors = 0.15 + 0.8 * torch.rand(2, 3, generator=generator)
    angle, strength, cells = torch.rand(3, generator=generator).tolist()
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    ramp = (0.5 + 0.5 * (x * math.cos(2 * math.pi * angle) + y * math.sin(2 * math.pi * angle))).clamp(0, 1)
    count = 2 + int(14 * cells)
    noise = torch.rand(1, 3, count, count, generator=generator) - 0.5
    noise = torch.nn.functional.interpolate(noise, (height, width), mode="bicubic", align_corners=True)[0].movedim(
        0, -1
    )
    return (torch.lerp(colors[0], colors[1], ramp[..., None]) + 0.3 * strength * noise).clamp(0, 1)


def _between(limits: tuple[float, float] | tuple[int, int], share: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * share
