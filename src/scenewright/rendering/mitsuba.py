"""Path-traced pictures through Mitsuba 3 (extra `mitsuba`), behind the same interface as `render`.

Colour and coverage come from the path tracer; masks, depth, normals and materials from our own rasteriser, through the
same camera, since they need no light transport. The same `Lights` mean the same strengths: a white matt surface facing
a light of strength 1 shows as 1 in both. Ambient light becomes a two-coloured environment.

The default variant `scalar_rgb` runs everywhere; `llvm_ad_rgb` is several times faster and needs a recent LLVM library
(19 is known to work; 15 is known to abort the process, which is why it is never picked by itself).

Frames: camera OpenCV, world z up; Mitsuba's camera has x to the left and y up. Not supported: shadow catchers (left
out), normal maps, vertex colours together with a base colour texture (the texture wins).
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError, MissingExtraError
from scenewright.geometry.color import linear_from_srgb
from scenewright.rendering.lights import Ambient, Lights
from scenewright.rendering.render import DEFAULT_OPTIONS, Rendering, RenderOptions, render
from scenewright.rendering.shade_torch import resolve_image
from scenewright.rendering.triangles import CATCHER, TriangleScene, pack_scene
from scenewright.types import Camera, Scene

__all__ = ["render_path_traced"]

ENVIRONMENT_ROWS = 32
UNLIT = Lights(ambient=Ambient((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)))


def render_path_traced(
    scene: Scene | TriangleScene,
    camera: Camera,
    lights: Lights,
    options: RenderOptions = DEFAULT_OPTIONS,
    *,
    samples_per_pixel: int = 64,
    max_depth: int = 6,
    seed: int = 0,
    variant: str = "scalar_rgb",
) -> Rendering:
    """As `render`, with light that bounces up to `max_depth` times; `supersample` only affects the rasterised channels.

    Raises:
        MissingExtraError: Mitsuba is not installed.
        InputError: this Mitsuba has no such variant, or the camera's pixels are not square and free of skew.
    """
    mi = _load(variant)
    packed = (pack_scene(scene) if isinstance(scene, Scene) else scene).to("cpu")
    description = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": max_depth, "hide_emitters": True},
        "sensor": _sensor(mi, camera, samples_per_pixel, options.near),
        **_emitters(mi, lights),
        **_shapes(mi, packed),
    }
    image = np.array(mi.render(mi.load_dict(description), spp=samples_per_pixel, seed=seed), dtype=np.float32)
    linear, alpha = torch.from_numpy(image[..., :3].copy()), torch.from_numpy(image[..., 3].copy()).clamp(0, 1)
    background = torch.tensor(options.background or (0.0, 0.0, 0.0))
    rgb, alpha = resolve_image(
        linear, alpha, 1, options.exposure, options.tone_map, background, options.background is not None
    )
    channels = render(packed, camera, UNLIT, options)
    return Rendering(
        rgb,
        alpha,
        channels.instance,
        channels.depth_z_m,
        channels.normal,
        channels.albedo,
        channels.metallic_roughness,
    )


def _load(variant: str) -> Any:
    try:
        import mitsuba as mi
    except ImportError as error:
        raise MissingExtraError("Path tracing", "mitsuba") from error
    if variant not in mi.variants():
        raise InputError(f"Expected a Mitsuba variant such as {', '.join(mi.variants()[:4])}, got '{variant}'.")
    mi.set_variant(variant)
    return mi


def _sensor(mi: Any, camera: Camera, samples: int, near: float) -> dict[str, Any]:
    k = camera.intrinsics_px.double().cpu().numpy()
    if abs(k[0, 0] - k[1, 1]) > 1e-3 * k[0, 0] or k[0, 1] != 0:
        raise InputError(
            f"Expected square pixels without skew, got fx {k[0, 0]:.6g}, fy {k[1, 1]:.6g}, skew {k[0, 1]:.6g}."
        )
    world_from_cam = np.linalg.inv(camera.cam_from_world.double().cpu().numpy())
    return {
        "type": "perspective",
        "fov_axis": "x",
        "fov": float(np.degrees(2 * np.arctan(0.5 * camera.width / k[0, 0]))),
        "near_clip": near,
        "far_clip": 1e5,
        "principal_point_offset_x": float(0.5 - k[0, 2] / camera.width),
        "principal_point_offset_y": float(0.5 - k[1, 2] / camera.height),
        "to_world": mi.ScalarTransform4f(world_from_cam @ np.diag([-1.0, -1.0, 1.0, 1.0])),
        "film": {
            "type": "hdrfilm",
            "width": camera.width,
            "height": camera.height,
            "pixel_format": "rgba",
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "independent", "sample_count": samples},
    }


def _emitters(mi: Any, lights: Lights) -> dict[str, Any]:
    emitters: dict[str, Any] = {}
    for i, sun in enumerate(lights.suns):
        emitters[f"sun_{i}"] = {
            "type": "directional",
            "direction": [-value for value in sun.direction],
            "irradiance": {"type": "rgb", "value": [np.pi * value for value in sun.color]},
        }
    for i, lamp in enumerate(lights.points):
        emitters[f"lamp_{i}"] = {
            "type": "point",
            "position": list(lamp.position),
            "intensity": {"type": "rgb", "value": [np.pi * value for value in lamp.color]},
        }
    sky = np.array(
        [*[lights.ambient.sky] * (ENVIRONMENT_ROWS // 2), *[lights.ambient.ground] * (ENVIRONMENT_ROWS // 2)]
    )
    if sky.max() > 0:
        picture = np.repeat(sky[:, None].astype(np.float32), 2 * ENVIRONMENT_ROWS, axis=1)
        # Mitsuba's environment has its pole along +y.
        upright = mi.ScalarTransform4f().rotate([1, 0, 0], 90)
        emitters["sky"] = {"type": "envmap", "bitmap": mi.Bitmap(picture), "to_world": upright}
    return emitters


def _shapes(mi: Any, scene: TriangleScene) -> dict[str, Any]:
    shapes: dict[str, Any] = {}
    material_of = scene.face_material.long()
    for row in torch.unique(material_of).tolist():
        if int(scene.bank.kinds[row, 0]) == CATCHER:
            continue
        faces = scene.faces[material_of == row].long()
        used, local = torch.unique(faces, return_inverse=True)
        normals = scene.vertex_normals[used]
        has_normals = bool((normals.norm(dim=1) > 1e-12).all())
        properties = mi.Properties()
        properties["bsdf"] = mi.load_dict(_material(mi, scene, row, scene.colors[used]))
        emission = scene.bank.factors[row, 6:9]
        if bool((emission > 0).any()):
            radiance = {"type": "rgb", "value": emission.tolist()}
            properties["emitter"] = mi.load_dict({"type": "area", "radiance": radiance})
        mesh = mi.Mesh(
            f"material_{row}", len(used), len(faces), has_vertex_normals=has_normals, has_vertex_texcoords=True,
            props=properties,
        )  # fmt: skip
        parameters = mi.traverse(mesh)
        parameters["vertex_positions"] = scene.vertices[used].numpy().ravel()
        parameters["faces"] = local.numpy().astype(np.uint32).ravel()
        parameters["vertex_texcoords"] = scene.uv[used].numpy().ravel()  # v points down there, too
        if has_normals:
            parameters["vertex_normals"] = torch.nn.functional.normalize(normals, dim=1).numpy().ravel()
        parameters.update()
        if bool((scene.colors[used, :3] != 1).any()):
            mesh.add_attribute("vertex_color", 3, _tinted(scene, row, used).ravel())
        shapes[f"material_{row}"] = mesh
    return shapes


def _tinted(scene: TriangleScene, row: int, used: Tensor) -> np.ndarray:
    return (scene.colors[used, :3] * scene.bank.factors[row, :3]).numpy()


def _material(mi: Any, scene: TriangleScene, row: int, colors: Float[Tensor, "V 4"]) -> dict[str, Any]:
    factors, kinds = scene.bank.factors[row], scene.bank.kinds[row]
    base, rough_metal = _texels(scene, int(kinds[1])), _texels(scene, int(kinds[2]))
    color: dict[str, Any] = {"type": "rgb", "value": factors[:3].tolist()}
    if base is not None:
        linear = linear_from_srgb(base)[..., :3] * factors[:3]
        color = _bitmap(mi, linear)
    elif bool((colors[:, :3] != 1).any()):
        color = {"type": "mesh_attribute", "name": "vertex_color"}
    roughness: Any = max(float(factors[5]), 0.05)
    metallic: Any = float(factors[4])
    if rough_metal is not None:
        roughness = _bitmap(mi, (rough_metal[..., 1:2] * factors[5]).clamp(min=0.05))
        metallic = _bitmap(mi, rough_metal[..., 2:3] * factors[4])
    inner = {"type": "principled", "base_color": color, "roughness": roughness, "metallic": metallic, "specular": 0.5}
    material: dict[str, Any] = {"type": "twosided", "bsdf": inner}
    kind = int(kinds[0])
    if kind in (1, 2):
        opacity: Any = float(factors[3])
        if base is not None:
            alpha = base[..., 3:] * factors[3]
            opacity = _bitmap(mi, (alpha >= factors[9]).float() if kind == 1 else alpha)
        material = {"type": "mask", "opacity": opacity, "bsdf": material}
    return material


def _texels(scene: TriangleScene, index: int) -> Float[Tensor, "height width 4"] | None:
    if index < 0:
        return None
    start, height, width = scene.bank.textures[index].tolist()
    return scene.bank.texels[start : start + height * width].reshape(height, width, 4).float() / 255


def _bitmap(mi: Any, values: Float[Tensor, "height width channels"]) -> dict[str, Any]:
    return {"type": "bitmap", "bitmap": mi.Bitmap(values.contiguous().numpy()), "raw": True}
