import contextlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.geometry.rotation import quaternion_wxyz_to_matrix
from scenewright.io.gaussian_ply import COLUMNS, load_gaussian_ply, save_gaussian_ply
from scenewright.io.ply import read_vertices, vertex_ply_bytes
from scenewright.types import Gaussians
from tests.io.scenes import gaussians


@pytest.mark.parametrize("count", [0, 1, 37])
def test_round_trip(tmp_path, count):
    splats = gaussians(count)
    loaded = load_gaussian_ply(save_gaussian_ply(splats, tmp_path / "a.ply"))
    for name in ("means", "scales", "opacities", "sh"):
        torch.testing.assert_close(getattr(loaded, name), getattr(splats, name), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        quaternion_wxyz_to_matrix(loaded.quaternions_wxyz),
        quaternion_wxyz_to_matrix(splats.quaternions_wxyz),
        atol=1e-5,
        rtol=0,
    )


def test_the_stored_numbers_by_hand(tmp_path):
    splats = Gaussians(
        means=torch.tensor([[1.0, 2.0, 3.0]]),
        scales=torch.tensor([[1.0, math.e, math.e**2]]),
        quaternions_wxyz=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        opacities=torch.tensor([0.5]),
        sh=torch.tensor([[[0.1, 0.2, 0.3]]]),
    )
    table = read_vertices(save_gaussian_ply(splats, tmp_path / "a.ply"))
    assert list(table) == list(COLUMNS)
    row = [float(table[name][0]) for name in COLUMNS]
    half = math.sqrt(0.5)  # identity, turned by 90 degrees about x
    expected = [1, -3, 2, 0, 0, 0, 0.1, 0.2, 0.3, 0, 0, 1, 2, half, half, 0, 0]
    assert row == pytest.approx(expected, abs=1e-6)


def test_extreme_opacities_and_scales_stay_finite(tmp_path):
    splats = gaussians(2)
    splats.opacities[:] = torch.tensor([0.0, 1.0])
    splats.scales[0] = 0.0
    loaded = load_gaussian_ply(save_gaussian_ply(splats, tmp_path / "a.ply"))
    assert loaded.opacities.tolist() == pytest.approx([0, 1], abs=1e-6)
    assert bool(loaded.scales.isfinite().all())


def test_an_infinite_logit_is_an_opacity_of_one(tmp_path):
    row = np.zeros((1, len(COLUMNS)))
    row[0, COLUMNS.index("opacity")] = np.inf
    (tmp_path / "a.ply").write_bytes(vertex_ply_bytes(COLUMNS, row))
    assert load_gaussian_ply(tmp_path / "a.ply").opacities.tolist() == [1.0]


@pytest.mark.parametrize("num_coefficients", [4, 9, 16])
def test_colour_that_depends_on_the_view_survives(tmp_path, num_coefficients):
    sh = torch.randn(3, num_coefficients, 3, generator=torch.Generator().manual_seed(0))
    splats = replace(gaussians(3), sh=sh)
    path = save_gaussian_ply(splats, tmp_path / "a.ply")
    torch.testing.assert_close(load_gaussian_ply(path).sh, sh, atol=1e-5, rtol=1e-5)
    # The file's frame is (x, -z, y) of ours: degree 1 is (-y, z, -x), so that the middle one, ours along z, turns into
    # the first, along -y.
    table = read_vertices(path)
    rest = np.stack([table[f"f_rest_{index}"] for index in range(3)])
    np.testing.assert_allclose(rest[0], sh[:, 2, 0], atol=1e-5)
    np.testing.assert_allclose(rest[1], -sh[:, 1, 0], atol=1e-5)
    np.testing.assert_allclose(rest[2], sh[:, 3, 0], atol=1e-5)


def test_other_byte_orders_extra_columns_and_text(tmp_path):
    """A tool may add f_rest columns, double precision, another order, or write text."""
    names = [*COLUMNS[:9], "f_rest_0", *COLUMNS[9:]]
    values = np.arange(len(names), dtype=np.float64) / 10
    properties = "".join(f"property double {name}\n" for name in names)
    header = "ply\nformat {} 1.0\ncomment x\nelement vertex 1\n" + properties + "end_header\n"
    big = header.format("binary_big_endian").encode() + values.astype(">f8").tobytes()
    text = header.format("ascii").encode() + " ".join(map(str, values)).encode()
    loaded = []
    for content in (big, text):
        (tmp_path / "a.ply").write_bytes(content)
        loaded.append(load_gaussian_ply(tmp_path / "a.ply"))
    assert torch.equal(loaded[0].means, loaded[1].means)
    assert loaded[0].means[0].tolist() == pytest.approx([0.0, 0.2, -0.1])


HEADER = "ply\nformat binary_little_endian 1.0\nelement vertex 2\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"solid stl", "not a PLY file"),
        (b"ply\n" + b"comment " * 20_000, "not a PLY file"),
        (b"ply\nformat binary_little_endian 1.0\nelement face 3\nproperty float x\nend_header\n", "without vertices"),
        ((HEADER + "property float x\nend_header\n").encode() + bytes(4), "truncated"),
        ((HEADER + "property list uchar int x\nend_header\n").encode(), "header that cannot be read"),
        ((HEADER + "property float x\nproperty float x\nend_header\n").encode(), "listed twice"),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 9999999999999999999\nproperty float x\nend_header\n",
            "vertices would take",
        ),
        ((HEADER + "property float x\nend_header\n").encode() + bytes(8), "lacks the column 'y'"),
    ],
)
def test_bad_files_give_one_sentence(tmp_path, content, message):
    (tmp_path / "bad.ply").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_gaussian_ply(tmp_path / "bad.ply")
    assert "bad.ply" in str(caught.value)


def test_numbers_that_are_not_finite(tmp_path):
    (tmp_path / "nan.ply").write_bytes(vertex_ply_bytes(COLUMNS, np.full((1, 17), np.nan)))
    with pytest.raises(InputError, match="not finite"):
        load_gaussian_ply(tmp_path / "nan.ply")
    with pytest.raises(InputError, match="does not exist"):
        load_gaussian_ply(tmp_path / "none.ply")


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_fuzzed_bytes_only_raise_input_errors(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    path = save_gaussian_ply(gaussians(3), folder / "a.ply")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        load_gaussian_ply(path)
