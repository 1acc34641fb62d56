"""Density, friction and wall thickness by what an object is called.

Densities of solid materials are those of EN 1991-1-1:2002, annex A (tables A.1 to A.5 and A.12; kN/m3 over 9.81;
https://archive.org/details/en.1991.1.1.2002). Friction is that against plywood or wood of the CTU Code (IMO/ILO/UNECE
2014), annex 7, appendix 2, where it lists the material (https://unece.org/transport/intermodal-transport).

Estimates of ours, for which there is no standard: upholstery and hollow bodies, a sofa of 2.0 x 0.9 x 0.8 m of 50 kg
and a wardrobe of 1.0 x 0.6 x 2.0 m of 100 kg over the volume that their surface encloses; and the wall that a surface
which encloses no volume is taken for: a board of 18 mm, sheet metal of 1.5 mm, ceramic of 6 mm, glass of 4 mm, moulded
plastic of 3 mm.
"""

import re
from dataclasses import dataclass

__all__ = ["MATERIALS", "PhysicalMaterial", "material_for"]


@dataclass(frozen=True)
class PhysicalMaterial:
    """Mass per enclosed volume, Coulomb's friction coefficient, and the wall of surfaces that enclose no volume.

    `words` are those of names and categories; without `wall_m` such a surface is as solid as its hull.
    """

    name: str
    density_kg_m3: float
    friction: float
    wall_m: float | None
    words: frozenset[str]


def _material(name: str, density: float, friction: float, wall_m: float | None, words: str) -> PhysicalMaterial:
    return PhysicalMaterial(name, density, friction, wall_m, frozenset(words.split()))


MATERIALS = (
    _material(
        "wood", 650, 0.45, 0.018, "wood wooden table desk chair stool bench shelf bookcase bookshelf rack frame ladder"
    ),
    _material(
        "hollow",
        85,
        0.45,
        None,
        "wardrobe cabinet cupboard drawer dresser nightstand sideboard chest box crate fridge refrigerator oven washer "
        "dishwasher microwave",
    ),
    _material("upholstery", 45, 0.5, None, "sofa couch armchair bed mattress pillow cushion pouf ottoman toy plush"),
    _material("metal", 7850, 0.45, 0.0015, "metal steel iron pan pot cutlery fork knife spoon kettle radiator"),
    _material(
        "ceramic", 2400, 0.7, 0.006, "ceramic stone concrete vase mug cup plate bowl sink toilet bathtub basin tile"
    ),
    _material("glass", 2550, 0.2, 0.004, "glass mirror bottle jar window"),
    _material("plastic", 1220, 0.2, 0.003, "plastic bin bucket keyboard mouse phone"),
    _material("paper", 610, 0.5, None, "paper book books magazine cardboard"),
)
"""Solid wood is the mean of classes C and D; objects that no word describes take it, too."""


def material_for(*words: str | None) -> PhysicalMaterial:
    """The material of the first of the texts (category, material names, name) that holds a word of the table."""
    for text in words:
        for word in re.findall(r"[a-z]+", (text or "").lower()):
            for material in MATERIALS:
                if word in material.words or word.removesuffix("s") in material.words:
                    return material
    return MATERIALS[0]
