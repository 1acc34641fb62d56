"""Compiled shading of a G-buffer: materials, lights, shadows, and the final resolve to display colours.

The reflection model is glTF's metallic-roughness: Lambert diffuse plus GGX specular with Smith visibility and Schlick's
Fresnel term (glTF 2.0, appendix B); ambient specular uses the analytic fit of Karis ("Physically Based Shading on
Mobile", 2014). Display: Khronos PBR Neutral tone mapping (2024), which leaves colours below 0.8 nearly as they are,
then sRGB. `shade_torch` states the same equations on whole arrays and is the reference for this file.

Tuples of arrays keep the signatures short: mesh = (vertices, normals, uv, colors, faces, face_material);
bank = (factors, kinds, textures, texels); lights = the arrays of `ShadowMaps` in order.
"""

import math
from typing import no_type_check

import numpy as np

from scenewright.compiled import njit
from scenewright.rendering.texture_numba import LINEAR_TABLE, SRGB_TABLE, face_alpha, fetch

__all__ = ["DOME_JITTER", "JITTER_S", "JITTER_U", "JITTER_V", "resolve_rows", "shade_rows"]

ENCODE_STEPS = 4096
ENCODE_TABLE = 1.055 * (np.arange(ENCODE_STEPS + 2) / ENCODE_STEPS) ** (1 / 2.4) - 0.055
DOME_JITTER = 1.5  # texels by which sky lookups wander from pixel to pixel
JITTER_U, JITTER_V, JITTER_S = 0.7548776662466927, 0.5698402909980532, 0.6180339887498949  # low-discrepancy steps


@njit(cache=True, nogil=True)
@no_type_check
def is_lit(view, ortho, depths, x, y, z, radius, bias):
    """Fraction of the light that reaches a point past one shadow map: bilinear percentage-closer filtering."""
    cam_x = view[0] * x + view[1] * y + view[2] * z + view[9]
    cam_y = view[3] * x + view[4] * y + view[5] * z + view[10]
    cam_z = view[6] * x + view[7] * y + view[8] * z + view[11]
    w = 1.0 if ortho else cam_z
    u = view[12] * cam_x / w + view[15] - 0.5
    v = view[13] * cam_y / w + view[16] - 0.5
    size = depths.shape[0]
    u0, v0 = math.floor(u), math.floor(v)
    if u0 < -1 or v0 < -1 or u0 >= size or v0 >= size:
        return 1.0
    fu, fv = u - u0, v - v0
    limit = cam_z - bias
    total = 0.0
    for row in range(v0 - radius, v0 + radius + 2):
        row_weight = 1 - fv if row == v0 - radius else (fv if row == v0 + radius + 1 else 1.0)
        for column in range(u0 - radius, u0 + radius + 2):
            weight = 1 - fu if column == u0 - radius else (fu if column == u0 + radius + 1 else 1.0)
            blocked = False
            if 0 <= row < size and 0 <= column < size:
                depth = depths[row, column]
                blocked = depth != 0.0 and depth < limit
            if not blocked:
                total += row_weight * weight
    return total / (2 * radius + 1) ** 2


@njit(cache=True, nogil=True)
@no_type_check
def sees_sky(view, depths, x, y, z, shift_u, shift_v, bias):
    """Whether one dome direction is free, looked up `shift` texels aside: many hard tests blur into a soft shadow."""
    cam_z = view[6] * x + view[7] * y + view[8] * z + view[11]
    u = view[12] * (view[0] * x + view[1] * y + view[2] * z + view[9]) + view[15] + shift_u
    v = view[13] * (view[3] * x + view[4] * y + view[5] * z + view[10]) + view[16] + shift_v
    size = depths.shape[0]
    if not (0 <= u < size and 0 <= v < size):
        return True
    depth = depths[int(v), int(u)]
    return depth == 0.0 or depth >= cam_z - bias


@njit(cache=True, nogil=True)
@no_type_check
def cube_face(x, y, z):
    """Cube face that a direction (in the cube's axes) falls on; order of `geometry.cubemap`."""
    ax, ay, az = abs(x), abs(y), abs(z)
    if az >= ax and az >= ay:
        return 0 if z > 0 else 2
    if ax >= ay:
        return 1 if x > 0 else 3
    return 5 if y > 0 else 4


