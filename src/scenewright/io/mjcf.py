"""MuJoCo's MJCF: a body per object with a free joint, convex colliders, mass and inertia; only written.

Element and attribute names are those of MuJoCo's XML reference. Meshes lie in `NAME_meshes` beside the file. A scene
without a shell stands on a plane at its floor.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch

from scenewright.geometry.rotation import matrix_to_quaternion_wxyz
from scenewright.io.format import Format
from scenewright.io.rigid_bodies import RigidBody, floor_height, rigid_bodies, write_with_meshes
from scenewright.types import Scene

__all__ = ["IMPRATIO", "MJCF", "numbers", "save_mjcf"]

IMPRATIO = 10.0
"""With elliptic cones: objects held by friction alone creep millimetres a second without (MuJoCo, "Modeling")."""

# MuJoCo takes no mesh of fewer vertices: a lone triangle only collides.
_MIN_VERTICES = 4


def save_mjcf(scene: Scene, path: str | Path) -> Path:
    """Write the scene and its meshes; returns the path.

    Raises:
        InputError: no object has triangles, or the folder cannot be written.
    """
    path = Path(path)
    bodies = rigid_bodies(scene, path)
    root = ElementTree.Element("mujoco", model=path.stem)
    ElementTree.SubElement(root, "compiler", angle="radian", meshdir=".", texturedir=".", autolimits="true")
    ElementTree.SubElement(root, "option", cone="elliptic", impratio=numbers([IMPRATIO]))
    asset = ElementTree.SubElement(root, "asset")
    world = ElementTree.SubElement(root, "worldbody")
    ElementTree.SubElement(world, "light", pos="0 0 5", dir="0 0 -1", directional="true")
    if (height := floor_height(scene)) is not None:
        floor = {"name": "floor_plane", "type": "plane", "size": "0 0 0.1", "condim": "4", "rgba": "0.8 0.8 0.8 1"}
        ElementTree.SubElement(world, "geom", floor, pos=numbers([0, 0, height]))
    for body in bodies:
        _add_body(body, asset, world)
    ElementTree.indent(root)
    return write_with_meshes(path, ElementTree.tostring(root, encoding="utf-8") + b"\n", bodies)


def numbers(values: Sequence[float] | np.ndarray) -> str:
    """Numbers of an attribute, to nine digits."""
    return " ".join(f"{float(value):.9g}" for value in values)


def _add_body(body: RigidBody, asset: ElementTree.Element, world: ElementTree.Element) -> None:
    quaternion = matrix_to_quaternion_wxyz(torch.from_numpy(body.rotation))
    element = ElementTree.SubElement(
        world, "body", name=body.name, pos=numbers(body.translation), quat=numbers(quaternion.numpy())
    )
    if not body.physics.is_static:
        ElementTree.SubElement(element, "freejoint", name=f"{body.name}_joint")
    inertia = body.mass.inertia
    ElementTree.SubElement(
        element,
        "inertial",
        pos=numbers(body.mass.centre),
        mass=numbers([body.mass.volume]),
        fullinertia=numbers([inertia[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]),
    )
    for visual in body.visuals:
        if len(visual.mesh.vertices) < _MIN_VERTICES:
            continue
        name = visual.file.stem
        # Open sheets have no volume; what is only looked at needs none.
        ElementTree.SubElement(asset, "mesh", name=name, file=visual.file.as_posix(), inertia="shell")
        material = {"name": name, "rgba": numbers(visual.material.base_color_factor)}
        if visual.texture is not None:
            ElementTree.SubElement(asset, "texture", name=name, type="2d", file=visual.texture.as_posix())
            material["texture"] = name
        ElementTree.SubElement(asset, "material", material)
        look = {"contype": "0", "conaffinity": "0", "group": "2", "mass": "0"}
        ElementTree.SubElement(element, "geom", look, type="mesh", mesh=name, material=name)
    for collider in body.colliders:
        name = collider.file.stem
        ElementTree.SubElement(asset, "mesh", name=name, file=collider.file.as_posix())
        friction = numbers([body.physics.friction, 0.005, 0.0001])  # turning and rolling: MuJoCo's defaults
        ElementTree.SubElement(
            element, "geom", type="mesh", mesh=name, friction=friction, condim="4", group="3", mass="0"
        )


MJCF = Format(
    "MuJoCo MJCF", ".xml", frozenset({"meshes", "objects", "materials", "textures", "physics"}), None, save_mjcf
)
