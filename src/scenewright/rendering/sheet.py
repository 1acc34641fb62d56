"""Contact sheets: grids of labelled pictures, mask overlays and plan views, made to be looked at."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from scenewright.rendering.lights import Ambient, Lights, SunLight
from scenewright.rendering.render import RenderOptions, render_view
from scenewright.rendering.triangles import TriangleScene, pack_scene
from scenewright.rendering.view import parallel_view
from scenewright.types import Scene

__all__ = ["TALLEST", "instance_colors", "mask_overlay", "picture_sheet", "top_view"]

TALLEST = 3
"""Height of a picture in a sheet, in widths of its cell, at most."""
Picture = Image.Image | Tensor | np.ndarray
PLAN_LIGHT = Lights(suns=(SunLight((-0.4, 0.5, 1.0), (0.55, 0.55, 0.55)),), ambient=Ambient((0.6,) * 3, (0.4,) * 3))


def picture_sheet(
    rows: Sequence[Sequence[Picture | None]],
    labels: Sequence[str] = (),
    *,
    row_labels: Sequence[str] = (),
    cell: int | None = None,
    gap: int = 6,
) -> Image.Image:
    """One picture with all `rows` below each other: `labels` head the columns, `row_labels` caption the rows.

    Args:
        rows: pictures (PIL, arrays or tensors; float in [0, 1] or 8 bit; H W or H W C), None for an empty cell.
        cell: width of a cell in pixels (default: the widest picture); pictures are scaled to it and keep their shape.
            Those more than `TALLEST` times as high as wide are narrower, and so high.
    """
    pictures = [[None if item is None else _to_pil(item) for item in row] for row in rows]
    given = [item for row in pictures for item in row if item is not None]
    width = cell or max((item.width for item in given), default=64)
    font = ImageFont.load_default(max(11, width // 20))
    line = int(1.6 * font.size) if isinstance(font, ImageFont.FreeTypeFont) else 16
    scaled = [[None if item is None else _fit(item, width) for item in row] for row in pictures]
    heights = [max((item.height for item in row if item is not None), default=line) for row in scaled]
    columns = max((len(row) for row in scaled), default=0)
    header = line if labels else 0
    captions = line if row_labels else 0
    size = (gap + columns * (width + gap), gap + header + sum(h + captions + gap for h in heights))
    sheet = Image.new("RGB", (max(size[0], 1), max(size[1], 1)), (250, 250, 250))
    draw = ImageDraw.Draw(sheet)
    for i, label in enumerate(labels):
        draw.text((gap + i * (width + gap), gap // 2), str(label), fill=(40, 40, 40), font=font)
    top = gap + header
    for i, row in enumerate(scaled):
        if row_labels:
            caption = str(row_labels[i]) if i < len(row_labels) else ""
            draw.text((gap, top), caption, fill=(90, 90, 90), font=font)
            top += captions
        for j, item in enumerate(row):
            if item is not None:
                sheet.paste(item, (gap + j * (width + gap), top), item if item.mode == "RGBA" else None)
        top += heights[i] + gap
    return sheet


def mask_overlay(image: Picture, masks: Int[Tensor, "height width"] | Sequence[Tensor]) -> Image.Image:
    """The picture with every object tinted in its own colour and outlined.

    `masks`: an instance image (0: no object) or one boolean mask per object, both of the picture's size.
    """
    base = np.asarray(_to_pil(image).convert("RGB"), dtype=np.float32)
    instance = _instance_image(masks, base.shape[:2])
    colors = np.asarray(instance_colors(int(instance.max(initial=0)) + 1), dtype=np.float32)[instance]
    inside = (instance > 0)[..., None]
    mixed = np.where(inside, base * 0.5 + colors * 0.5, base)
    edge = np.zeros(instance.shape, dtype=bool)
    edge[:, 1:] |= instance[:, 1:] != instance[:, :-1]
    edge[1:] |= instance[1:] != instance[:-1]
    return Image.fromarray(np.where(edge[..., None], 255 - 0.25 * (255 - mixed), mixed).round().astype(np.uint8))


def instance_colors(count: int) -> list[tuple[int, int, int]]:
    """Well separated 8-bit colours; entry 0 (no object) is black, the others never change with `count`."""
    colors = [(0, 0, 0)]
    for i in range(1, count):
        hue = (i * 0.61803398875) % 1.0
        value = (1.0, 0.78, 0.92)[i % 3]
        sector, part = int(hue * 6), hue * 6 % 1
        low, fall, rise = 0.25 * value, value * (1 - 0.75 * part), value * (1 - 0.75 * (1 - part))
        table = [(value, rise, low), (fall, value, low), (low, value, rise), (low, fall, value), (rise, low, value)]
        rgb = [*table, (value, low, fall)][sector % 6]
        colors.append((round(255 * rgb[0]), round(255 * rgb[1]), round(255 * rgb[2])))
    return colors[:count]


def top_view(scene: Scene | TriangleScene, size: int = 512, *, cut_height_m: float | None = None) -> Image.Image:
    """Plan view: parallel projection from straight above, +x to the right, +y up.

    `cut_height_m` leaves out faces whose centre lies higher (a room's ceiling, say).
    """
    packed = pack_scene(scene) if isinstance(scene, Scene) else scene
    if cut_height_m is not None and len(packed.faces):
        center_z = packed.vertices[packed.faces.long()][..., 2].mean(1)
        keep = center_z <= cut_height_m
        packed = TriangleScene(
            packed.vertices, packed.vertex_normals, packed.uv, packed.colors, packed.faces[keep],
            packed.face_instance[keep], packed.face_material[keep], packed.bank,
        )  # fmt: skip
    bounds = packed.bounds()
    flat = bounds.clone()
    # The parallel view frames the box's sphere; squeezing the height lets the plan fill the picture.
    flat[:, 2] = bounds[1, 2]
    view = parallel_view(torch.tensor([0.0, 0.0, 1.0]), flat, size)
    lift = torch.zeros_like(view.numbers)
    lift[11] = max(float(bounds[1, 2] - bounds[0, 2]), 0.0)
    background = (0.9, 0.9, 0.9)
    options = RenderOptions(background=background, with_channels=False)
    lifted = type(view)(view.numbers + lift, view.width, view.height, view.near, view.ortho)
    return render_view(packed, lifted, PLAN_LIGHT, options).image()


def _instance_image(masks: Tensor | Sequence[Tensor], shape: tuple[int, int]) -> np.ndarray:
    if isinstance(masks, Tensor):
        instance = masks.detach().cpu().numpy().astype(np.int64)
    else:
        instance = np.zeros(shape, dtype=np.int64)
        for i, mask in enumerate(masks):
            instance[mask.detach().cpu().numpy().astype(bool)] = i + 1
    if instance.shape != shape:
        raise ValueError(f"Expected masks of the picture's size {shape}, got {instance.shape}. Resize them first.")
    return instance


def _to_pil(item: Picture) -> Image.Image:
    if isinstance(item, Image.Image):
        return item
    values = item.detach().cpu().numpy() if isinstance(item, Tensor) else np.asarray(item)
    if values.dtype != np.uint8:
        values = (np.clip(np.nan_to_num(values.astype(np.float32)), 0, 1) * 255).round().astype(np.uint8)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    return Image.fromarray(values)


def _fit(item: Image.Image, width: int) -> Image.Image:
    item = item if item.mode in ("RGB", "RGBA") else item.convert("RGB")
    if item.width == width and item.height <= TALLEST * width:
        return item
    size = (width, max(1, round(item.height * width / item.width)))
    if size[1] > TALLEST * width:
        size = (max(1, round(item.width * TALLEST * width / item.height)), TALLEST * width)
    return item.resize(size, Image.Resampling.LANCZOS if item.width > size[0] else Image.Resampling.BICUBIC)
