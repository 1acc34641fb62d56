from dataclasses import replace

import torch

from scenewright.geometry.rotation import compose_similarity, yaw_to_matrix
from scenewright.rendering.triangles import CATCHER, add_ground, pack_meshes, pack_objects, place
from scenewright.types import PBRMaterial, SceneObject
from tests.rendering.shapes import box, square


def textured(value: int) -> PBRMaterial:
    return PBRMaterial(base_color_texture=torch.full((2, 3, 3), value, dtype=torch.uint8))


def test_objects_packed_together_share_one_bank_and_composing_copies_none_of_it():
    shared = textured(7)
    items = pack_objects(
        [SceneObject("a", (box(material=shared),)), SceneObject("b", (square(material=shared), box()))]
    )
    assert len(items[0].bank.factors) == 2
    assert len(items[0].bank.textures) == 1
    scene = place([items[1], items[0], items[1]], [torch.eye(4)] * 3)
    assert scene.bank is items[0].bank
    assert scene.face_instance.unique().tolist() == [1, 2, 3]
    assert len(scene.faces) == 2 * 14 + 12


def test_different_banks_are_joined_with_their_textures():
    first, second = pack_meshes([square(material=textured(10))]), pack_meshes([square(material=textured(20))])
    scene = place([first, second], [torch.eye(4)] * 2, [5, 6])
    rows = scene.bank.textures[scene.bank.kinds[scene.face_material.long(), 1].long()]
    assert scene.bank.texels[rows[:, 0], 0].tolist() == [10, 10, 20, 20]
    assert scene.face_instance.tolist() == [5, 5, 6, 6]


def test_placing_moves_points_and_turns_normals():
    up = torch.tensor([[0.0, 1.0, 0.0]]).expand(8, 3)
    item = pack_objects([SceneObject("a", (replace(box(), vertex_normals=up.contiguous()),))])
    matrix = compose_similarity(yaw_to_matrix(torch.tensor(torch.pi / 2)), torch.tensor([1.0, 2.0, 3.0]), 2.0)
    scene = place(item, [matrix])
    torch.testing.assert_close(scene.bounds(), torch.tensor([[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]))
    normals = torch.nn.functional.normalize(scene.vertex_normals, dim=1)
    torch.testing.assert_close(normals, torch.tensor([[-1.0, 0.0, 0.0]]).expand(8, 3), atol=1e-6, rtol=0)


def test_ground_lies_under_everything_and_is_not_counted():
    scene = pack_meshes([box(0.5, (0.0, 0.0, 3.0))])
    grounded = add_ground(scene)
    torch.testing.assert_close(grounded.bounds(), scene.bounds())
    is_ground = grounded.bank.kinds[grounded.face_material.long(), 0] == CATCHER
    assert int(is_ground.sum()) == 2
    height = float(grounded.vertices[grounded.faces[is_ground].long()][..., 2].max())
    assert 2.49 < height < 2.5  # below, so that what lies on the floor is drawn whole
    assert grounded.face_instance[is_ground].tolist() == [0, 0]


def test_nothing_packs_to_nothing():
    empty = place([], [])
    assert len(empty.faces) == 0
    torch.testing.assert_close(empty.bounds(), torch.zeros(2, 3))
