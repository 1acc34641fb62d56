"""Presets by program: which file it reads best, in which unit, with which front and names (reasons: docs/export.md).

A file keeps its own format's axes, which every one of these programs turns to its own when it imports. What is left to
choose is the side of an object that its frame calls the front, the unit of a USD stage, and which characters a name may
have without being changed on the way.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from scenewright.errors import InputError
from scenewright.io.usd import save_usd
from scenewright.types import Scene, SceneObject

__all__ = ["PROGRAMS", "Program", "program_named"]

# From our front (-y) to x, about z.
_X_FORWARD = torch.tensor([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.float64)


@dataclass(frozen=True)
class Program:
    """A program that reads scenes: `suffixes`, the best first; `forbidden`: characters that its names cannot have.

    `x_forward`: the front of an object's own frame is +x (REP 103) and not -y; where it stands does not change.
    `metres_per_unit` is that of USD stages alone, as other formats have but one unit.
    """

    name: str
    suffixes: tuple[str, ...]
    forbidden: str = r"[^A-Za-z0-9_]"
    x_forward: bool = False
    metres_per_unit: float = 1.0

    def prepared(self, scene: Scene, path: Path) -> Scene:
        """The scene with unique names that the program keeps and fronts that it expects.

        Raises:
            InputError: the program does not read files of this suffix.
        """
        if path.suffix.lower() not in self.suffixes:
            raise InputError(
                f"--for {self.name} writes {' or '.join(self.suffixes)}, not '{path.name}'; "
                f"name it '{path.stem}{self.suffixes[0]}'."
            )
        taken: set[str] = set()
        objects = []
        for item in scene.objects:
            plain = re.sub(self.forbidden, "_", item.name).strip() or "object"
            numbered = (f"{plain}_{number}" if number else plain for number in range(len(taken) + 1))
            name = next(candidate for candidate in numbered if candidate not in taken)
            taken.add(name)
            objects.append(_facing_x(replace(item, name=name)) if self.x_forward else replace(item, name=name))
        return replace(scene, objects=tuple(objects))

    def writer(self, path: Path) -> Callable[[Scene, Path], Path] | None:
        """The writer of the file where the format's own will not do."""
        if self.metres_per_unit == 1.0 or not path.suffix.lower().startswith(".usd"):
            return None
        return lambda scene, target: save_usd(scene, target, metres_per_unit=self.metres_per_unit)


def program_named(name: str) -> Program:
    """The preset of a program.

    Raises:
        InputError: there is none of that name.
    """
    for program in PROGRAMS:
        if program.name == name:
            return program
    raise InputError(f"Expected --for {', '.join(program.name for program in PROGRAMS)}; got '{name}'.")


def _facing_x(item: SceneObject) -> SceneObject:
    turned = replace(item, world_from_object=_X_FORWARD).placed_parts()
    physics = item.physics
    if physics is not None:
        shapes = SceneObject("", physics.colliders, world_from_object=_X_FORWARD).placed_parts()
        physics = replace(physics, colliders=shapes)
    world_from_object = item.world_from_object.double() @ _X_FORWARD.T
    return replace(item, parts=turned, physics=physics, world_from_object=world_from_object)


_USD = (".usdc", ".usdz", ".usda")
PROGRAMS = (
    Program("blender", (".glb", *_USD), forbidden=r"[\x00-\x1f]"),
    Program("unity", (".glb",), forbidden=r"[/\x00-\x1f]"),
    Program("unreal", (".glb", *_USD), metres_per_unit=0.01),
    Program("ros", (".urdf",), x_forward=True),
    Program("isaac", (*_USD, ".urdf"), x_forward=True),
    Program("mujoco", (".xml",)),
    Program("three", (".glb",), forbidden=r"[\[\].:/\s]"),
)
