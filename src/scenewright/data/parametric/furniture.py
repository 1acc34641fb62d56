"""Families of furniture. Each function builds one random member into a `Kit`; metres, z up, front towards -y."""

import math

import numpy as np

from scenewright.data.parametric.kit import Kit
from scenewright.data.parametric.solids import Shell, box, cushion, cylinder, lathe, rounded_box, transformed, tube

__all__ = ["bed", "bench", "cabinet", "chair", "desk", "office_chair", "shelf", "sofa", "stool", "table", "wardrobe"]


def _legs(kit: Kit, slot: str, width: float, depth: float, height: float, thickness: float) -> None:
    """Four legs in one of four styles, their outer faces at most on the given rectangle."""
    style = kit.integer(0, 3)
    inset = thickness / 2 + kit.uniform(0.0, 0.04)
    splay = kit.uniform(0.0, 0.03) if style in (1, 2) else 0.0
    for sign_x in (-1, 1):
        for sign_y in (-1, 1):
            x, y = sign_x * (width / 2 - inset), sign_y * (depth / 2 - inset)
            if style == 0:
                kit.add(slot, box((thickness, thickness, height), (x, y, 0)))
            elif style == 3:
                belly = thickness * 0.5
                profile = [(belly * s, h * height) for s, h in ((0.6, 0), (0.8, 0.2), (0.6, 0.4), (1, 0.75), (1, 1))]
                kit.add(slot, lathe(profile, (x, y, 0), 12))
            else:
                foot = np.array([x, y, 0.0])
                head = np.array([x - sign_x * splay, y - sign_y * splay, height])
                path = np.stack([foot, head])
                kit.add(slot, tube(path, [thickness * (0.3 if style == 2 else 0.45), thickness * 0.5], 10))


def _top(kit: Kit, slot: str, width: float, depth: float, thickness: float, height: float) -> None:
    """A table top whose upper side is at `height`: sharp, rounded or with soft edges."""
    base = (0.0, 0.0, height - thickness)
    if kit.chance(0.35):
        kit.add(slot, box((width, depth, thickness), base))
    else:
        kit.add(slot, rounded_box((width, depth, thickness), base, kit.uniform(0.3, 0.48) * thickness))


def table(kit: Kit) -> None:
    """Dining, side and coffee tables: square, oblong or round; legs, pedestal or slab ends."""
    top = kit.material("top", "wood", "lacquer", "wood")
    base = top if kit.chance(0.5) else kit.material("base", "metal", "wood", "lacquer")
    height = kit.uniform(0.35, 0.78)
    thickness = kit.uniform(0.018, 0.06)
    if kit.chance(0.3):
        radius = kit.uniform(0.25, 0.7)
        edge = thickness * kit.uniform(0.1, 0.4)
        profile = [(radius - edge, 0), (radius, edge), (radius, thickness - edge), (radius - edge, thickness)]
        kit.add(top, lathe(profile, (0, 0, height - thickness), 32))
        if kit.chance(0.6):
            stem, foot = kit.uniform(0.03, 0.07), radius * kit.uniform(0.45, 0.7)
            profile = [(foot, 0), (foot, 0.02), (stem, 0.06 + foot * 0.1), (stem, height - thickness)]
            kit.add(base, lathe(profile))
        else:
            _legs(kit, base, radius * 1.35, radius * 1.35, height - thickness, kit.uniform(0.035, 0.06))
        return
    width, depth = kit.uniform(0.45, 2.0), kit.uniform(0.45, 1.0)
    _top(kit, top, width, depth, thickness, height)
    if kit.chance(0.2):
        for sign in (-1, 1):
            slab = kit.uniform(0.025, 0.06)
            kit.add(base, box((slab, depth * 0.85, height - thickness), (sign * width * 0.4, 0, 0)))
        return
    leg = kit.uniform(0.035, 0.08)
    _legs(kit, base, width, depth, height - thickness, leg)
    if kit.chance(0.5):
        rail = kit.uniform(0.05, 0.1)
        for sign in (-1, 1):
            kit.add(
                base, box((width - 3 * leg, 0.02, rail), (0, sign * (depth / 2 - 2 * leg), height - thickness - rail))
            )
    if kit.chance(0.25):
        kit.add(top, box((width - 4 * leg, depth - 4 * leg, 0.015), (0, 0, height * kit.uniform(0.15, 0.4))))


