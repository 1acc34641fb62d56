"""Shading of a G-buffer as equations on whole arrays: the reference for `shade_numba`, and the path for accelerators.

Reflection: glTF metallic-roughness (glTF 2.0, appendix B) with Lambert diffuse, GGX, Smith visibility, Schlick Fresnel;
ambient specular by Karis's fit (2014). Display: Khronos PBR Neutral (2024), then sRGB.

Legend: P shaded pixels, H, W image. Frame: world, z up; normals face the camera.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from scenewright.geometry.camera.cubemap import cube_face_rotations
from scenewright.geometry.color import srgb_from_linear
from scenewright.rendering.lights import ShadowMaps
from scenewright.rendering.shade_numba import DOME_JITTER, JITTER_S, JITTER_U, JITTER_V
from scenewright.rendering.texture_torch import face_alpha, fetch, interpolate
from scenewright.rendering.triangles import CATCHER, TriangleScene

__all__ = ["resolve_image", "shade_image", "tone_map_neutral"]

TRIPLE = (slice(0, 3), slice(3, 6))


def shade_image(
    face: Int[Tensor, "height width"],
    barycentrics: Float[Tensor, "height width 2"],
    center: Float[Tensor, " 3"],
    scene: TriangleScene,
    lights: ShadowMaps,
    interleave: int = 1,
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"], Float[Tensor, "height width 8"]]:
    """Linear colour, opacity, and (base colour 3, normal 3, metallic, roughness) per pixel, as in `shade_numba`."""
    height, width = face.shape
    rgb = torch.zeros(height * width, 3, device=face.device)
    alpha = torch.zeros(height * width, device=face.device)
    extras = torch.zeros(height * width, 8, device=face.device)
    hit = torch.nonzero(face.flatten() >= 0).squeeze(1)
    if len(hit):
        pixel = torch.stack([torch.div(hit, width, rounding_mode="floor"), hit % width], 1)
        points = face.flatten()[hit].long(), barycentrics.reshape(-1, 2)[hit], pixel
        rgb[hit], alpha[hit], extras[hit] = _shade(*points, center, scene, lights, interleave)
    return rgb.reshape(height, width, 3), alpha.reshape(height, width), extras.reshape(height, width, 8)


def _shade(
    face: Tensor,
    bary: Tensor,
    pixel: Tensor,
    center: Tensor,
    scene: TriangleScene,
    lights: ShadowMaps,
    interleave: int,
) -> tuple[Tensor, Tensor, Tensor]:
    material = scene.face_material[face].long()
    factor, kind = scene.bank.factors[material], scene.bank.kinds[material]
    position = interpolate(scene, scene.vertices, face, bary)
    view = normalize(center - position, dim=1)
    geometric, normal = _normals(scene, face, bary, view, kind[:, 3])
    uv = interpolate(scene, scene.uv, face, bary)
    base = factor[:, :3] * interpolate(scene, scene.colors, face, bary)[:, :3]
    base = base * fetch(scene.bank, kind[:, 1], uv, is_srgb=True)[:, :3]
    rough_metal = fetch(scene.bank, kind[:, 2], uv)
    metallic, roughness = factor[:, 4] * rough_metal[:, 2], factor[:, 5] * rough_metal[:, 1]
    rough, nv = roughness.clamp(min=0.09), (normal * view).sum(1).clamp(min=1e-3)
    diffuse = (1 - metallic)[:, None] * base
    f0 = 0.04 + (base - 0.04) * metallic[:, None]
    color = factor[:, 6:9] * fetch(scene.bank, kind[:, 4], uv, is_srgb=True)[:, :3]
    received, lost = torch.zeros_like(nv), torch.zeros_like(nv)
    for direction, strength, lit in _lights(lights, position, geometric):
        nl, specular, power = _brdf(normal, view, direction, nv, rough)
        fresnel = f0 + (1 - f0) * power[:, None]
        color += (lit * nl)[:, None] * strength * ((1 - fresnel) * diffuse + specular[:, None] * fresnel)
        energy = nl * strength.sum(1)
        received, lost = received + energy, lost + energy * (1 - lit)
    open_sky = _open_sky(lights, position, geometric, normal, pixel, interleave)
    sky, ground = (lights.ambient[part] for part in TRIPLE)
    received, lost = received + sky.sum(), lost + sky.sum() * (1 - open_sky)
    color = color + _ambient(normal, view, nv, rough, diffuse, f0, open_sky, sky, ground)
    is_catcher = kind[:, 0] == CATCHER
    share = lost / received.clamp(min=1e-6)
    color = torch.where(is_catcher[:, None], 0.0, color)
    opacity = torch.where(kind[:, 0] == 2, face_alpha(scene, face, bary)[0], 1.0)
    extras = torch.cat([base, normal, metallic[:, None], roughness[:, None]], 1)
    return color, torch.where(is_catcher, share, opacity), extras


def _normals(scene: TriangleScene, face: Tensor, bary: Tensor, view: Tensor, texture: Tensor) -> tuple[Tensor, Tensor]:
    """Geometric and shading normal, both turned to the viewer; the latter bent by the normal map."""
    corners = scene.vertices[scene.faces[face].long()]
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    geometric = torch.linalg.cross(edge1, edge2)
    geometric = geometric / geometric.norm(dim=1, keepdim=True).clamp(min=1e-30)
    geometric = torch.where((geometric * view).sum(1, keepdim=True) < 0, -geometric, geometric)
    smooth = interpolate(scene, scene.vertex_normals, face, bary)
    length = smooth.norm(dim=1, keepdim=True)
    unit = smooth / length.clamp(min=1e-12)
    unit = torch.where((unit * geometric).sum(1, keepdim=True) < 0, -unit, unit)
    normal = torch.where(length > 1e-12, unit, geometric)
    (u1, v1), (u2, v2) = (d.unbind(1) for d in _uv_edges(scene, face))
    det = u1 * v2 - u2 * v1
    bent = torch.nonzero((texture >= 0) & (det.abs() > 1e-20)).squeeze(1)
    if not len(bent):
        return geometric, normal
    n, e1, e2 = normal[bent], edge1[bent], edge2[bent]
    u1, v1, u2, v2, sign = (value[bent, None] for value in (u1, v1, u2, v2, det.sign()))
    tangent, up = sign * (e1 * v2 - e2 * v1), -sign * (e2 * u1 - e1 * u2)
    tangent, up = (normalize(d - (d * n).sum(1, keepdim=True) * n, dim=1) for d in (tangent, up))
    uv = interpolate(scene, scene.uv, face[bent], bary[bent])
    mapped = 2 * fetch(scene.bank, texture[bent], uv)[:, :3] - 1
    normal = normal.clone()
    normal[bent] = normalize(mapped[:, :1] * tangent + mapped[:, 1:2] * up + mapped[:, 2:] * n, dim=1)
    return geometric, normal


def _uv_edges(scene: TriangleScene, face: Tensor) -> tuple[Tensor, Tensor]:
    uv = scene.uv[scene.faces[face].long()]
    return uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]


def _lights(lights: ShadowMaps, position: Tensor, geometric: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (direction to the light, strength arriving [P, 3], fraction not in shadow) of every sun and lamp."""
    for sun in lights.suns:
        direction = sun[:3].expand_as(position)
        lit = position.new_ones(len(position))
        if sun[6] >= 0:
            view, depths = lights.sun_views[int(sun[6])], lights.sun_depths[int(sun[6])]
            side = (geometric * direction).sum(1)
            texel = 1 / float(view[12])
            offset = (1.5 + lights.radius) * texel * (1 - side * side).clamp(min=0).sqrt()
            offset = torch.where(side > 0, offset, -offset)
            lit = _is_lit(view, True, depths, position + geometric * offset[:, None], lights.radius, 0.75 * texel)
        yield direction, sun[3:6].expand_as(position), lit
    for lamp in lights.points:
        to_lamp = lamp[:3] - position
        square = to_lamp.square().sum(1).clamp(min=1e-6)
        direction = to_lamp / square.sqrt()[:, None]
        lit = position.new_ones(len(position))
        if lamp[6] >= 0:
            first = int(lamp[6])
            texel = square.sqrt() / float(lights.point_views[first, 12])
            side = torch.where((geometric * direction).sum(1) > 0, 1.0, -1.0)
            moved = position + geometric * ((1.5 + lights.radius) * texel * side)[:, None]
            axis = cube_face_rotations().to(position)[:, 2]
            which = (-direction @ axis.T).argmax(1)
            for k in range(6):
                on_face = torch.nonzero(which == k).squeeze(1)
                view, depths = lights.point_views[first + k], lights.point_depths[first + k]
                lit[on_face] = _is_lit(view, False, depths, moved[on_face], lights.radius, 0.75 * texel[on_face])
        yield direction, lamp[3:6] / square[:, None], lit


