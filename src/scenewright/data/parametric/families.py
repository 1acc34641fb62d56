"""The table of parametric families: how to build a member, where it stands, and the box it stays inside.

Sizes are (low, high) per axis in metres: width x, depth y, height z. They are asserted by the tests over many seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

import numpy as np

from scenewright.data.asset import Asset, Credit
from scenewright.data.parametric import decor, furniture
from scenewright.data.parametric.kit import Kit
from scenewright.errors import InputError

__all__ = ["FAMILIES", "Family", "make_object"]

Range = tuple[float, float]
OWN_CREDIT = Credit(creator="Scenewright", rights_holder="The Scenewright authors", licence="CC0-1.0")


@dataclass(frozen=True)
class Family:
    """`stands` says where members belong: on the floor or on furniture ("on"); `against_wall`: back to one."""

    build: Callable[[Kit], None]
    size_m: tuple[Range, Range, Range]
    stands: Literal["floor", "on"] = "floor"
    against_wall: bool = False
    carries: bool = False


FAMILIES: dict[str, Family] = {
    "basket": Family(decor.basket, ((0.1, 0.65), (0.1, 0.65), (0.2, 0.6))),
    "bed": Family(furniture.bed, ((0.8, 2.1), (1.85, 2.3), (0.55, 1.3)), against_wall=True),
    "bench": Family(furniture.bench, ((0.85, 1.7), (0.28, 0.5), (0.38, 0.55))),
    "books": Family(decor.books, ((0.1, 0.35), (0.15, 0.4), (0.02, 0.3)), "on"),
    "bottle": Family(decor.bottle, ((0.04, 0.15), (0.04, 0.15), (0.08, 0.36)), "on"),
    "bowl": Family(decor.bowl, ((0.1, 0.42), (0.1, 0.42), (0.015, 0.14)), "on"),
    "box": Family(decor.cardboard_box, ((0.1, 0.65), (0.1, 0.55), (0.07, 0.55))),
    "cabinet": Family(furniture.cabinet, ((0.3, 2.1), (0.3, 0.6), (0.25, 1.6)), against_wall=True, carries=True),
    "chair": Family(furniture.chair, ((0.35, 0.7), (0.35, 0.9), (0.7, 1.2))),
    "desk": Family(furniture.desk, ((0.95, 1.85), (0.45, 0.95), (0.68, 0.8)), against_wall=True, carries=True),
    "floor_lamp": Family(decor.floor_lamp, ((0.25, 0.6), (0.25, 0.6), (1.2, 1.85))),
    "frame": Family(decor.frame, ((0.1, 0.85), (0.05, 0.5), (0.14, 0.95)), "on"),
    "office_chair": Family(furniture.office_chair, ((0.45, 0.85), (0.45, 0.95), (0.75, 1.4))),
    "plant": Family(decor.plant, ((0.1, 1.6), (0.1, 1.6), (0.1, 1.8))),
    "pot": Family(decor.pot, ((0.15, 0.5), (0.13, 0.36), (0.06, 0.34)), "on"),
    "pouf": Family(decor.pouf, ((0.33, 0.75), (0.33, 0.75), (0.1, 0.5))),
    "rug": Family(decor.rug, ((0.75, 2.7), (0.75, 1.9), (0.004, 0.02))),
    "screen": Family(decor.screen, ((0.4, 1.4), (0.1, 0.35), (0.25, 1.1)), "on"),
    "shelf": Family(furniture.shelf, ((0.3, 1.9), (0.2, 0.45), (0.5, 2.4)), against_wall=True),
    "sofa": Family(furniture.sofa, ((0.7, 3.7), (0.7, 1.1), (0.6, 1.1)), against_wall=True),
    "stool": Family(furniture.stool, ((0.25, 0.5), (0.25, 0.5), (0.33, 0.85))),
    "table": Family(furniture.table, ((0.4, 2.1), (0.4, 1.5), (0.33, 0.8)), carries=True),
    "table_lamp": Family(decor.table_lamp, ((0.1, 0.4), (0.1, 0.4), (0.28, 0.65)), "on"),
    "toy": Family(decor.toy, ((0.02, 0.45), (0.02, 0.45), (0.01, 1.3)), "on"),
    "vase": Family(decor.vase, ((0.02, 0.5), (0.02, 0.5), (0.1, 0.65)), "on"),
    "wardrobe": Family(furniture.wardrobe, ((0.8, 2.3), (0.45, 0.7), (1.65, 2.4)), against_wall=True),
}


def make_object(family: str, seed: int) -> Asset:
    """The member of a family with that seed; equal arguments give equal bytes.

    Raises:
        InputError: there is no such family.
    """
    if family not in FAMILIES:
        raise InputError(f"Expected one of the families {', '.join(sorted(FAMILIES))}, got '{family}'.")
    kit = Kit(np.random.default_rng(np.random.SeedSequence([seed, crc32(family.encode())])))
    FAMILIES[family].build(kit)
    name = family.replace("_", " ")
    return Asset(f"param_{family}_{seed}", name, family, kit.parts(), OWN_CREDIT)