def desk(kit: Kit) -> None:
    """A work table with a drawer block under one end and sometimes a back panel."""
    top = kit.material("top", "wood", "lacquer")
    body = top if kit.chance(0.4) else kit.material("body", "lacquer", "wood")
    metal = kit.material("metal", "metal")
    width, depth, height = kit.uniform(1.0, 1.8), kit.uniform(0.5, 0.85), kit.uniform(0.7, 0.78)
    thickness = kit.uniform(0.02, 0.04)
    _top(kit, top, width, depth, thickness, height)
    side = 1 if kit.chance(0.5) else -1
    block = kit.uniform(0.32, 0.45)
    under = height - thickness
    x = side * (width / 2 - block / 2 - 0.02)
    kit.add(body, box((block, depth * 0.86, under - 0.04), (x, 0.0, 0.04)))
    drawers = kit.integer(2, 4)
    step = (under - 0.04) / drawers
    front = -depth * 0.43
    for index in range(drawers):
        kit.add(top, box((block - 0.02, 0.018, step - 0.012), (x, front - 0.009, 0.046 + index * step)))
        kit.add(metal, box((block * 0.35, 0.015, 0.012), (x, front - 0.0255, 0.04 + (index + 0.55) * step)))
    leg = kit.uniform(0.03, 0.06)
    for y in (-depth * 0.4, depth * 0.4):
        kit.add(body, box((leg, leg, under), (-side * (width / 2 - leg), y, 0)))
    if kit.chance(0.5):
        panel = under * kit.uniform(0.4, 0.8)
        kit.add(
            body, box((width - block - leg * 2 - 0.06, 0.016, panel), (-side * block / 2, depth * 0.36, under - panel))
        )


def _seat_back(kit: Kit, frame: str, soft: str, width: float, depth: float, seat: float, top: float) -> None:
    """A chair's back at +y: posts with slats, ladder, panel or a cushion, leaning a little."""
    lean = kit.uniform(0.0, 0.12)
    height = top - seat
    parts: list[tuple[str, Shell]] = []
    style = kit.integer(0, 3)
    post = kit.uniform(0.025, 0.045)
    if style < 3:
        parts += [(frame, box((post, post, height), (sign * (width / 2 - post / 2), 0, 0))) for sign in (-1, 1)]
    inner = width - 2 * post
    if style == 0:
        count = kit.integer(3, 7)
        for index in range(count):
            x = ((index + 0.5) / count - 0.5) * inner
            parts.append((frame, box((inner / count * 0.4, post * 0.5, height * 0.9), (x, 0, 0.02))))
        parts.append((frame, rounded_box((width, post, 0.07), (0, 0, height - 0.07), 0.012)))
    elif style == 1:
        for index in range(kit.integer(2, 4)):
            parts.append((frame, box((inner, post * 0.5, 0.06), (0, 0, height * (0.3 + 0.2 * index)))))
    elif style == 2:
        parts.append((soft, rounded_box((inner, post * 1.4, height * 0.72), (0, 0, height * 0.26), 0.018)))
    else:
        parts.append((soft, cushion((width, 0.09, height), (0, 0, 0.0), 5.0)))
    for slot, shell in parts:
        kit.add(slot, transformed(shell, pitch=-lean, shift=(0, depth / 2 - post, seat)))


def chair(kit: Kit) -> None:
    """A dining or easy chair: legs, padded or plain seat, a leaning back, sometimes arms."""
    frame = kit.material("frame", "wood", "wood", "metal", "plastic", "lacquer")
    soft = kit.material("soft", "fabric", "leather", "wood", "plastic")
    width, depth = kit.uniform(0.38, 0.6), kit.uniform(0.38, 0.56)
    seat, top = kit.uniform(0.4, 0.5), kit.uniform(0.76, 1.1)
    pad = kit.uniform(0.03, 0.09)
    if kit.chance(0.5):
        kit.add(soft, cushion((width, depth, pad), (0, 0, seat - pad), 6.0))
    else:
        kit.add(soft, rounded_box((width, depth, pad * 0.6), (0, 0, seat - pad * 0.6), 0.014))
    _legs(kit, frame, width, depth, seat - pad * 0.5, kit.uniform(0.025, 0.045))
    _seat_back(kit, frame, soft, width, depth, seat - 0.02, top)
    if kit.chance(0.3):
        rest = seat + kit.uniform(0.16, 0.25)
        for sign in (-1, 1):
            x = sign * (width / 2 - 0.015)
            path = np.array([[x, -depth * 0.35, seat - 0.03], [x, -depth * 0.38, rest], [x, depth * 0.4, rest + 0.02]])
            kit.add(frame, tube(path, 0.015))


