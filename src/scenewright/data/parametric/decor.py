"""Families of lamps, plants and things that stand on furniture. Each builds one random member into a `Kit`."""

import math
from collections.abc import Sequence

import numpy as np

from scenewright.data.parametric.kit import Kit
from scenewright.data.parametric.solids import (
    Shell,
    box,
    cushion,
    cylinder,
    lathe,
    loft,
    rounded_box,
    transformed,
    tube,
)

__all__ = [
    "basket",
    "books",
    "bottle",
    "bowl",
    "cardboard_box",
    "floor_lamp",
    "frame",
    "plant",
    "pot",
    "pouf",
    "rug",
    "screen",
    "table_lamp",
    "toy",
    "vase",
]


def _vessel(kit: Kit, outline: Sequence[tuple[float | int, float | int]], wall: float) -> Shell:
    """An open vessel: the outline from the bottom up, then down the inside."""
    inside = [(max(radius - wall, 1e-3), max(height, outline[0][1] + wall)) for radius, height in outline[::-1]]
    return lathe([*outline, *inside], segments=kit.integer(14, 28))


def _curve(kit: Kit, height: float, low: float, high: float, points: int) -> list[tuple[float, float]]:
    """A smooth random outline of radii between low and high."""
    radii = np.array([kit.uniform(low, high) for _ in range(4)])
    at = np.linspace(0, 3, points)
    left = np.minimum(at.astype(int), 2)
    share = at - left
    share = share * share * (3 - 2 * share)
    values = radii[left] * (1 - share) + radii[left + 1] * share
    return [(float(r), float(h)) for r, h in zip(values, np.linspace(0, height, points), strict=True)]


def _lamp(kit: Kit, height: float, shade_radius: float, shade_height: float, stem: float) -> None:
    metal = kit.material("stem", "metal", "ceramic", "wood", "lacquer")
    shade = kit.material("shade", "shade", "fabric")
    foot = shade_radius * kit.uniform(0.5, 0.85)
    kit.add(metal, lathe([(foot, 0), (foot, 0.012), (foot * 0.9, 0.02), (stem, 0.03)]))
    neck = height - shade_height
    if kit.chance(0.5):
        kit.add(metal, cylinder(stem, height - 0.3 * shade_height - 0.02, (0, 0, 0.02)))
    else:
        outline = _curve(kit, neck - 0.02, stem, stem * 3, 9)
        kit.add(metal, lathe([(r, h + 0.02) for r, h in outline]))
        kit.add(metal, cylinder(stem * 0.8, 0.7 * shade_height, (0, 0, neck - 0.002)))
    upper = shade_radius * kit.uniform(0.5, 1.0)
    wall = 0.004
    kit.add(
        shade,
        lathe(
            [
                (shade_radius - wall, 0),
                (shade_radius, 0),
                (upper, shade_height),
                (0.02, shade_height),
                (0.02, shade_height - wall),
                (upper - wall, shade_height - wall),
            ],
            (0, 0, neck),
            24,
        ),
    )


def floor_lamp(kit: Kit) -> None:
    """A standing lamp with a round shade."""
    _lamp(kit, kit.uniform(1.25, 1.8), kit.uniform(0.15, 0.28), kit.uniform(0.2, 0.4), kit.uniform(0.01, 0.02))


def table_lamp(kit: Kit) -> None:
    """A small lamp for desks and bedside tables."""
    height = kit.uniform(0.3, 0.6)
    _lamp(kit, height, kit.uniform(0.09, 0.18), height * kit.uniform(0.35, 0.5), kit.uniform(0.008, 0.02))


def _leaf(length: float, width: float, bend: float) -> Shell:
    """A thin closed blade along +x that droops by `bend`."""
    share = np.linspace(0, 1, 6)
    half = width / 2 * np.sin(math.pi * np.clip(share, 0.06, 0.97)) ** 0.8
    x, z = length * share, length * (0.35 * share - bend * share**2)
    rings = [
        np.array([[x[i], -half[i], z[i]], [x[i], 0, z[i] + 0.002], [x[i], half[i], z[i]], [x[i], 0, z[i] - 0.002]])
        for i in range(len(share))
    ]
    return loft(np.stack(rings))


