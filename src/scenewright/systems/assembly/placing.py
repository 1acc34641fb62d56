"""From raw objects to placed ones: centre each in a frame of its own, finish its surface, stand the scene on its floor.

Frame: world z up. A scene without metric scale is moved so that its lowest point is at z = 0 below its middle, and
scaled so that its longest side is 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.mesh.finish import clean_surface, finish_mesh
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.parts import select_faces
from scenewright.geometry.mesh.surface_color import Placed
from scenewright.geometry.rotation import compose_similarity
from scenewright.progress import SILENT, Progress
from scenewright.systems.assembly.decoding import RawObject
from scenewright.types import Camera, Gaussians, Mask, Mesh, SceneObject

__all__ = ["centred", "moved_object", "placed_object", "scene_on_floor", "transformed_camera"]


def centred(raw: RawObject) -> tuple[RawObject, Float[Tensor, "4 4"]] | None:
    """The object with its box centred at 0 and its longest side 1, and the similarity that undoes this.

    None where the surface has no extent. Finishing works in lengths of unit objects, so that an object that fills a
    corner of a scene's cube is treated like one that fills a cube of its own.
    """
    used = raw.surface.vertices[raw.surface.faces.reshape(-1).long()].detach().cpu()
    if not len(used) or not bool(used.isfinite().all()):
        return None
    low, high = used.amin(0), used.amax(0)
    centre, side = (low + high) / 2, float((high - low).max())
    if side <= 0:
        return None
    vertices = (raw.surface.vertices.detach().cpu() - centre) / side
    surface = Mesh(vertices, raw.surface.faces.cpu(), material=raw.surface.material)
    splats = None if raw.splats is None else _centred_splats(raw.splats, centre, side)
    cube_from_object = compose_similarity(torch.eye(3), centre, side)
    return RawObject(surface, Placed(raw.field, cube_from_object), splats), cube_from_object


def placed_object(
    raw: RawObject,
    world_from_cube: Float[Tensor, "4 4"],
    finish: FinishOptions,
    *,
    name: str,
    mask: Mask | None = None,
    confidence: float | None = None,
    extras: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> SceneObject | None:
    """The finished object with its placement; None where the surface has no extent or nothing of it is left."""
    found = centred(raw)
    if found is None:
        return None
    own, cube_from_object = found
    try:
        mesh = finish_mesh(own.surface, own.field, finish, progress=progress)
    except InputError:
        if _has_surface(own.surface, finish):
            raise  # the options are to blame, not the object
        return None
    # Boxes are taken of all vertices, so that none may lie where no face is.
    mesh = select_faces(mesh, torch.ones(len(mesh.faces), dtype=torch.bool))
    return SceneObject(
        name=name,
        parts=(mesh,),
        splats=own.splats,
        world_from_object=world_from_cube.float().cpu() @ cube_from_object,
        mask=mask,
        confidence=confidence,
        extras=dict(extras or {}),
    )


def scene_on_floor(objects: Sequence[SceneObject]) -> Float[Tensor, "4 4"]:
    """The similarity to a world with the floor at z = 0, the scene's middle at x = y = 0 and its longest side 1."""
    bounds = torch.stack([item.world_bounds() for item in objects]).double()
    low, high = bounds[:, 0].amin(0), bounds[:, 1].amax(0)
    scale = 1 / (high - low).max().clamp(min=1e-9)
    base = torch.stack([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    return compose_similarity(torch.eye(3).double(), -scale * base, scale).float()


def moved_object(item: SceneObject, matrix: Float[Tensor, "4 4"]) -> SceneObject:
    """The object under a similarity of the world."""
    return replace(item, world_from_object=(matrix.double() @ item.world_from_object.double()).float())


def transformed_camera(camera: Camera, matrix: Float[Tensor, "4 4"]) -> Camera:
    """The camera that sees the world moved by a similarity exactly as `camera` saw it before."""
    scale = matrix[:3, 0].double().norm()
    cam_from_world = camera.cam_from_world.double() @ torch.linalg.inv(matrix.double())
    cam_from_world[:3] *= scale
    return replace(camera, cam_from_world=cam_from_world.float())


def _has_surface(mesh: Mesh, finish: FinishOptions) -> bool:
    try:
        clean_surface(mesh, finish)
    except InputError:
        return False
    return True


def _centred_splats(splats: Gaussians, centre: Float[Tensor, " 3"], side: float) -> Gaussians:
    return Gaussians(
        means=(splats.means.detach().cpu() - centre) / side,
        scales=splats.scales.detach().cpu() / side,
        quaternions_wxyz=splats.quaternions_wxyz.detach().cpu(),
        opacities=splats.opacities.detach().cpu(),
        sh=splats.sh.detach().cpu(),
    )