def office_chair(kit: Kit) -> None:
    """A swivel chair on a five-armed base."""
    soft = kit.material("soft", "fabric", "leather", "plastic")
    metal = kit.material("metal", "metal", "plastic")
    width, depth, seat = kit.uniform(0.44, 0.56), kit.uniform(0.42, 0.52), kit.uniform(0.42, 0.54)
    reach = kit.uniform(0.26, 0.34)
    for index in range(5):
        angle = 2 * math.pi * index / 5 + 0.3
        tip = np.array([math.cos(angle) * reach, math.sin(angle) * reach, 0.05])
        kit.add(metal, tube(np.stack([[0.0, 0.0, 0.1], tip]), [0.024, 0.016]))
        kit.add(metal, cylinder(0.028, 0.05, (tip[0] * 0.95, tip[1] * 0.95, 0.0)))
    kit.add(metal, cylinder(0.03, seat - 0.13, (0, 0, 0.06)))
    kit.add(soft, cushion((width, depth, 0.09), (0, 0, seat - 0.08), 5.0))
    back = kit.uniform(0.4, 0.7)
    kit.add(
        soft,
        transformed(cushion((width * 0.92, 0.08, back), (0, 0, 0.08), 5.0), pitch=-0.12, shift=(0, depth * 0.46, seat)),
    )
    kit.add(
        metal,
        tube(np.array([[0, 0.05, seat - 0.07], [0, depth * 0.52, seat - 0.05], [0, depth * 0.56, seat + 0.2]]), 0.02),
    )
    if kit.chance(0.6):
        for sign in (-1, 1):
            x = sign * (width / 2 + 0.02)
            kit.add(metal, tube(np.array([[x * 0.8, 0, seat - 0.06], [x, 0, seat - 0.04], [x, 0, seat + 0.2]]), 0.014))
            kit.add(soft, rounded_box((0.06, 0.26, 0.03), (x, 0, seat + 0.2), 0.012))


def stool(kit: Kit) -> None:
    """A round or square stool, low or bar height."""
    frame = kit.material("frame", "wood", "metal", "lacquer")
    seat = frame if kit.chance(0.4) else kit.material("seat", "fabric", "leather", "wood", "plastic")
    size, height, pad = kit.uniform(0.28, 0.45), kit.uniform(0.35, 0.8), kit.uniform(0.025, 0.08)
    if kit.chance(0.5):
        edge = pad * 0.3
        radius = size / 2
        profile = [(radius - edge, 0), (radius, edge), (radius, pad - edge), (radius - edge, pad)]
        kit.add(seat, lathe(profile, (0, 0, height - pad), 24))
        if kit.chance(0.3):
            kit.add(frame, lathe([(radius * 0.9, 0), (radius * 0.9, 0.02), (0.03, 0.04), (0.03, height - pad)]))
            return
        _legs(kit, frame, size * 0.72, size * 0.72, height - pad * 0.9, kit.uniform(0.025, 0.04))
    else:
        kit.add(seat, rounded_box((size, size, pad), (0, 0, height - pad), 0.3 * pad))
        _legs(kit, frame, size, size, height - pad * 0.9, kit.uniform(0.025, 0.045))


def bench(kit: Kit) -> None:
    """A backless bench with a plain, slatted or padded seat."""
    frame = kit.material("frame", "wood", "metal")
    width, depth, height = kit.uniform(0.9, 1.6), kit.uniform(0.3, 0.45), kit.uniform(0.4, 0.5)
    style = kit.integer(0, 2)
    if style == 0:
        _top(kit, frame, width, depth, kit.uniform(0.03, 0.06), height)
    elif style == 1:
        count = kit.integer(3, 5)
        slat = depth / count
        for index in range(count):
            kit.add(frame, box((width, slat * 0.8, 0.025), (0, ((index + 0.5) / count - 0.5) * depth, height - 0.025)))
        for sign in (-1, 1):
            kit.add(frame, box((0.04, depth * 0.9, 0.03), (sign * width * 0.42, 0, height - 0.055)))
    else:
        kit.add(frame, box((width, depth, 0.03), (0, 0, height - 0.11)))
        kit.add(kit.material("pad", "fabric", "leather"), cushion((width, depth, 0.085), (0, 0, height - 0.085), 7.0))
    _legs(kit, frame, width, depth, height - (0.1 if style == 2 else 0.025), kit.uniform(0.035, 0.06))