def plant(kit: Kit) -> None:
    """A potted plant: rosettes of leaves on one or several stems."""
    pot_slot = kit.material("pot", "ceramic", "plastic", "wood")
    green = kit.material("leaves", "leaf")
    soil = kit.material("soil", "soil")
    size = kit.uniform(0.12, 0.5)
    low, high, wall = size * kit.uniform(0.25, 0.4), size * kit.uniform(0.3, 0.5), size * 0.04
    tall = size * kit.uniform(0.5, 0.9)
    kit.add(pot_slot, _vessel(kit, [(low, 0), (high, tall)], wall))
    kit.add(soil, cylinder(low * 0.8, tall * 0.8, (0, 0, tall * 0.04), high - 1.6 * wall))
    stems = kit.integer(1, 4)
    for _ in range(stems):
        reach = size * kit.uniform(0.0, 0.4) if stems > 1 else 0.0
        angle = kit.uniform(0.0, 2 * math.pi)
        root = np.array([0.3 * reach * math.cos(angle), 0.3 * reach * math.sin(angle), tall * 0.8])
        head = np.array([reach * math.cos(angle), reach * math.sin(angle), tall * 0.9 + size * kit.uniform(0.1, 1.6)])
        kit.add(green, tube(np.stack([root, head]), 0.02 * size + 0.002, 6))
        leaves = kit.integer(7, 16)
        length, width, bend = size * kit.uniform(0.5, 1.0), size * kit.uniform(0.1, 0.3), kit.uniform(-0.1, 0.9)
        for index in range(leaves):
            blade = _leaf(length * kit.uniform(0.7, 1.0), width, bend)
            level = head - (head - root) * kit.uniform(0.0, 0.5)
            kit.add(green, transformed(blade, yaw=2.4 * index, shift=level))


def cardboard_box(kit: Kit) -> None:
    """A parcel or storage box, closed with a tape or open with walls."""
    card = kit.material("card", "paper", "wood", "plastic")
    width, depth, height = kit.uniform(0.12, 0.6), kit.uniform(0.12, 0.5), kit.uniform(0.08, 0.5)
    if kit.chance(0.5):
        kit.add(card, box((width, depth, height)))
        kit.add(kit.material("tape", "paper", "plastic"), box((width + 0.002, 0.05, height + 0.002), (0, 0, 0)))
        return
    wall = kit.uniform(0.004, 0.012)
    kit.add(card, box((width, depth, wall)))
    for sign in (-1, 1):
        kit.add(card, box((wall, depth, height - wall), (sign * (width - wall) / 2, 0, wall)))
        kit.add(card, box((width - 2 * wall, wall, height - wall), (0, sign * (depth - wall) / 2, wall)))


def vase(kit: Kit) -> None:
    """A turned vase."""
    height = kit.uniform(0.12, 0.6)
    glaze = kit.material("glaze", "ceramic", "metal")
    kit.add(glaze, _vessel(kit, _curve(kit, height, 0.14 * height, 0.36 * height, 14), 0.02 * height + 0.003))


def bowl(kit: Kit) -> None:
    """A bowl or plate."""
    radius, height = kit.uniform(0.06, 0.2), kit.uniform(0.02, 0.12)
    share = np.linspace(0, 1, 8)
    power = kit.uniform(0.35, 0.9)
    foot = kit.uniform(0.3, 0.6)
    outline = [(radius * (foot + (1 - foot) * s**power), height * s) for s in share.tolist()]
    kit.add(kit.material("glaze", "ceramic", "wood", "metal"), _vessel(kit, outline, 0.004 + 0.02 * radius))