def _is_lit(
    view: Tensor, ortho: bool, depths: Tensor, points: Tensor, radius: int, bias: Tensor | float
) -> Float[Tensor, " P"]:
    """Fraction of a light that passes its shadow map: bilinear percentage-closer filtering."""
    view = view.to(points)
    cam = points @ view[:9].reshape(3, 3).T + view[9:12]
    w = torch.ones_like(cam[:, 2]) if ortho else cam[:, 2]
    pixel = torch.stack([view[12] * cam[:, 0] / w + view[15], view[13] * cam[:, 1] / w + view[16]], 1) - 0.5
    size, low = len(depths), pixel.floor()
    fraction, low = pixel - low, low.long()
    limit = cam[:, 2] - bias
    total = torch.zeros_like(limit)
    for i in range(-radius, radius + 2):
        for j in range(-radius, radius + 2):
            column, row = low[:, 0] + j, low[:, 1] + i
            known = (column >= 0) & (column < size) & (row >= 0) & (row < size)
            depth = depths[row.clamp(0, size - 1), column.clamp(0, size - 1)]
            passes = ~(known & (depth != 0) & (depth < limit))
            total += passes * _tap(fraction[:, 0], j, radius) * _tap(fraction[:, 1], i, radius)
    return total / (2 * radius + 1) ** 2


