"""What goes into a system is checked once, when it is built; parts are placed and joined; boxes stand upright."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scenewright.errors import InputError
from scenewright.geometry.mesh.parts import face_normals
from scenewright.geometry.rotation import compose_similarity
from scenewright.types import (
    Camera,
    Mask,
    Mesh,
    ObjectMasks,
    OrientedBox,
    PanoramaCamera,
    PBRMaterial,
    Scene,
    SceneObject,
    View,
    merged_mesh,
)
from tests.support.rotations import euler_xyz_deg_to_matrix

PICTURE = Image.new("RGBA", (4, 3))
TRIANGLE = Mesh(
    torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 1.0]]),
    torch.tensor([[0, 1, 2]], dtype=torch.int32),
)
WITH_NORMALS = Mesh(TRIANGLE.vertices, TRIANGLE.faces, face_normals(TRIANGLE).expand(3, 3))
MATRICES = {
    "similarity": compose_similarity(
        euler_xyz_deg_to_matrix(torch.tensor([20.0, -50.0, 70.0])), torch.tensor([1.0, 2.0, 3.0]), 2.5
    ),
    "stretching": torch.diag(torch.tensor([1.0, 3.0, 0.5, 1.0])),
    "mirroring": torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0])),
}


def mask(*pixels):
    filled = torch.zeros(3, 4, dtype=torch.bool)
    for row, column in pixels:
        filled[row, column] = True
    return filled


def test_a_view_keeps_its_picture_as_rgb_and_chooses_objects():
    view = View(PICTURE, ObjectMasks(torch.stack([mask((0, 0)), mask((1, 1)), mask((2, 2))])), name="left.png")
    assert view.image.mode == "RGB"
    assert view.objects.names == ("obj_01", "obj_02", "obj_03")
    chosen = view.at([2, 0])
    assert (chosen.objects.names, chosen.name) == (("obj_03", "obj_01"), "left.png")
    assert torch.equal(chosen.objects.masks[0], mask((2, 2)))


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (torch.zeros(0, 3, 4, dtype=torch.bool), "at least one object mask"),
        (torch.ones(1, 4, 4, dtype=torch.bool), "picture's 4x3 pixels, got 4x4"),
        (torch.stack([mask((0, 0)), mask()]), "Mask 'obj_02' is empty"),
    ],
)
def test_masks_that_do_not_fit_the_picture_are_refused(masks, message):
    with pytest.raises(InputError, match=message):
        View(PICTURE, ObjectMasks(masks))


@pytest.mark.parametrize("names", [("a",), ("a", "a"), ("a", "b", "c")])
def test_every_mask_has_a_name_of_its_own(names):
    with pytest.raises(InputError, match="2 distinct names"):
        ObjectMasks(torch.stack([mask((0, 0)), mask((1, 1))]), names)


def test_where_masks_overlap_the_last_keeps_the_pixel():
    masks = ObjectMasks(torch.stack([mask((0, 0), (0, 1)), mask((0, 1), (0, 2))]))
    assert [own.area for own in masks.exclusive] == [1, 2]
    assert masks.union.area == 3


def test_a_panorama_is_twice_as_wide_as_high():
    with pytest.raises(InputError, match="2:1 equirectangular"):
        PanoramaCamera(torch.eye(4), 1000, 480)


def test_the_camera_of_a_scene_is_its_first_perspective_one():
    lens = Camera(torch.eye(3), torch.eye(4), 4, 3)
    assert Scene((), cameras={"round": PanoramaCamera(torch.eye(4), 4, 2), "front": lens}).camera is lens
    assert Scene(()).camera is None


@pytest.mark.parametrize("name", MATRICES)
def test_normals_stay_those_of_the_placed_triangles(name: str) -> None:
    (placed,) = SceneObject("a", (WITH_NORMALS,), world_from_object=MATRICES[name]).placed_parts()
    assert placed.vertex_normals is not None
    turned = face_normals(placed)
    if name == "mirroring":  # outside stays outside: the normal of a mirrored sheet is the mirrored normal
        torch.testing.assert_close(turned[0], WITH_NORMALS.vertex_normals[0] * torch.tensor([-1.0, 1.0, 1.0]))
    torch.testing.assert_close(placed.vertex_normals, turned.expand(3, 3))


def test_placed_parts_can_be_in_double_precision() -> None:
    (placed,) = SceneObject("a", (WITH_NORMALS,)).placed_parts(torch.float64)
    assert placed.vertices.dtype == torch.float64
    assert torch.equal(placed.vertices.float(), TRIANGLE.vertices)


def test_a_scene_becomes_one_mesh_in_the_world() -> None:
    moved = torch.eye(4)
    moved[:3, 3] = torch.tensor([0.0, 0.0, 5.0])
    scene = Scene((SceneObject("a", (TRIANGLE, TRIANGLE)), SceneObject("b", (TRIANGLE,), world_from_object=moved)))
    mesh = scene.to_mesh()
    assert mesh.faces.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert mesh.vertices[6:, 2].tolist() == [5.0, 5.0, 6.0]
    assert len(Scene(()).to_mesh().vertices) == 0


def test_merging_keeps_what_all_parts_share() -> None:
    uv, paint = torch.rand(3, 2), PBRMaterial()
    textured = Mesh(TRIANGLE.vertices, TRIANGLE.faces, uv=uv, material=paint)
    assert merged_mesh([textured, textured]).material is paint
    assert torch.equal(merged_mesh([textured, textured]).uv, torch.cat([uv, uv]))
    other = Mesh(TRIANGLE.vertices, TRIANGLE.faces, uv=uv, material=PBRMaterial(metallic_factor=1.0))
    mixed = merged_mesh([textured, other])
    assert mixed.material is None
    assert mixed.uv is None
    assert merged_mesh([WITH_NORMALS, TRIANGLE]).vertex_normals is None


def test_a_box_has_full_sides_and_turns_counter_clockwise() -> None:
    box = OrientedBox((1.0, 2.0, 3.0), (4.0, 2.0, 1.0), math.pi / 2)
    assert box.volume == 8.0
    torch.testing.assert_close(
        torch.from_numpy(box.footprint()),
        torch.tensor([[2.0, 0.0], [2.0, 4.0], [0.0, 4.0], [0.0, 0.0]], dtype=torch.float64),
    )


@settings(max_examples=40)
@given(st.integers(0, 2**16 - 1), st.integers(1, 5), st.tuples(*[st.integers(-4, 16)] * 2))
def test_packed_masks_are_the_dense_ones(seed, factor, corner):
    rng = np.random.default_rng(seed)
    first, second = (rng.random((11, 13)) < rng.choice([0.02, 0.3, 1.0]) for _ in range(2))
    masks = Mask.of(first), Mask.of(torch.from_numpy(second))
    assert masks[0].area == first.sum()
    assert torch.equal(masks[0].dense(), torch.from_numpy(first))
    assert torch.equal((masks[0] | masks[1]).dense(), torch.from_numpy(first | second))
    assert torch.equal((masks[0] - masks[1]).dense(), torch.from_numpy(first & ~second))
    assert masks[0].overlap(masks[1]) == pytest.approx((first & second).sum() / max((first | second).sum(), 1))
    padded = np.pad(first, 20)
    x, y = corner
    assert (masks[0].within((x, y, x + 9, y + 7)) == padded[20 + y : 27 + y, 20 + x : 29 + x]).all()
    blocks = np.pad(first, ((0, -11 % factor), (0, -13 % factor)))
    small = blocks.reshape(-(-11 // factor), factor, -(-13 // factor), factor).any((1, 3))
    assert torch.equal(masks[0].shrunk(factor).dense(), torch.from_numpy(small))
