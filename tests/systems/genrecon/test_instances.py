"""Masks vote for the faces they show; hidden faces follow their neighbours, hidden objects get no votes."""

import torch

from scenewright.geometry.camera.cameras import look_at
from scenewright.rendering.gbuffer import rasterize
from scenewright.rendering.triangles import pack_meshes
from scenewright.rendering.view import view_of_camera
from scenewright.systems.genrecon.instances import SHELL_PARTS, LabelledView, shell_part_of_faces, vote_instances
from scenewright.types import Camera, Mesh
from tests.geometry.shapes import box


def scene() -> tuple[Mesh, torch.Tensor]:
    """A floor of two triangles and two cubes on it, one mesh; with the true owner of every face."""
    floor = Mesh(
        torch.tensor([[-3.0, -3, 0], [3, -3, 0], [3, 3, 0], [-3, 3, 0]]), torch.tensor([[0, 1, 2], [0, 2, 3]]).int()
    )
    cubes = [box(), box()]
    parts = [floor] + [
        Mesh(cube.vertices * 0.8 + torch.tensor([x, 0.0, 0.5]), cube.faces)
        for cube, x in zip(cubes, (-1.0, 1.0), strict=True)
    ]
    vertices, faces, owner, start = [], [], [], 0
    for index, part in enumerate(parts):
        vertices.append(part.vertices)
        faces.append(part.faces.long() + start)
        owner.append(torch.full((len(part.faces),), index))
        start += len(part.vertices)
    return Mesh(torch.cat(vertices).float(), torch.cat(faces)), torch.cat(owner)


def camera(x: float, y: float) -> Camera:
    intrinsics = torch.tensor([[90.0, 0, 60], [0, 90.0, 45], [0, 0, 1]])
    return Camera(intrinsics, look_at(torch.tensor([x, y, 2.5]), torch.tensor([0.0, 0.0, 0.3])), 120, 90)


def seen(mesh: Mesh, owner: torch.Tensor, view: Camera) -> torch.Tensor:
    face = rasterize(pack_meshes([mesh]), view_of_camera(view)).face.long()
    return torch.where(face >= 0, owner[face.clamp(min=0)], 0)


CAMERAS = [camera(0.5, -4.0), camera(3.0, 3.0), camera(-3.5, 2.0)]


def test_named_masks_find_their_faces() -> None:
    mesh, owner = scene()
    views = [LabelledView(view, seen(mesh, owner, view), {1: "left", 2: "right"}) for view in CAMERAS]
    instances = vote_instances(mesh, views)
    assert instances.names == ("left", "right")
    # The cubes' undersides are never seen and hang on their sides.
    assert torch.equal(instances.of_face, owner)
    assert all(value == 1 for value in instances.confidence)


def test_masks_without_names_are_put_together() -> None:
    mesh, owner = scene()
    views = []
    for index, view in enumerate(CAMERAS):
        labels = seen(mesh, owner, view)
        # Every picture numbers its masks in its own way.
        views.append(LabelledView(view, torch.where(labels > 0, (labels + index) % 2 + 5 + index, 0)))
    instances = vote_instances(mesh, views)
    assert len(instances.names) == 2
    for index in (1, 2):
        assert len(instances.of_face[owner == index].unique()) == 1
    assert (instances.of_face[owner == 0] == 0).all()


def test_a_wrong_mask_is_outvoted() -> None:
    mesh, owner = scene()
    views = [LabelledView(view, seen(mesh, owner, view), {1: "left", 2: "right"}) for view in CAMERAS]
    wrong = views[0].labels.clone()
    wrong[wrong == 1] = 2
    views.append(LabelledView(CAMERAS[0], wrong, {1: "left", 2: "right"}))
    instances = vote_instances(mesh, [*views, views[0]])
    assert torch.equal(instances.of_face, owner)
    assert instances.confidence[0] < 1


def test_without_views_everything_is_the_room() -> None:
    mesh, _ = scene()
    assert (vote_instances(mesh, []).of_face == 0).all()


def test_shell_parts_by_normal_and_height() -> None:
    mesh, owner = scene()
    part = shell_part_of_faces(mesh, floor_m=0.0, ceiling_m=0.9)
    assert (part[owner == 0] == SHELL_PARTS.index("floor")).all()
    cube = part[owner == 1]
    assert sorted(cube.unique().tolist()) == [0, 1, 2]