def _tap(fraction: Tensor, index: int, radius: int) -> Tensor:
    if index == -radius:
        return 1 - fraction
    return fraction if index == radius + 1 else torch.ones_like(fraction)


def _brdf(normal: Tensor, view: Tensor, light: Tensor, nv: Tensor, rough: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    nl = (normal * light).sum(1).clamp(min=0)
    half = normalize(light + view, dim=1, eps=1e-6)
    nh, vh = (normal * half).sum(1).clamp(min=0), (view * half).sum(1).clamp(min=0)
    a2 = rough**4
    d = nh * nh * (a2 - 1) + 1
    smith = nl * (nv * nv * (1 - a2) + a2).sqrt() + nv * (nl * nl * (1 - a2) + a2).sqrt()
    specular = a2 / (d * d) * 0.5 / smith.clamp(min=1e-12)
    return nl, torch.where(nl > 0, specular, 0.0), (1 - vh) ** 5


def _open_sky(
    lights: ShadowMaps,
    position: Tensor,
    geometric: Tensor,
    normal: Tensor,
    pixel: Int[Tensor, "P 2"],
    interleave: int,
) -> Float[Tensor, " P"]:
    """Cosine-weighted share of the sky that a point sees.

    `pixel` (row, column) shifts the lookups; each pixel of an `interleave`^2 cell looks at its own share of the dome.
    """
    if not len(lights.dome):
        return position.new_ones(len(position))
    cosine = (normal @ lights.dome.T).clamp(min=0)
    cell = (pixel[:, :1] % interleave) * interleave + pixel[:, 1:] % interleave
    cosine = cosine * (torch.arange(len(lights.dome), device=cell.device) % interleave**2 == cell)
    texel = 1 / float(lights.dome_views[0, 12])
    moved = position + geometric * ((1.5 + DOME_JITTER) * texel)
    row, column = pixel.to(lights.dome_views.dtype).unbind(1)
    shift = torch.stack([JITTER_U * column + JITTER_V * row, JITTER_V * column + JITTER_U * row], 1)
    size = lights.dome_depths.shape[1]
    seen = torch.zeros_like(position[:, 0])
    for s, (view, depths) in enumerate(zip(lights.dome_views, lights.dome_depths, strict=True)):
        step = shift + JITTER_S * s * torch.tensor([1, 2], device=shift.device)
        view, step = view.to(position), ((2 * (step - step.floor()) - 1) * DOME_JITTER).to(position)
        cam = moved @ view[:9].reshape(3, 3).T + view[9:12]
        place = cam[:, :2] * view[12] + view[15:17] + step
        inside = ((place >= 0) & (place < size)).all(1)
        u, v = place.long().clamp(0, size - 1).unbind(1)
        depth = depths[v, u]
        seen += cosine[:, s] * (~inside | (depth == 0) | (depth >= cam[:, 2] - 0.75 * texel))
    total = cosine.sum(1)
    return torch.where(total > 0, seen / total.clamp(min=1e-12), 1.0)


def _ambient(
    normal: Tensor, view: Tensor, nv: Tensor, rough: Tensor, diffuse: Tensor, f0: Tensor, open_sky: Tensor,
    sky: Tensor, ground: Tensor,
) -> Tensor:  # fmt: skip
    open_ground = 0.5 + 0.5 * open_sky
    up = 0.5 + 0.5 * normal[:, 2]
    mirror_z = 2 * nv * normal[:, 2] - view[:, 2]
    blur = 0.15 + 0.85 * rough
    step = ((mirror_z + blur) / (2 * blur)).clamp(0, 1)
    step = step * step * (3 - 2 * step)
    ra = 1 - rough
    a004 = torch.minimum(ra * ra, torch.exp2(-9.28 * nv)) * ra + 0.0425 - 0.0275 * rough
    fit_a, fit_b = -1.04 * a004 + 1.04 - 0.572 * rough, 1.04 * a004 - 0.04 + 0.022 * rough

    def mixed(share: Tensor) -> Tensor:
        return (share * open_sky)[:, None] * sky + ((1 - share) * open_ground)[:, None] * ground

    return diffuse * mixed(up) + (f0 * fit_a[:, None] + fit_b[:, None]) * mixed(step)


def tone_map_neutral(color: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Khronos PBR Neutral: base colours come through as authored, highlights roll off towards white below 1."""
    low = color.amin(-1, keepdim=True).clamp(min=0)
    color = color - torch.where(low < 0.08, low - 6.25 * low * low, 0.04)
    peak, start = color.amax(-1, keepdim=True), 0.8 - 0.04
    d = 1 - start
    new_peak = 1 - d * d / (peak + d - start)
    mix = 1 / (0.15 * (peak - new_peak) + 1)
    rolled = color * (new_peak / peak.clamp(min=1e-6)) * mix + new_peak * (1 - mix)
    return torch.where(peak > start, rolled, color)


def resolve_image(
    linear: Float[Tensor, "tall wide 3"],
    alpha: Float[Tensor, "tall wide"],
    factor: int,
    exposure: float,
    neutral: bool,
    background: Float[Tensor, " 3"],
    over: bool,
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
    """Average `factor`^2 samples per pixel, tone map, lay over the background, encode as sRGB (as in `shade_numba`)."""
    stacked = torch.cat([linear, alpha[..., None]], -1).movedim(-1, 0)
    pooled = torch.nn.functional.avg_pool2d(stacked, factor).movedim(0, -1)
    cover = pooled[..., 3:]
    color = pooled[..., :3] * (exposure / cover.clamp(min=1e-6 / factor**2))
    color = tone_map_neutral(color) if neutral else color
    if over:
        color = color.clamp(max=1) * cover + background.to(color) * (1 - cover)
    return srgb_from_linear(color), cover[..., 0]
