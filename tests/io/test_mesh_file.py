import contextlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.io.mesh_file import load_mesh, save_mesh
from scenewright.types import Mesh
from tests.io.scenes import tetrahedron


def corners(mesh: Mesh) -> torch.Tensor:
    return mesh.vertices[mesh.faces]


@pytest.mark.parametrize("suffix", [".ply", ".stl"])
def test_triangles_survive(tmp_path, suffix):
    mesh = tetrahedron()
    loaded = load_mesh(save_mesh(mesh, tmp_path / f"a{suffix}"))
    torch.testing.assert_close(corners(loaded), corners(mesh))


def test_vertex_colours_survive_to_eight_bits(tmp_path):
    colors = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 0.5, 0.0, 1.0], [0.2, 0.2, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    loaded = load_mesh(save_mesh(tetrahedron(vertex_colors=colors), tmp_path / "a.ply"))
    assert loaded.vertex_colors is not None
    torch.testing.assert_close(loaded.vertex_colors, colors, atol=0.01, rtol=0)


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe garbage", b"ply\nformat ascii 1.0\nend_header\n"])
@pytest.mark.parametrize("suffix", [".ply", ".stl"])
def test_bad_files(tmp_path, content, suffix):
    (tmp_path / f"bad{suffix}").write_bytes(content)
    with pytest.raises(InputError, match="bad"):
        load_mesh(tmp_path / f"bad{suffix}")


def test_missing_and_unknown(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_mesh(tmp_path / "none.stl")
    with pytest.raises(InputError, match="Expected a mesh file"):
        load_mesh(tmp_path / "a.fbx")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), suffix=st.sampled_from((".ply", ".stl")))
def test_fuzzed_bytes_only_raise_input_errors(tmp_path_factory, data, suffix):
    folder = tmp_path_factory.mktemp("fuzz")
    path = save_mesh(tetrahedron(), folder / f"a{suffix}")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        load_mesh(path)