def _carcass(kit: Kit, slot: str, width: float, depth: float, height: float, board: float, plinth: float) -> None:
    """An open box of boards with a back: two sides, bottom, top."""
    for sign in (-1, 1):
        kit.add(slot, box((board, depth, height), (sign * (width - board) / 2, 0, 0)))
    inner = width - 2 * board
    kit.add(slot, box((inner, depth, board), (0, 0, plinth)), box((inner, depth, board), (0, 0, height - board)))
    kit.add(slot, box((inner, 0.01, height - plinth - 2 * board), (0, depth / 2 - 0.005, plinth + board)))
    if plinth > 0.01:
        kit.add(slot, box((inner, board, plinth), (0, -depth / 2 + 0.03 + board / 2, 0)))


def shelf(kit: Kit) -> None:
    """A bookcase: boards between sides, one or more columns, sometimes with books."""
    wood = kit.material("boards", "wood", "lacquer", "wood")
    columns = kit.integer(1, 3)
    width, depth = kit.uniform(0.35, 0.6) * columns, kit.uniform(0.22, 0.4)
    rows = kit.integer(2, 6)
    height = rows * kit.uniform(0.26, 0.36) + 0.05
    board, plinth = kit.uniform(0.016, 0.03), kit.uniform(0.0, 0.08)
    _carcass(kit, wood, width, depth, height, board, plinth)
    inner = (width - 2 * board - (columns - 1) * board) / columns
    step = (height - plinth - board) / rows
    books = [kit.material(f"books{index}", "paper", "leather", "lacquer") for index in range(3)]
    filled = kit.uniform(0.0, 0.8)
    for column in range(columns):
        left = -width / 2 + board + column * (inner + board)
        if column:
            kit.add(
                wood,
                box((board, depth - 0.012, height - plinth - 2 * board), (left - board / 2, -0.006, plinth + board)),
            )
        for row in range(rows):
            floor = plinth + board + row * step
            if row:
                kit.add(wood, box((inner, depth - 0.012, board), (left + inner / 2, -0.006, floor - board)))
            if not kit.chance(filled):
                continue
            x = left + 0.004
            stop = left + inner * kit.uniform(0.4, 1.0) - 0.06
            while x < stop:
                thick = kit.uniform(0.015, 0.05)
                size = (thick, depth * kit.uniform(0.5, 0.8), (step - board) * kit.uniform(0.6, 0.92))
                kit.add(books[kit.integer(0, 2)], box(size, (x + thick / 2, depth / 2 - 0.015 - size[1] / 2, floor)))
                x += thick + 0.001


def cabinet(kit: Kit) -> None:
    """A sideboard, commode or bedside cabinet: a body with drawers or doors and handles, on a plinth or legs."""
    body = kit.material("body", "wood", "lacquer")
    front = body if kit.chance(0.5) else kit.material("front", "lacquer", "wood")
    metal = kit.material("metal", "metal", "wood")
    columns, rows = kit.integer(1, 4), kit.integer(1, 4)
    width, depth = kit.uniform(0.35, 0.5) * columns, kit.uniform(0.32, 0.55)
    feet = kit.uniform(0.0, 0.15)
    height = feet + rows * kit.uniform(0.18, 0.3) + 0.1
    _fronted_body(kit, (body, front, metal), (width, depth, height), (columns, rows), feet)


def wardrobe(kit: Kit) -> None:
    """A tall cupboard with doors."""
    body = kit.material("body", "wood", "lacquer")
    front = body if kit.chance(0.5) else kit.material("front", "lacquer", "wood")
    metal = kit.material("metal", "metal")
    columns = kit.integer(2, 4)
    size = (kit.uniform(0.42, 0.55) * columns, kit.uniform(0.5, 0.65), kit.uniform(1.7, 2.3))
    _fronted_body(kit, (body, front, metal), size, (columns, 1), kit.uniform(0.0, 0.1))


def _fronted_body(
    kit: Kit, slots: tuple[str, str, str], size: tuple[float, float, float], grid: tuple[int, int], feet: float
) -> None:
    """A closed body on feet with a grid of fronts; `size` is the whole."""
    (body, front, metal), (width, depth, height), (columns, rows) = slots, size, grid
    thick = 0.018
    handle = 0.022
    deep = depth - thick - handle
    back = (depth - deep) / 2
    kit.add(body, box((width, deep, height - feet), (0, back, feet)))
    if feet > 0.03:
        _legs(kit, metal, width * 0.96, deep * 0.96, feet, 0.035)
    face = back - deep / 2
    cell_x, cell_z = width / columns, (height - feet - 0.02) / rows
    bar = kit.chance(0.6)
    for column in range(columns):
        for row in range(rows):
            x, z = ((column + 0.5) / columns - 0.5) * width, feet + 0.01 + row * cell_z
            kit.add(front, box((cell_x - 0.008, thick, cell_z - 0.008), (x, face - thick / 2, z + 0.004)))
            tall = cell_z > cell_x
            offset = (0.38 * cell_x * (1 if column % 2 == 0 else -1), 0.5) if tall else (0.0, 0.6)
            length = 0.25 * max(cell_x, min(cell_z, 0.8)) if bar else 0.025
            bar_size = (0.012, handle, length) if tall else (length, handle, 0.012)
            position = (x + offset[0], face - thick - handle / 2, z + offset[1] * cell_z - bar_size[2] / 2)
            kit.add(metal, box(bar_size, position))
    if kit.chance(0.5):
        kit.add(body, box((width + 0.02, depth, 0.02), (0, 0, height)))


