"""Whole scenes to and from files: the suffix chooses the format, everything becomes one `Scene`."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.rotation import decompose_similarity, matrix_to_quaternion_wxyz, quaternion_multiply
from scenewright.io.gaussian_ply import load_gaussian_ply, save_gaussian_ply
from scenewright.io.glb import load_glb, save_glb
from scenewright.io.mesh_file import MESH_SUFFIXES, load_mesh
from scenewright.io.ply import has_property
from scenewright.types import Gaussians, Scene, SceneObject

__all__ = ["load_scene", "merged_splats", "save_scene"]


def save_scene(scene: Scene, path: str | Path) -> Path:
    """Write the scene to `path` atomically: `.glb` (meshes, named nodes, camera, extras) or `.ply` (splats, merged).

    Raises:
        InputError: another suffix, a scene without what the format holds, or a folder that cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".glb":
        return save_glb(scene, path)
    if suffix == ".ply":
        return save_gaussian_ply(merged_splats(scene), path)
    raise InputError(f"Cannot write a scene as '{path.name}'; use .glb for meshes or .ply for splats.")


def load_scene(path: str | Path) -> Scene:
    """The scene in a `.glb` or `.gltf` file, or a single object from `.ply` (mesh or splats), `.obj` or `.stl`.

    Raises:
        InputError: the file is missing, damaged, or of another kind.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".glb", ".gltf"):
        return load_glb(path)
    if suffix == ".ply" and has_property(path, "f_dc_0"):
        return Scene((SceneObject(name=path.stem, splats=load_gaussian_ply(path)),))
    if suffix in MESH_SUFFIXES:
        return Scene((SceneObject(name=path.stem, parts=(load_mesh(path),)),))
    raise InputError(f"Expected a scene as .glb, .gltf, .ply, .obj or .stl, got '{path.name}'.")


def merged_splats(scene: Scene) -> Gaussians:
    """All splats of the scene as one set in the world frame.

    Raises:
        InputError: no object of the scene has splats.
    """
    placed = [
        _placed(scene_object.splats, scene_object.world_from_object)
        for scene_object in scene.objects
        if scene_object.splats is not None
    ]
    if not placed:
        raise InputError("The scene has no splats, so there is nothing to write as .ply; write a .glb file.")
    return Gaussians(
        means=torch.cat([splats.means for splats in placed]),
        scales=torch.cat([splats.scales for splats in placed]),
        quaternions_wxyz=torch.cat([splats.quaternions_wxyz for splats in placed]),
        opacities=torch.cat([splats.opacities for splats in placed]),
        sh=torch.cat([splats.sh for splats in placed]),
    )


def _placed(splats: Gaussians, world_from_object: Float[Tensor, "4 4"]) -> Gaussians:
    rotation, translation, scale = decompose_similarity(world_from_object.to(splats.means))
    turn = matrix_to_quaternion_wxyz(rotation)
    return Gaussians(
        means=scale * splats.means @ rotation.T + translation,
        scales=scale * splats.scales,
        quaternions_wxyz=quaternion_multiply(turn.expand(len(splats.means), 4), splats.quaternions_wxyz),
        opacities=splats.opacities,
        sh=splats.sh[:, :1],
    )
