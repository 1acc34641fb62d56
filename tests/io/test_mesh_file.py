import contextlib
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.io.formats import readable
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


CORNERS = ((0, 0, 0), (2, 0, 0), (2, 2, 0), (1, 0.5, 0), (0, 2, 0))
FACES = ((0, 1, 3), (1, 2, 3, 0), (0, 1, 2, 3, 4))
AXES = ("float x", "float y", "float z")


def ply(order: str, *elements: str, rows: bytes, newline: str = "\n") -> bytes:
    header = ["ply", f"format {order} 1.0", *elements, "end_header", ""]
    return newline.join(header).encode() + rows


def vertices(*more: str, count: int = 5) -> list[str]:
    return [f"element vertex {count}", *(f"property {name}" for name in (*AXES, *more))]


def faces(count: int, kinds: str = "uchar int") -> list[str]:
    return [f"element face {count}", f"property list {kinds} vertex_indices"]


def lines(*rows: tuple[float, ...]) -> bytes:
    return "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()


def area(mesh: Mesh) -> float:
    first, second, third = corners(mesh).unbind(1)
    return float(torch.linalg.cross(second - first, third - first).norm(dim=1).sum() / 2)


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("kinds", ["uchar int", "uint ushort", "int uint"])
def test_polygons_of_different_sizes_keep_their_area(tmp_path, order, kinds):
    """A triangle, a quad whose first diagonal lies outside, and a concave polygon whose fan would fold."""
    mark = ">" if "big" in order else "<"
    if order == "ascii":
        rows = lines(*CORNERS, *((len(face), *face) for face in FACES))
    else:
        code = mark + {"uchar int": "B{}i", "uint ushort": "I{}H", "int uint": "i{}I"}[kinds]
        rows = b"".join(struct.pack(f"{mark}3f", *corner) for corner in CORNERS)
        rows += b"".join(struct.pack(code.format(len(face)), len(face), *face) for face in FACES)
    (tmp_path / "a.ply").write_bytes(ply(order, *vertices(), *faces(3, kinds), rows=rows))
    mesh = load_mesh(tmp_path / "a.ply")
    assert len(mesh.faces) == 1 + 2 + 3
    assert area(mesh) == pytest.approx(0.5 + 1.5 + 2.5)


FACE = lines((3, 0, 1, 2))
UNUSUAL = {
    "carriage returns": ply(
        "ascii", *vertices(), *faces(1), rows=(lines(*CORNERS) + FACE).replace(b"\n", b"\r"), newline="\r"
    ),
    "both": ply("ascii", *vertices(), *faces(1), rows=lines(*CORNERS) + FACE, newline="\r\n"),
    "wide header": ply("ascii", *vertices(), *faces(1), rows=lines(*CORNERS) + FACE).replace(
        b" vertex 5", b"  vertex\t5 "
    ),
    "blank lines": ply("ascii", *vertices(), "", *faces(1), rows=lines(*CORNERS) + b"\n\n" + FACE),
    "one line": ply("ascii", *vertices(), *faces(1), rows=(lines(*CORNERS) + FACE).replace(b"\n", b" ")),
    "comments": ply(
        "ascii",
        "comment element face 3, end_header",
        "obj_info K\u00f6rper",
        *vertices(),
        *faces(1),
        rows=lines(*CORNERS) + FACE,
    ),
    "faces first": ply("ascii", *faces(1), *vertices(), rows=FACE + lines(*CORNERS)),
    "other elements": ply(
        *("ascii", "element camera 1", "property float fov", *vertices(), "element edge 1", "property int a"),
        *("property int b", *faces(1)),
        rows=b"0.5\n" + lines(*CORNERS) + b"0 1\n" + FACE,
    ),
    "lists of vertices": ply(
        "ascii",
        *vertices("list uchar int near"),
        *faces(1),
        rows=lines(*((*corner, 1, 7) for corner in CORNERS)) + FACE,
    ),
    "strips": ply(
        *("ascii", *vertices(), "element tristrips 1", "property list int int vertex_indices"),
        rows=lines(*CORNERS, (6, 0, 1, 2, -1, 3, 4)),
    ),
    "more behind": ply("ascii", *vertices(), *faces(1), rows=lines(*CORNERS) + FACE + lines((1, 2, 3))),
}


@pytest.mark.parametrize("content", UNUSUAL.values(), ids=UNUSUAL)
def test_ply_as_tools_write_it(tmp_path, content):
    (tmp_path / "a.ply").write_bytes(content)
    mesh = readable(tmp_path / "a.ply").read(tmp_path / "a.ply").objects[0].parts[0]
    assert mesh.faces.tolist() == [[0, 1, 2]]
    assert mesh.vertices.tolist() == [list(map(float, corner)) for corner in CORNERS]


