"""OBJ files keep every object apart, and polygons that are not convex keep their area."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scenewright.io.obj import load_obj, save_obj
from scenewright.types import PBRMaterial, Scene, SceneObject
from tests.io.scenes import picture, tetrahedron

CORNERS = "v 0 0 0\nv 4 0 0\nv 4 4 0\nv 2 1 0\nv 0 4 0\n"


def loaded(folder, text, name="m.obj"):
    (folder / name).write_text(text)
    return load_obj(folder / name)


def area(scene):
    triangles = [part.vertices[part.faces.long()] for item in scene.objects for part in item.parts]
    return sum(
        float(np.linalg.norm(np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]), axis=1).sum()) / 2 for t in triangles
    )


@pytest.mark.parametrize("materials", ["", "newmtl wood\nKd 1 0 0\nnewmtl leg_wood\nKd 0 1 0\n"])
@pytest.mark.parametrize("key", ["o", "g"])
def test_names_that_begin_alike_are_objects_of_their_own(tmp_path, key, materials):
    (tmp_path / "m.mtl").write_text(materials)
    faces = f"{key} chair\nusemtl leg_wood\nf 1 2 3\n{key} chair_leg\nusemtl wood\nf 1 3 4\n{key} usemtl\nf 1 2 5\n"
    scene = loaded(tmp_path, f"mtllib m.mtl\n{CORNERS}{faces}")
    assert [item.name for item in scene.objects] == ["chair", "chair_leg", "usemtl"]
    assert [len(item.parts) for item in scene.objects] == [1, 1, 1]
    if materials:
        assert [item.parts[0].material.name for item in scene.objects] == ["leg_wood", "wood", "wood"]
    assert len(load_obj(save_obj(scene, tmp_path / "again.obj")).objects) == 3


@pytest.mark.parametrize("key", ["o", "g"])
def test_a_name_that_comes_again_goes_on_with_its_object(tmp_path, key):
    objects = loaded(tmp_path, f"{CORNERS}{key} a\nf 1 2 3\n{key} b\nf 1 2 4\n{key} a\nf 1 3 5\n").objects
    assert [(item.name, len(item.parts[0].faces)) for item in objects] == [("a", 2), ("b", 1)]


def test_faces_before_the_first_object_are_called_as_the_file(tmp_path):
    objects = loaded(tmp_path, CORNERS + "f 1 2 3\no a\nf 1 2 4\n").objects
    assert [item.name for item in objects] == ["m", "a"]


def test_objects_with_one_name_are_written_under_different_ones(tmp_path):
    names = ["a", "a", "a b", "a_b", "", "a_1"]
    scene = Scene(tuple(SceneObject(name, (tetrahedron(),)) for name in names))
    path = save_obj(scene, tmp_path / "a.obj")
    written = [line[2:] for line in path.read_text().splitlines() if line.startswith("o ")]
    assert written == ["a", "a_1", "a_b", "a_b_1", "object_4", "a_1_1"]
    assert [item.name for item in load_obj(path).objects] == written


@pytest.mark.parametrize("face", ["f 1 2 3 4 5", "f 5 4 3 2 1", "f 1//1 2//1 3//1 4//1 5//1", "f -5 -4 -3 -2 -1"])
def test_a_concave_polygon_keeps_its_area(tmp_path, face):
    scene = loaded(tmp_path, f"{CORNERS}vn 0 0 1\n{face}\n")
    assert area(scene) == pytest.approx(10)
    assert len(scene.objects[0].parts[0].faces) == 3


def test_indices_below_zero_count_from_their_line(tmp_path):
    square = "v 0 0 0\nv 4 0 0\nv 4 4 0\nv 2 4 0\nv 0 4 0\n"
    scene = loaded(tmp_path, f"{CORNERS}f -5 -4 -3 -2 -1\n{square}f -5 -4 -3 -2 -1\n")
    assert area(scene) == pytest.approx(10 + 16)


@pytest.mark.parametrize("seed", range(4))
def test_any_simple_polygon_keeps_its_area(tmp_path, seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 25))
    flat = (rng.uniform(0.2, 1, 25) * np.exp(1j * angles)).round(3)
    plane = np.linalg.qr(rng.normal(size=(3, 3)))[0][:2]
    lines = [f"v {x} {y} {z}" for x, y, z in np.stack([flat.real, flat.imag], 1) @ plane]
    want = abs((flat.conj() * np.roll(flat, -1)).imag.sum()) / 2
    scene = loaded(tmp_path, "\n".join([*lines, "f " + " ".join(str(1 + (i + 5) % 25) for i in range(25))]) + "\n")
    assert area(scene) == pytest.approx(want, rel=1e-5)


def test_the_fan_of_a_polygon_stays_where_it_does_not_fold(tmp_path):
    quad = loaded(tmp_path, "v 0 0 0\nv 4 0 0\nv 4 4 0\nv 0 4 0\nf 1 2 3 4\n").objects[0].parts[0]
    assert quad.faces.tolist() == [[0, 1, 2], [2, 3, 0]]
    # A corner that points inwards is no trouble where the fan begins at it.
    dart = loaded(tmp_path, f"{CORNERS}f 4 5 1 2 3\n")
    assert area(dart) == pytest.approx(10)
    folded = loaded(tmp_path, "v 0 0 0\nv 4 0 0\nv 1 1 0\nv 0 4 0\nf 2 3 4 1\nf 1 2 3 4\nf 4 1 2 3\n")
    assert area(folded) == pytest.approx(12)


NAMES = (
    "tail\\",
    "a/b",
    "../../x",
    "a\\b",
    "a\0b",
    "x" * 9999,
    "日" * 99,
    "Oak",
    "oak",
    "é",
    "e\u0301",
    "\ud800",
    "#",
    "",
)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_an_object_and_its_material_is_read_again(tmp_path, name):
    pixels = picture(2, 2, 3)
    parts = [
        replace(
            tetrahedron(),
            uv=pixels[0, :, :2].repeat(2, 1).float(),
            material=PBRMaterial(name=word, base_color_texture=pixels),
        )
        for word in (name, "oak")
    ]
    scene = Scene((SceneObject(name, (parts[0],)), SceneObject("other", (parts[1],))))
    path = save_obj(scene, tmp_path / "m.obj")
    assert len({file.name.lower() for file in tmp_path.iterdir()}) == 4
    objects = load_obj(path).objects
    assert [len(item.parts[0].faces) for item in objects] == [4, 4]
    assert all(torch.equal(item.parts[0].material.base_color_texture, pixels) for item in objects)