def pot(kit: Kit) -> None:
    """A cooking pot with two handles, sometimes with a lid."""
    metal = kit.material("metal", "metal", "ceramic", "lacquer")
    dark = kit.material("handle", "plastic", "metal")
    radius, height = kit.uniform(0.07, 0.17), kit.uniform(0.07, 0.25)
    kit.add(metal, _vessel(kit, [(radius * 0.94, 0), (radius, 0.02), (radius, height)], 0.004))
    for sign in (-1, 1):
        x = sign * (radius - 0.002)
        z = height * 0.75
        path = np.array([[x, -0.03, z], [x + sign * 0.035, -0.03, z], [x + sign * 0.035, 0.03, z], [x, 0.03, z]])
        kit.add(dark, tube(path, 0.006))
    if kit.chance(0.6):
        dome = kit.uniform(0.01, 0.04)
        kit.add(
            metal,
            lathe(
                [(radius + 0.003, 0), (radius + 0.003, 0.004), (radius * 0.5, dome), (0.004, dome * 1.1)],
                (0, 0, height),
            ),
        )
        kit.add(dark, lathe([(0.008, 0), (0.016, 0.012), (0.016, 0.02), (0.005, 0.024)], (0, 0, height + dome)))


def bottle(kit: Kit) -> None:
    """A bottle, jar or cup."""
    glaze = kit.material("body", "plastic", "ceramic", "metal")
    radius, height = kit.uniform(0.028, 0.06), kit.uniform(0.09, 0.33)
    neck, shoulder = radius * kit.uniform(0.3, 0.95), height * kit.uniform(0.55, 0.85)
    top = height - 0.02
    profile = [(radius * 0.95, 0), (radius, 0.006), (radius, shoulder), (neck, (shoulder + top) / 2), (neck, top)]
    kit.add(glaze, lathe(profile))
    kit.add(kit.material("cap", "plastic", "metal"), cylinder(neck * 1.08, 0.02, (0, 0, top)))


def books(kit: Kit) -> None:
    """A pile of books, each a little turned."""
    level = 0.0
    for index in range(kit.integer(2, 6)):
        cover = kit.material(f"cover{index}", "paper", "leather", "lacquer")
        thick = kit.uniform(0.012, 0.045)
        block = box((kit.uniform(0.12, 0.2), kit.uniform(0.17, 0.27), thick))
        kit.add(cover, transformed(block, yaw=kit.uniform(-0.4, 0.4), shift=(0, 0, level)))
        level += thick


def frame(kit: Kit) -> None:
    """A picture or mirror standing on a foot, leaning back."""
    wood = kit.material("frame", "wood", "metal", "lacquer")
    width, height, border = kit.uniform(0.12, 0.8), kit.uniform(0.15, 0.9), kit.uniform(0.012, 0.05)
    parts = [(wood, box((border, 0.02, height), (sign * (width - border) / 2, 0, 0))) for sign in (-1, 1)]
    inner = width - 2 * border
    parts += [(wood, box((inner, 0.02, border), (0, 0, z))) for z in (0.0, height - border)]
    picture = kit.material("picture", "paper", "fabric", "metal")
    parts.append((picture, box((inner, 0.008, height - 2 * border), (0, 0.003, border))))
    lean = kit.uniform(0.08, 0.2)
    for slot, shell in parts:
        kit.add(slot, transformed(shell, pitch=-lean))
    reach = 0.45 * height * math.sin(lean) + 0.2 * height
    hold = np.array([0, 0.6 * height * math.sin(lean) + 0.01, 0.6 * height * math.cos(lean)])
    kit.add(wood, tube(np.stack([[0, reach, 0.006], hold]), 0.006, 6))