@njit(cache=True, nogil=True)
@no_type_check
def brdf(nx, ny, nz, vx, vy, vz, lx, ly, lz, nv, roughness):
    """(n.l, specular without Fresnel times pi, Schlick's power term) for one light direction."""
    nl = nx * lx + ny * ly + nz * lz
    if nl <= 0:
        return 0.0, 0.0, 0.0
    hx, hy, hz = lx + vx, ly + vy, lz + vz
    inverse = 1.0 / max(math.sqrt(hx * hx + hy * hy + hz * hz), 1e-6)
    nh = max((nx * hx + ny * hy + nz * hz) * inverse, 0.0)
    vh = max((vx * hx + vy * hy + vz * hz) * inverse, 0.0)
    a2 = roughness**4
    d = nh * nh * (a2 - 1) + 1
    visibility = 0.5 / (nl * math.sqrt(nv * nv * (1 - a2) + a2) + nv * math.sqrt(nl * nl * (1 - a2) + a2))
    c = 1 - vh
    return nl, a2 / (d * d) * visibility, c * c * c * c * c


@njit(cache=True, nogil=True)
@no_type_check
def shade_rows(face, bary, center, mesh, bank, lights, radius, aux, interleave, first, last, rgb, alpha, extras):
    """Fill rows [first, last) of `rgb` (linear) and `alpha` (opacity of the surface; 0 where nothing is hit).

    With `aux`, `extras` [H, W, 8] receives linear base colour (3), world normal facing the camera (3), metallic and
    roughness. Each sample of an `interleave`^2 cell looks at its own share of the dome, so a pixel averages all of it.
    Shadow catchers are black, and as opaque as the share of light they lose.
    """
    vertices, normals, uv, colors, faces, face_material = mesh
    factors, kinds, textures, texels = bank
    (suns, points, ambient, dome, sun_views, sun_depths, point_views, point_depths, dome_views, dome_depths) = lights
    for row in range(first, last):
        for column in range(face.shape[1]):
            f = face[row, column]
            if f < 0:
                for c in range(3):
                    rgb[row, column, c] = 0.0
                alpha[row, column] = 0.0
                if aux:
                    for c in range(8):
                        extras[row, column, c] = 0.0
                continue
            i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
            b1, b2 = bary[row, column, 0], bary[row, column, 1]
            b0 = np.float32(1.0) - b1 - b2
            material = face_material[f]
            kind = kinds[material, 0]
            p0, p1, p2 = vertices[i0], vertices[i1], vertices[i2]
            px = b0 * p0[0] + b1 * p1[0] + b2 * p2[0]
            py = b0 * p0[1] + b1 * p1[1] + b2 * p2[1]
            pz = b0 * p0[2] + b1 * p1[2] + b2 * p2[2]
            vx, vy, vz = center[0] - px, center[1] - py, center[2] - pz
            inverse = 1.0 / max(math.sqrt(vx * vx + vy * vy + vz * vz), 1e-12)
            vx, vy, vz = vx * inverse, vy * inverse, vz * inverse
            # Geometric normal, turned to the viewer: every surface has two sides.
            e1x, e1y, e1z = p1[0] - p0[0], p1[1] - p0[1], p1[2] - p0[2]
            e2x, e2y, e2z = p2[0] - p0[0], p2[1] - p0[1], p2[2] - p0[2]
            gx, gy, gz = e1y * e2z - e1z * e2y, e1z * e2x - e1x * e2z, e1x * e2y - e1y * e2x
            inverse = 1.0 / max(math.sqrt(gx * gx + gy * gy + gz * gz), 1e-30)
            if gx * vx + gy * vy + gz * vz < 0:
                inverse = -inverse
            gx, gy, gz = gx * inverse, gy * inverse, gz * inverse
            n0, n1, n2 = normals[i0], normals[i1], normals[i2]
            nx = b0 * n0[0] + b1 * n1[0] + b2 * n2[0]
            ny = b0 * n0[1] + b1 * n1[1] + b2 * n2[1]
            nz = b0 * n0[2] + b1 * n1[2] + b2 * n2[2]
            length = math.sqrt(nx * nx + ny * ny + nz * nz)
            if length > 1e-12:
                inverse = 1.0 / length
                if nx * gx + ny * gy + nz * gz < 0:
                    inverse = -inverse
                nx, ny, nz = nx * inverse, ny * inverse, nz * inverse
            else:
                nx, ny, nz = gx, gy, gz
            u = b0 * uv[i0, 0] + b1 * uv[i1, 0] + b2 * uv[i2, 0]
            v = b0 * uv[i0, 1] + b1 * uv[i1, 1] + b2 * uv[i2, 1]
            factor = factors[material]
            if kinds[material, 3] >= 0:
                # Tangent frame of the triangle itself: u and v directions across the face.
                du1, dv1 = uv[i1, 0] - uv[i0, 0], uv[i1, 1] - uv[i0, 1]
                du2, dv2 = uv[i2, 0] - uv[i0, 0], uv[i2, 1] - uv[i0, 1]
                det = du1 * dv2 - du2 * dv1
                if abs(det) > 1e-20:
                    sign = 1.0 if det > 0 else -1.0
                    tx, ty, tz = e1x * dv2 - e2x * dv1, e1y * dv2 - e2y * dv1, e1z * dv2 - e2z * dv1
                    dot = tx * nx + ty * ny + tz * nz
                    tx, ty, tz = sign * (tx - dot * nx), sign * (ty - dot * ny), sign * (tz - dot * nz)
                    inverse = 1.0 / max(math.sqrt(tx * tx + ty * ty + tz * tz), 1e-30)
                    tx, ty, tz = tx * inverse, ty * inverse, tz * inverse
                    # +Y of a glTF normal map points up in the texture, against v.
                    ux, uy, uz = -(e2x * du1 - e1x * du2), -(e2y * du1 - e1y * du2), -(e2z * du1 - e1z * du2)
                    dot = ux * nx + uy * ny + uz * nz
                    ux, uy, uz = sign * (ux - dot * nx), sign * (uy - dot * ny), sign * (uz - dot * nz)
                    inverse = 1.0 / max(math.sqrt(ux * ux + uy * uy + uz * uz), 1e-30)
                    ux, uy, uz = ux * inverse, uy * inverse, uz * inverse
                    mx, my, mz = fetch(textures, texels, kinds[material, 3], u, v, LINEAR_TABLE)
                    mx, my, mz = 2 * mx - 1, 2 * my - 1, 2 * mz - 1
                    nx, ny, nz = mx * tx + my * ux + mz * nx, mx * ty + my * uy + mz * ny, mx * tz + my * uz + mz * nz
                    inverse = 1.0 / max(math.sqrt(nx * nx + ny * ny + nz * nz), 1e-12)
                    nx, ny, nz = nx * inverse, ny * inverse, nz * inverse
            nv = max(nx * vx + ny * vy + nz * vz, 1e-3)
            c0, c1, c2 = colors[i0], colors[i1], colors[i2]
            red = factor[0] * (b0 * c0[0] + b1 * c1[0] + b2 * c2[0])
            green = factor[1] * (b0 * c0[1] + b1 * c1[1] + b2 * c2[1])
            blue = factor[2] * (b0 * c0[2] + b1 * c1[2] + b2 * c2[2])
            if kinds[material, 1] >= 0:
                tr, tg, tb = fetch(textures, texels, kinds[material, 1], u, v, SRGB_TABLE)
                red, green, blue = red * tr, green * tg, blue * tb
            metallic, roughness = factor[4], factor[5]
            if kinds[material, 2] >= 0:
                _, tg, tb = fetch(textures, texels, kinds[material, 2], u, v, LINEAR_TABLE)
                roughness, metallic = roughness * tg, metallic * tb
            if aux:
                extras[row, column, 0], extras[row, column, 1], extras[row, column, 2] = red, green, blue
                extras[row, column, 3], extras[row, column, 4], extras[row, column, 5] = nx, ny, nz
                extras[row, column, 6], extras[row, column, 7] = metallic, roughness
            opacity = 1.0
            if kind == 2:
                opacity, _ = face_alpha(f, b1, b2, uv, colors, faces, face_material, factors, kinds, textures, texels)
            rough = max(roughness, 0.09)
            diffuse = 1 - metallic
            f0r, f0g, f0b = (
                0.04 + (red - 0.04) * metallic,
                0.04 + (green - 0.04) * metallic,
                0.04 + (blue - 0.04) * metallic,
            )
            catcher = kind == 3
            lost = 0.0
            received = 0.0
            out_r, out_g, out_b = float(factor[6]), float(factor[7]), float(factor[8])
            if kinds[material, 4] >= 0:
                tr, tg, tb = fetch(textures, texels, kinds[material, 4], u, v, SRGB_TABLE)
                out_r, out_g, out_b = out_r * tr, out_g * tg, out_b * tb
            for s in range(suns.shape[0]):
                lx, ly, lz = suns[s, 0], suns[s, 1], suns[s, 2]
                nl, specular, power = brdf(nx, ny, nz, vx, vy, vz, lx, ly, lz, nv, rough)
                if nl <= 0:
                    continue
                lit = 1.0
                index = int(suns[s, 6])
                if index >= 0:
                    side = gx * lx + gy * ly + gz * lz
                    texel = 1.0 / sun_views[index, 12]
                    offset = (1.5 + radius) * texel * math.sqrt(max(1 - side * side, 0.0)) * (1.0 if side > 0 else -1.0)
                    lit = is_lit(
                        sun_views[index], True, sun_depths[index], px + gx * offset, py + gy * offset, pz + gz * offset,
                        radius, 0.75 * texel,
                    )  # fmt: skip
                if catcher:
                    energy = nl * (suns[s, 3] + suns[s, 4] + suns[s, 5])
                    received += energy
                    lost += energy * (1 - lit)
                    continue
                lit *= nl
                fr, fg, fb = f0r + (1 - f0r) * power, f0g + (1 - f0g) * power, f0b + (1 - f0b) * power
                out_r += lit * suns[s, 3] * ((1 - fr) * diffuse * red + specular * fr)
                out_g += lit * suns[s, 4] * ((1 - fg) * diffuse * green + specular * fg)
                out_b += lit * suns[s, 5] * ((1 - fb) * diffuse * blue + specular * fb)
            for s in range(points.shape[0]):
                dx, dy, dz = points[s, 0] - px, points[s, 1] - py, points[s, 2] - pz
                square = max(dx * dx + dy * dy + dz * dz, 1e-6)
                inverse = 1.0 / math.sqrt(square)
                lx, ly, lz = dx * inverse, dy * inverse, dz * inverse
                nl, specular, power = brdf(nx, ny, nz, vx, vy, vz, lx, ly, lz, nv, rough)
                if nl <= 0:
                    continue
                lit = 1.0
                index = int(points[s, 6])
                if index >= 0:
                    index += cube_face(-dx, -dy, -dz)
                    texel = 1.0 / (inverse * point_views[index, 12])
                    side = 1.0 if gx * lx + gy * ly + gz * lz > 0 else -1.0
                    offset = (1.5 + radius) * texel * side
                    lit = is_lit(
                        point_views[index], False, point_depths[index], px + gx * offset, py + gy * offset,
                        pz + gz * offset, radius, 0.75 * texel,
                    )  # fmt: skip
                nl /= square
                if catcher:
                    energy = nl * (points[s, 3] + points[s, 4] + points[s, 5])
                    received += energy
                    lost += energy * (1 - lit)
                    continue
                lit *= nl
                fr, fg, fb = f0r + (1 - f0r) * power, f0g + (1 - f0g) * power, f0b + (1 - f0b) * power
                out_r += lit * points[s, 3] * ((1 - fr) * diffuse * red + specular * fr)
                out_g += lit * points[s, 4] * ((1 - fg) * diffuse * green + specular * fg)
                out_b += lit * points[s, 5] * ((1 - fb) * diffuse * blue + specular * fb)
            open_sky = 1.0
            if dome.shape[0] > 0:
                total = 0.0
                seen = 0.0
                texel = 1.0 / dome_views[0, 12]
                offset = (1.5 + DOME_JITTER) * texel
                ox, oy, oz = px + gx * offset, py + gy * offset, pz + gz * offset
                pixel_u = JITTER_U * column + JITTER_V * row
                pixel_v = JITTER_V * column + JITTER_U * row
                cell = (row % interleave) * interleave + column % interleave
                for s in range(cell, dome.shape[0], interleave * interleave):
                    cosine = nx * dome[s, 0] + ny * dome[s, 1] + nz * dome[s, 2]
                    if cosine <= 0:
                        continue
                    total += cosine
                    shift_u, shift_v = pixel_u + JITTER_S * s, pixel_v + 2 * JITTER_S * s
                    shift_u = (2 * (shift_u - math.floor(shift_u)) - 1) * DOME_JITTER
                    shift_v = (2 * (shift_v - math.floor(shift_v)) - 1) * DOME_JITTER
                    if sees_sky(dome_views[s], dome_depths[s], ox, oy, oz, shift_u, shift_v, 0.75 * texel):
                        seen += cosine
                if total > 0:
                    open_sky = seen / total
            up = 0.5 + 0.5 * nz
            if catcher:
                energy = ambient[0] + ambient[1] + ambient[2]
                received += energy
                lost += energy * (1 - open_sky)
                share = lost / max(received, 1e-6)
                alpha[row, column] = share
                for c in range(3):
                    rgb[row, column, c] = 0.0
                continue
            open_ground = 0.5 + 0.5 * open_sky
            # Mirror direction, its blurred sky-to-ground gradient, and the fitted Fresnel integral.
            mirror_z = 2 * nv * nz - vz
            width = 0.15 + 0.85 * rough
            step = min(max((mirror_z + width) / (2 * width), 0.0), 1.0)
            step = step * step * (3 - 2 * step)
            ra, rb = 1 - rough, 0.0425 - 0.0275 * rough
            a004 = min(ra * ra, 2.0 ** (-9.28 * nv)) * ra + rb
            fit_a = -1.04 * a004 + 1.04 - 0.572 * rough
            fit_b = 1.04 * a004 - 0.04 + 0.022 * rough
            sky, ground = up * open_sky, (1 - up) * open_ground
            sky_mirror, ground_mirror = step * open_sky, (1 - step) * open_ground
            out_r += diffuse * red * (sky * ambient[0] + ground * ambient[3])
            out_r += (f0r * fit_a + fit_b) * (sky_mirror * ambient[0] + ground_mirror * ambient[3])
            out_g += diffuse * green * (sky * ambient[1] + ground * ambient[4])
            out_g += (f0g * fit_a + fit_b) * (sky_mirror * ambient[1] + ground_mirror * ambient[4])
            out_b += diffuse * blue * (sky * ambient[2] + ground * ambient[5])
            out_b += (f0b * fit_a + fit_b) * (sky_mirror * ambient[2] + ground_mirror * ambient[5])
            rgb[row, column, 0], rgb[row, column, 1], rgb[row, column, 2] = out_r, out_g, out_b
            alpha[row, column] = opacity


