"""Pictures of composed scenes by another renderer: Mitsuba's path tracer, denoised, with soft lamps and bounced light.

Networks that saw one renderer alone trust its shading too far. Mitsuba (BSD-3-Clause) and Open Image Denoise
(Apache-2.0) are tools for making data, never dependencies: `uv run --with mitsuba --with pyoidn ...`, and a libLLVM
that Mitsuba takes (Debian's libllvm19).
"""

import math
from typing import Any

import drjit
import mitsuba as mi
import numpy as np
import pyoidn
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from scenewright.data.composition import ComposedScene
from scenewright.types import Camera, Mesh, PBRMaterial

mi.set_variant("llvm_ad_rgb")
drjit.set_thread_count(1)  # data is made by one process a core

__all__ = ["path_traced"]

_DEPTH = 4
_CAMERA_AXES = np.diag([-1.0, -1.0, 1.0, 1.0])  # Mitsuba's cameras have x to the left and y up
_GREY = 0.8
_BRIGHT = (0.62, 0.9)


def path_traced(
    scene: ComposedScene, rng: np.random.Generator, *, samples: int = 4, sharpness: float = 1.0
) -> UInt8[torch.Tensor, "H W 3"]:
    """The picture of the scene's first camera. `rng` draws the lamps' sizes, daylight and the exposure.

    Args:
        samples: light paths a pixel, before denoising.
        sharpness: the picture is drawn at this share of its size, for speed, and enlarged.
    """
    camera = scene.cameras[0]
    content: dict[str, Any] = {"type": "scene", "sensor": _sensor(camera, sharpness)}
    content["integrator"] = {
        "type": "aov",
        "aovs": "albedo:albedo,normal:sh_normal",
        "image": {"type": "path", "max_depth": _DEPTH},
    }
    shown = scene.scene().objects
    for number, item in enumerate(shown):
        matrix = item.world_from_object.double().numpy()
        for part, mesh in enumerate(item.parts):
            content[f"shape_{number}_{part}"] = _shape(mesh, matrix)
    for number, (position, _) in enumerate(scene.lamps):
        content[f"lamp_{number}"] = _lamp(position, rng)
    content["sky"] = {"type": "constant", "radiance": float(rng.uniform(0.0, 0.6))}
    channels = np.array(mi.render(mi.load_dict(content), spp=samples, seed=int(rng.integers(2**31))))
    drawn = Image.fromarray(_developed(_denoised(channels), float(rng.uniform(*_BRIGHT))))
    return torch.from_numpy(np.array(drawn.resize((camera.width, camera.height), Image.Resampling.BICUBIC)))


def _sensor(camera: Camera, sharpness: float) -> dict[str, Any]:
    pose = np.linalg.inv(camera.cam_from_world.double().numpy()) @ _CAMERA_AXES
    across = 2 * math.degrees(math.atan(camera.width / 2 / float(camera.intrinsics_px[0, 0])))
    width, height = round(camera.width * sharpness), round(camera.height * sharpness)
    film = {"type": "hdrfilm", "width": width, "height": height, "rfilter": {"type": "box"}}
    transform = mi.ScalarTransform4f(pose.tolist())
    return {"type": "perspective", "fov": across, "fov_axis": "x", "to_world": transform, "film": film}


def _shape(mesh: Mesh, world_from_object: Float[np.ndarray, "4 4"]) -> mi.Mesh:
    material = mesh.material or PBRMaterial()
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(_bsdf(material, mesh))
    has_uv = mesh.uv is not None
    shape = mi.Mesh("mesh", len(mesh.vertices), len(mesh.faces), props=properties, has_vertex_texcoords=has_uv)
    values = mi.traverse(shape)
    vertices = mesh.vertices.double().numpy() @ world_from_object[:3, :3].T + world_from_object[:3, 3]
    values["vertex_positions"] = vertices.astype(np.float32).ravel()
    values["faces"] = mesh.faces.numpy().astype(np.uint32).ravel()
    if mesh.uv is not None:
        values["vertex_texcoords"] = mesh.uv.float().numpy().ravel()
    values.update()
    return shape


def _bsdf(material: PBRMaterial, mesh: Mesh) -> dict[str, Any]:
    factor = np.array(material.base_color_factor, np.float32)
    if mesh.vertex_colors is not None:
        factor = factor * mesh.vertex_colors.float().mean(0).numpy()
    color: dict[str, Any] = {"type": "rgb", "value": factor[:3].tolist()}
    opacity: Any = float(factor[3]) if material.alpha_mode == "BLEND" else None
    texture = material.base_color_texture
    if texture is not None and mesh.uv is not None:
        linear = mi.Bitmap(texture[..., :3].numpy()).convert(mi.Bitmap.PixelFormat.RGB, mi.Struct.Type.Float32, False)
        color = _bitmap(np.array(linear) * factor[:3])
        if texture.shape[-1] == 4 and material.alpha_mode != "OPAQUE":
            opacity = _bitmap(texture[..., 3:].numpy().astype(np.float32) / 255 * factor[3])
    principled = {
        "type": "principled",
        "base_color": color,
        "roughness": min(max(material.roughness_factor, 0.15), 1.0),
        "metallic": min(material.metallic_factor, 0.9),
    }
    both: dict[str, Any] = {"type": "twosided", "inner": principled}
    return both if opacity is None else {"type": "mask", "opacity": opacity, "inner": both}


def _bitmap(values: np.ndarray) -> dict[str, Any]:
    return {"type": "bitmap", "bitmap": mi.Bitmap(values.astype(np.float32)), "raw": True}


def _lamp(position: tuple[float, float, float], rng: np.random.Generator) -> dict[str, Any]:
    """A square lamp that shines downwards, white to warm."""
    half = float(rng.uniform(0.1, 0.6))
    warmth = float(rng.uniform(-0.15, 0.25))
    power = 3.0 / half**2
    place = mi.ScalarTransform4f().translate(list(position)).rotate([1, 0, 0], 180).scale(half)
    radiance = {"type": "rgb", "value": [power * (1 + warmth), power, power * (1 - warmth)]}
    return {"type": "rectangle", "to_world": place, "emitter": {"type": "area", "radiance": radiance}}


def _denoised(channels: Float[np.ndarray, "H W 9"]) -> Float[np.ndarray, "H W 3"]:
    color, albedo, normal = (np.ascontiguousarray(channels[..., low : low + 3]) for low in (0, 3, 6))
    return np.asarray(pyoidn.denoise(color, albedo=albedo, normal=normal, hdr=True))


def _developed(linear: Float[np.ndarray, "H W 3"], bright: float) -> UInt8[np.ndarray, "H W 3"]:
    """Exposed so that the 95th percentile becomes `bright`, highlights rolled off, sRGB."""
    exposed = np.maximum(linear, 0) * (bright**2.2 / max(float(np.percentile(linear.mean(-1), 95)), 1e-6))
    rolled = np.where(exposed > _GREY, 1 - (1 - _GREY) * np.exp(-(exposed - _GREY) / (1 - _GREY)), exposed)
    encoded = np.where(rolled <= 0.0031308, 12.92 * rolled, 1.055 * np.maximum(rolled, 1e-9) ** (1 / 2.4) - 0.055)
    return (encoded * 255).round().astype(np.uint8)