def bed(kit: Kit) -> None:
    """A single or double bed: frame, headboard, mattress, blanket and pillows; the head is at +y."""
    frame = kit.material("frame", "wood", "lacquer", "fabric")
    linen = kit.material("linen", "fabric")
    blanket = kit.material("blanket", "fabric")
    double = kit.chance(0.5)
    width = kit.uniform(1.4, 1.9) if double else kit.uniform(0.85, 1.1)
    length, rail = kit.uniform(1.9, 2.15), kit.uniform(0.12, 0.3)
    lift = kit.uniform(0.0, 0.15)
    kit.add(frame, rounded_box((width, length, rail), (0, 0, lift), 0.02))
    if lift > 0.03:
        _legs(kit, frame, width, length, lift + 0.01, 0.06)
    head = kit.uniform(0.6, 1.2)
    kit.add(
        frame, rounded_box((width + kit.uniform(0.0, 0.08), kit.uniform(0.04, 0.1), head), (0, length / 2, 0), 0.02)
    )
    top = lift + rail
    mattress = kit.uniform(0.14, 0.24)
    kit.add(linen, rounded_box((width - 0.06, length - 0.08, mattress), (0, -0.01, top), 0.05))
    cover = length * kit.uniform(0.5, 0.72)
    size = (width - 0.01, cover, mattress * 0.8)
    kit.add(blanket, rounded_box(size, (0, -length / 2 + cover / 2 + 0.01, top + mattress * 0.28), 0.04))
    for index in range(2 if double else 1):
        x = (index - 0.5) * width * 0.48 if double else 0.0
        kit.add(
            linen, cushion((0.6 * min(1.0, width / 1.2), 0.38, 0.13), (x, length / 2 - 0.3, top + mattress - 0.01), 3.0)
        )


def sofa(kit: Kit) -> None:
    """An armchair or sofa of one to four seats."""
    soft = kit.material("soft", "fabric", "leather")
    pad = soft if kit.chance(0.5) else kit.material("pad", "fabric")
    feet = kit.material("feet", "wood", "metal")
    seats = kit.integer(1, 4)
    seat, arm = kit.uniform(0.55, 0.75), kit.uniform(0.1, 0.25)
    width, depth = seats * seat + 2 * arm, kit.uniform(0.75, 1.0)
    lift, level = kit.uniform(0.04, 0.14), kit.uniform(0.38, 0.46)
    back, thick = kit.uniform(0.7, 0.95), kit.uniform(0.16, 0.26)
    _legs(kit, feet, width * 0.96, depth * 0.94, lift + 0.01, 0.05)
    cushion_height = kit.uniform(0.12, 0.18)
    base = level - cushion_height - lift
    kit.add(soft, rounded_box((width - 2 * arm, depth - thick, base), (0, -thick / 2, lift), 0.03))
    kit.add(soft, rounded_box((width, thick, back - lift), (0, depth / 2 - thick / 2, lift), 0.06))
    high = kit.uniform(0.52, 0.66) - lift
    for sign in (-1, 1):
        kit.add(soft, rounded_box((arm, depth - thick, high), (sign * (width - arm) / 2, -thick / 2, lift), 0.05))
    for index in range(seats):
        x = (index - (seats - 1) / 2) * seat
        size = (seat - 0.006, depth - thick - 0.01, cushion_height)
        kit.add(pad, cushion(size, (x, -thick / 2 - 0.005, lift + base), 7.0))
        height = (back - level) * kit.uniform(0.85, 1.05)
        upright = cushion((seat - 0.01, height, 0.17), (0, 0, 0), 5.0)
        pitch = math.pi / 2 - 0.15
        kit.add(pad, transformed(upright, pitch=pitch, shift=(x, depth / 2 - thick - 0.02, level + height / 2 - 0.01)))