def rug(kit: Kit) -> None:
    """A flat rug: rectangular or round, with a border."""
    pile = kit.material("pile", "fabric")
    width, depth, thick = kit.uniform(1.0, 2.6), kit.uniform(0.8, 1.8), kit.uniform(0.006, 0.014)
    if kit.chance(0.3):
        kit.add(pile, cylinder(depth / 2, thick))
        return
    kit.add(kit.material("border", "fabric"), rounded_box((width, depth, thick * 0.85), (0, 0, 0), 0.003))
    margin = kit.uniform(0.04, 0.18)
    kit.add(pile, box((width - 2 * margin, depth - 2 * margin, thick)))


def screen(kit: Kit) -> None:
    """A television or monitor on its stand."""
    shell = kit.material("shell", "plastic", "lacquer")
    width = kit.uniform(0.45, 1.3)
    height, thick, stand = width * kit.uniform(0.54, 0.64), kit.uniform(0.02, 0.06), kit.uniform(0.05, 0.14)
    foot = width * kit.uniform(0.3, 0.5)
    kit.add(shell, rounded_box((foot, kit.uniform(0.16, 0.26), 0.015), (0, 0, 0), 0.006))
    kit.add(shell, box((foot * 0.3, 0.03, stand + 0.05), (0, thick / 2 + 0.01, 0.012)))
    kit.add(shell, rounded_box((width, thick, height), (0, 0, stand), 0.008))
    glass = kit.material("glass", "lacquer", "plastic", "paper")
    kit.add(glass, box((width * 0.96, 0.004, height * 0.92), (0, -thick / 2 - 0.001, stand + height * 0.04)))


def basket(kit: Kit) -> None:
    """A waste bin, basket or planter: a tapered vessel, round or four-sided."""
    slot = kit.material("body", "wood", "fabric", "metal", "plastic")
    radius, height, taper = kit.uniform(0.1, 0.28), kit.uniform(0.2, 0.6), kit.uniform(0.7, 1.1)
    outline = [(radius * taper, 0), (radius, height)]
    if kit.chance(0.6):
        kit.add(slot, _vessel(kit, outline, 0.012))
    else:
        inside = [(r - 0.012, max(h, 0.012)) for r, h in outline[::-1]]
        kit.add(slot, transformed(lathe([*outline, *inside], segments=4), yaw=math.pi / 4))


def pouf(kit: Kit) -> None:
    """A soft seat or floor cushion."""
    slot = kit.material("soft", "fabric", "leather")
    width = kit.uniform(0.35, 0.7)
    depth = width if kit.chance(0.6) else kit.uniform(0.35, 0.7)
    kit.add(slot, cushion((width, depth, kit.uniform(0.12, 0.45)), squareness=kit.uniform(2.0, 7.0)))


def toy(kit: Kit) -> None:
    """A composition of simple bodies: the shapes that no furniture catalogue holds."""
    level = 0.0
    width = kit.uniform(0.06, 0.3)
    for index in range(kit.integer(1, 4)):
        slot = kit.material(f"part{index}", "plastic", "lacquer", "wood", "metal", "ceramic", "fabric")
        height = width * kit.uniform(0.3, 1.3)
        kind = kit.integer(0, 5)
        if kind == 0:
            shell = box((width, width * kit.uniform(0.5, 1.0), height))
        elif kind == 1:
            shell = rounded_box((width, width * kit.uniform(0.5, 1.0), height), radius=width * 0.2)
        elif kind == 2:
            shell = cylinder(width / 2, height, top=width / 2 * kit.uniform(0.3, 1.0))
        elif kind == 3:
            shell = cushion((width, width, height), squareness=2.0)
        elif kind == 4:
            shell = lathe(_curve(kit, height, width * 0.2, width * 0.5, 10))
        else:
            shell = lathe([(width / 2, 0), (width * kit.uniform(0.15, 0.35), height)], segments=kit.integer(3, 6))
        kit.add(slot, transformed(shell, yaw=kit.uniform(0.0, 2 * math.pi), shift=(0, 0, level)))
        level += height
        width *= kit.uniform(0.5, 0.95)
