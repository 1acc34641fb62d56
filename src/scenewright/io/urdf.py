"""URDF: a link per object on a floating joint, convex colliders, mass and inertia; only written.

Element names are those of the ROS specification of URDF XML. Meshes lie in `NAME_meshes` beside the file.
"""

from pathlib import Path
from xml.etree import ElementTree

import scipy

from scenewright.io.format import Format
from scenewright.io.mjcf import numbers
from scenewright.io.rigid_bodies import BodyMesh, RigidBody, rigid_bodies, write_with_meshes
from scenewright.types import Scene

__all__ = ["URDF", "save_urdf"]


def save_urdf(scene: Scene, path: str | Path) -> Path:
    """Write the scene and its meshes; returns the path.

    Raises:
        InputError: no object has triangles, or the folder cannot be written.
    """
    path = Path(path)
    bodies = rigid_bodies(scene, path)
    root = ElementTree.Element("robot", name=path.stem)
    # For MuJoCo alone: it drops folders of meshes unless told otherwise, and refuses open sheets, even if only seen.
    ElementTree.SubElement(
        ElementTree.SubElement(root, "mujoco"), "compiler", strippath="false", discardvisual="true", fusestatic="false"
    )
    ElementTree.SubElement(root, "link", name="world")
    for body in bodies:
        _add_link(body, root)
        kind = "fixed" if body.physics.is_static else "floating"
        joint = ElementTree.SubElement(root, "joint", name=f"{body.name}_joint", type=kind)
        ElementTree.SubElement(joint, "parent", link="world")
        ElementTree.SubElement(joint, "child", link=body.name)
        angles = scipy.spatial.transform.Rotation.from_matrix(body.rotation).as_euler("xyz")
        ElementTree.SubElement(joint, "origin", xyz=numbers(body.translation), rpy=numbers(angles))
    ElementTree.indent(root)
    return write_with_meshes(path, ElementTree.tostring(root, encoding="utf-8") + b"\n", bodies)


def _add_link(body: RigidBody, root: ElementTree.Element) -> None:
    link = ElementTree.SubElement(root, "link", name=body.name)
    inertial = ElementTree.SubElement(link, "inertial")
    ElementTree.SubElement(inertial, "origin", xyz=numbers(body.mass.centre), rpy="0 0 0")
    ElementTree.SubElement(inertial, "mass", value=numbers([body.mass.volume]))
    axes = {"ixx": (0, 0), "ixy": (0, 1), "ixz": (0, 2), "iyy": (1, 1), "iyz": (1, 2), "izz": (2, 2)}
    inertia = {name: numbers([body.mass.inertia[index]]) for name, index in axes.items()}
    ElementTree.SubElement(inertial, "inertia", inertia)
    for visual in body.visuals:
        element = _mesh(link, "visual", visual)
        material = ElementTree.SubElement(element, "material", name=visual.file.stem)
        ElementTree.SubElement(material, "color", rgba=numbers(visual.material.base_color_factor))
        if visual.texture is not None:
            ElementTree.SubElement(material, "texture", filename=visual.texture.as_posix())
    for collider in body.colliders:
        _mesh(link, "collision", collider)


def _mesh(link: ElementTree.Element, kind: str, entry: BodyMesh) -> ElementTree.Element:
    element = ElementTree.SubElement(link, kind)
    ElementTree.SubElement(ElementTree.SubElement(element, "geometry"), "mesh", filename=entry.file.as_posix())
    return element


# Friction has no element in URDF.
URDF = Format("URDF", ".urdf", frozenset({"meshes", "objects", "materials", "textures", "physics"}), None, save_urdf)
