import contextlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.io.mesh_file import MESH_SUFFIXES, load_mesh, save_mesh
from scenewright.types import Mesh
from tests.io.scenes import tetrahedron


def corners(mesh: Mesh) -> torch.Tensor:
    return mesh.vertices[mesh.faces]


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
@pytest.mark.parametrize("up", ["y", "z", None])
def test_triangles_survive(tmp_path, suffix, up):
    mesh = tetrahedron()
    loaded = load_mesh(save_mesh(mesh, tmp_path / f"a{suffix}", up=up), up=up)
    torch.testing.assert_close(corners(loaded), corners(mesh))


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_vertex_colours_survive_to_eight_bits(tmp_path, suffix):
    colors = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 0.5, 0.0, 1.0], [0.2, 0.2, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    loaded = load_mesh(save_mesh(tetrahedron(vertex_colors=colors), tmp_path / f"a{suffix}"))
    assert loaded.vertex_colors is not None
    torch.testing.assert_close(loaded.vertex_colors, colors, atol=0.01, rtol=0)


def test_y_up_files_are_turned(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 1 0\nv 1 0 0\nv 0 0 1\nf 1 2 3\n")
    assert load_mesh(tmp_path / "a.obj").vertices.tolist() == [[0, 0, 1], [1, 0, 0], [0, -1, 0]]
    assert load_mesh(tmp_path / "a.obj", up="z").vertices.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_an_obj_does_not_make_us_open_other_files(tmp_path):
    (tmp_path / "a.obj").write_text("mtllib ../../../etc/passwd\nusemtl x\nv 0 1 0\nv 1 0 0\nv 0 0 1\nf 1 2 3\n")
    assert len(load_mesh(tmp_path / "a.obj").faces) == 1


@pytest.mark.parametrize("content", [b"", b"v 0 0 0\n", b"\x00\xff\xfe garbage", b"v a b c\nf 1 2 3\n", b"f 1 2 9\n"])
@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_bad_files(tmp_path, content, suffix):
    (tmp_path / f"bad{suffix}").write_bytes(content)
    with pytest.raises(InputError, match="bad"):
        load_mesh(tmp_path / f"bad{suffix}")


def test_missing_and_unknown(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_mesh(tmp_path / "none.obj")
    with pytest.raises(InputError, match="Expected a mesh file"):
        load_mesh(tmp_path / "a.fbx")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), suffix=st.sampled_from(MESH_SUFFIXES))
def test_fuzzed_bytes_only_raise_input_errors(tmp_path_factory, data, suffix):
    folder = tmp_path_factory.mktemp("fuzz")
    path = save_mesh(tetrahedron(), folder / f"a{suffix}")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        load_mesh(path)