@njit(cache=True, nogil=True)
@no_type_check
def resolve_rows(linear, alpha, factor, exposure, neutral, background, over, first, last, rgb, coverage):
    """Average `factor`^2 samples per pixel in linear light, tone map, lay over `background`, encode as sRGB.

    Samples are multiplied by their opacity. The background is not tone mapped: it comes out as it was asked for. With
    `over` off the colour is what it would be without any background. Rows [first, last) of the result are written.
    """
    scale = 1.0 / (factor * factor)
    empty = np.zeros(3, np.float32)
    if over:
        for c in range(3):
            empty[c] = encode(background[c])
    for row in range(first, last):
        for column in range(rgb.shape[1]):
            red, green, blue, cover = 0.0, 0.0, 0.0, 0.0
            for i in range(row * factor, (row + 1) * factor):
                for j in range(column * factor, (column + 1) * factor):
                    red += linear[i, j, 0]
                    green += linear[i, j, 1]
                    blue += linear[i, j, 2]
                    cover += alpha[i, j]
            if cover == 0.0 and red == 0.0 and green == 0.0 and blue == 0.0:
                rgb[row, column, 0], rgb[row, column, 1], rgb[row, column, 2] = empty[0], empty[1], empty[2]
                coverage[row, column] = 0.0
                continue
            gain = exposure / max(cover, 1e-6)
            red, green, blue = red * gain, green * gain, blue * gain
            if neutral:
                low = max(min(red, green, blue), 0.0)
                offset = low - 6.25 * low * low if low < 0.08 else 0.04
                red, green, blue = red - offset, green - offset, blue - offset
                peak = max(red, green, blue)
                start = 0.8 - 0.04
                if peak > start:
                    d = 1 - start
                    new_peak = 1 - d * d / (peak + d - start)
                    ratio = new_peak / peak
                    mix = 1 / (0.15 * (peak - new_peak) + 1)
                    red = red * ratio * mix + new_peak * (1 - mix)
                    green = green * ratio * mix + new_peak * (1 - mix)
                    blue = blue * ratio * mix + new_peak * (1 - mix)
            cover *= scale
            if over:
                red = min(red, 1.0) * cover + background[0] * (1 - cover)
                green = min(green, 1.0) * cover + background[1] * (1 - cover)
                blue = min(blue, 1.0) * cover + background[2] * (1 - cover)
            rgb[row, column, 0], rgb[row, column, 1], rgb[row, column, 2] = encode(red), encode(green), encode(blue)
            coverage[row, column] = cover


@njit(cache=True, nogil=True)
@no_type_check
def encode(value):
    """sRGB encoding of a linear value, clamped to [0, 1]; read from a table to within 2e-5."""
    if value <= 0.0031308:
        return max(12.92 * value, 0.0)
    if value >= 1.0:
        return 1.0
    place = value * ENCODE_STEPS
    index = int(place)
    return ENCODE_TABLE[index] + (place - index) * (ENCODE_TABLE[index + 1] - ENCODE_TABLE[index])