@pytest.mark.parametrize(
    ("names", "stored"),
    [
        (("uchar red", "uchar green", "uchar blue"), (255, 0, 128)),
        (("float red", "float green", "float blue"), (1.0, 0.0, 0.5)),
        (("float red", "float green", "float blue"), (255.0, 0.0, 128.0)),
        (("ushort red", "ushort green", "ushort blue"), (65535, 0, 32896)),
        (("uchar diffuse_red", "uchar diffuse_green", "uchar diffuse_blue"), (255, 0, 128)),
        (("uchar r", "uchar g", "uchar b"), (255, 0, 128)),
    ],
)
def test_colours_of_any_type(tmp_path, names, stored):
    rows = lines(*((*corner, *stored) for corner in CORNERS)) + FACE
    (tmp_path / "a.ply").write_bytes(ply("ascii", *vertices(*names), *faces(1), rows=rows))
    colors = load_mesh(tmp_path / "a.ply").vertex_colors
    assert colors is not None
    assert colors[0].tolist() == pytest.approx([1.0, 0.0, 0.216, 1.0], abs=0.003)


def test_colours_of_faces(tmp_path):
    colored = [*faces(2), "property uchar red", "property uchar green", "property uchar blue"]
    rows = lines(*CORNERS, (3, 0, 1, 2, 255, 0, 0), (4, 0, 1, 2, 4, 0, 0, 255))
    (tmp_path / "a.ply").write_bytes(ply("ascii", *vertices(), *colored, rows=rows))
    mesh = load_mesh(tmp_path / "a.ply")
    assert mesh.vertex_colors is not None
    assert mesh.vertex_colors[mesh.faces][:, :, :3].tolist() == [3 * [[1.0, 0.0, 0.0]], *2 * [3 * [[0.0, 0.0, 1.0]]]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ply("ascii", *vertices(), *faces(2), rows=lines(*CORNERS) + FACE), "promises 2 rows of 'face'"),
        (ply("ascii", *vertices(), *faces(10**15), rows=lines(*CORNERS) + FACE), "rows of 'face' would take"),
        (ply("ascii", *vertices(), *faces(1), rows=lines(*CORNERS, (3, 0, 1, 5))), "a vertex that does not exist"),
        (ply("ascii", *vertices(), *faces(1), rows=lines(*CORNERS, (3, 0, 1, -2))), "a vertex that does not exist"),
        (ply("ascii", *vertices(), *faces(1), rows=lines(*CORNERS, (-3, 0, 1, 2))), "the length -3"),
        (ply("ascii", *vertices(), *faces(1), rows=lines(("nan", 0, 0), *CORNERS[1:]) + FACE), "not finite"),
        (ply("ascii", *vertices(), rows=lines(*CORNERS)), "no triangles"),
        (ply("ascii", *vertices("uint packed_position"), rows=lines(*((*c, 1) for c in CORNERS))), "compressed splats"),
        (ply("ascii", "element vertex 1", "property float x", rows=b"1\n"), "no vertices with x, y and z"),
    ],
)
def test_damaged_ply(tmp_path, content, message):
    (tmp_path / "bad.ply").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_mesh(tmp_path / "bad.ply")
    assert "bad.ply" in str(caught.value)


FACET = "facet normal 0 0 1\n outer loop\n  vertex 0 0 0\n  vertex 1 0 0\n  vertex 0 1 0\n endloop\nendfacet\n"
TRIANGLE = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0)


@pytest.mark.parametrize(
    "content",
    [
        f"solid vertex group\n{FACET}endsolid vertex group\n".encode(),
        f"solid endsolid\n{FACET}endsolid\n".encode(),
        f"solid a\n{FACET}endsolid a\n".replace("\n", "\r").encode(),
        f"solid a\n{FACET}endsolid a\n".replace("\n", " ").encode(),
        f"\n SOLID K\u00f6rper\n{FACET}end solid\n".encode("latin-1"),
        b"solid of a tool".ljust(80) + struct.pack("<I", 1) + TRIANGLE,
        b"solid of a tool".ljust(80, b"\0") + struct.pack("<I", 1) + TRIANGLE + b"more",
        b"".ljust(80, b"\0") + struct.pack("<I", 1) + TRIANGLE + b"\n",
    ],
)
def test_stl_as_tools_write_it(tmp_path, content):
    (tmp_path / "a.stl").write_bytes(content)
    assert corners(load_mesh(tmp_path / "a.stl")).tolist() == [[[0, 0, 0], [1, 0, 0], [0, 1, 0]]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"".ljust(80, b"\0") + struct.pack("<I", 2) + TRIANGLE, "promises 2 triangles"),
        (f"solid a\n{FACET}".encode(), "ends without 'endsolid'"),
        (f"solid a\n{FACET}endsolid\n".replace(" endloop", "  vertex 1 1 0\n endloop").encode(), "not three corners"),
        (f"solid a\n{FACET}endsolid\n".replace("1 0 0", "1,0 0 0").encode(), "could not convert"),
    ],
)
def test_damaged_stl(tmp_path, content, message):
    (tmp_path / "bad.stl").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_mesh(tmp_path / "bad.stl")
    assert "bad.stl" in str(caught.value)
