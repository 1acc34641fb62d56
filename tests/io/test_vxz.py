import itertools
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scenewright.errors import InputError
from scenewright.io import vxz
from scenewright.io.vxz import VxzOptions, decode_vxz, encode_vxz, read_vxz, write_vxz
from scenewright.types import SparseVoxels

OPTIONS = [
    VxzOptions(size, predictor, compression, interleave)
    for size, (predictor, compression, interleave) in zip(
        itertools.cycle((2, 4, 16, 256)),
        itertools.product(
            ("none", "parent", "neighbor"), ("none", "deflate", "lzma", "zstd"), ("none", "as_is", "all")
        ),
        strict=False,
    )
]


def random_voxels(seed: int = 0, num: int = 300, side: int = 24) -> SparseVoxels:
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randperm(side**3, generator=generator)[:num]
    coords = torch.stack([cells // side**2, cells // side % side, cells % side], 1).int()
    colors = torch.randint(0, 256, (num, 3), generator=generator).to(torch.uint8)
    return SparseVoxels(coords, side, {"color": colors, "flags": colors[:, :1] // 32})


def content(voxels: SparseVoxels) -> dict:
    rows = torch.cat([value.int().flatten(1) for value in voxels.attributes.values()], 1)
    return dict(zip(map(tuple, voxels.coords.tolist()), rows.tolist(), strict=True))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_way_of_writing_reads_back(options):
    voxels = random_voxels()
    back = decode_vxz(encode_vxz(voxels.coords, voxels.attributes, options, resolution=24))
    assert content(back) == content(voxels)
    assert back.resolution == 24
    assert list(back.attributes) == ["color", "flags"]


@given(st.integers(0, 1000), st.integers(0, 40), st.sampled_from(OPTIONS))
def test_any_number_of_voxels(seed, num, options):
    voxels = random_voxels(seed, num, 7)
    back = decode_vxz(encode_vxz(voxels.coords, voxels.attributes, options))
    assert content(back) == content(voxels)


def test_voxels_come_back_in_chunk_order_then_z_order():
    coords = torch.tensor([[4, 0, 0], [1, 1, 1], [0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 4]]).int()
    back = decode_vxz(encode_vxz(coords, {}, VxzOptions(chunk_size=4)))
    assert back.coords.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 4], [4, 0, 0]]
    assert back.resolution == 8


def test_a_full_cube_takes_one_octree_byte_per_node():
    axis = torch.arange(4, dtype=torch.int32)
    plain = encode_vxz(torch.cartesian_prod(axis, axis, axis), {}, VxzOptions(4, "none", "none"))
    assert plain[-9:] == b"\xff" * 9


def test_predictors_help_on_smooth_data():
    axis = torch.arange(32, dtype=torch.int32)
    coords = torch.cartesian_prod(axis, axis, axis[:1])
    ramp = {"ramp": (3 * coords[:, 0] + 2 * coords[:, 1]).to(torch.uint8)}
    sizes = {name: len(encode_vxz(coords, ramp, VxzOptions(32, name, "deflate"))) for name in ("none", "neighbor")}
    assert sizes["neighbor"] < sizes["none"]


def test_files_are_written_and_read(tmp_path):
    voxels = random_voxels()
    assert content(read_vxz(write_vxz(tmp_path / "a.vxz", voxels))) == content(voxels)
    assert [path.name for path in tmp_path.iterdir()] == ["a.vxz"]


def test_cut_files_are_refused_at_every_length():
    voxels = random_voxels(num=30)
    for options in (
        VxzOptions(8, "none", "none"),
        VxzOptions(8, "parent", "zstd"),
        VxzOptions(8, "neighbor", "deflate"),
    ):
        whole = encode_vxz(voxels.coords, voxels.attributes, options)
        for length in range(0, len(whole), 7):
            with pytest.raises(InputError, match=r"Cannot read 'cut\.vxz'"):
                decode_vxz(whole[:length], name="cut.vxz")


@given(st.integers(0, 10**6), st.integers(0, 255), st.sampled_from(OPTIONS))
def test_changed_bytes_give_other_voxels_or_a_clear_error(position, value, options):
    voxels = random_voxels(num=20, side=8)
    damaged = bytearray(encode_vxz(voxels.coords, voxels.attributes, options))
    damaged[position % len(damaged)] = value
    try:
        back = decode_vxz(bytes(damaged))
    except InputError:
        return
    assert len(back.coords) == 20


def with_header(change) -> bytes:
    voxels = random_voxels(num=20, side=8)
    whole = encode_vxz(voxels.coords, voxels.attributes, VxzOptions(8, "none", "none"))
    end = int.from_bytes(whole[4:8], "big")
    header = json.loads(whole[8:end])
    change(header)
    text = json.dumps(header).encode()
    return whole[:4] + (8 + len(text)).to_bytes(4, "big") + text + whole[end:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(num_voxel=10**15), "num_voxel"),
        (lambda h: h.update(num_voxel=-1), "num_voxel"),
        (lambda h: h.update(num_voxel=True), "num_voxel"),
        (lambda h: h.update(num_voxel=21), "declares 21 voxels but holds 20"),
        (lambda h: h.update(num_voxel=19), "octree"),
        (lambda h: h.update(chunk_size=1 << 40), "chunk_size"),
        (lambda h: h.update(chunk_size=12), "power of two"),
        (lambda h: h.update(compression="rar"), "none, deflate, lzma, zstd"),
        (lambda h: h.update(filter=None), "filter"),
        (lambda h: h.update(attr=[["a", 10**9]]), "channel count"),
        (lambda h: h.update(attr={"a": 3}), "attributes"),
        (lambda h: h.update(chunks=7), "chunks"),
        (lambda h: h.update(resolution=3), "resolution"),
        (lambda h: h["chunks"][0].update(idx=[10**12, 0, 0]), "position"),
        (lambda h: h["chunks"][0].update(ptr=[0, 10**9]), "'ptr' reaches"),
        (lambda h: h["chunks"][0].update(svo=[0, 2]), "octree|reaches"),
        (lambda h: h["chunks"].append(h["chunks"][0]), "twice"),
        (lambda h: h["chunks"][0].pop("color"), "'color'"),
    ],
)
def test_a_header_that_lies_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        decode_vxz(with_header(change))


def test_a_stream_cannot_expand_past_its_declared_size():
    coords = torch.tensor([[0, 0, 0]]).int()
    bomb = vxz.compress(bytes(10**7), "deflate")
    whole = encode_vxz(coords, {"a": torch.zeros(1, dtype=torch.uint8)}, VxzOptions(8, "none", "deflate"))
    end = int.from_bytes(whole[4:8], "big")
    header = json.loads(whole[8:end])
    entry = header["chunks"][0]
    octree = whole[end : end + entry["svo"][1]]
    entry["a"] = [len(octree), len(bomb)]
    entry["ptr"] = [0, len(octree) + len(bomb)]
    text = json.dumps(header).encode()
    with pytest.raises(InputError, match="more than the 1 bytes"):
        decode_vxz(whole[:4] + (8 + len(text)).to_bytes(4, "big") + text + octree + bomb)


def test_what_cannot_be_written_is_refused():
    coords = torch.tensor([[0, 0, 0], [0, 0, 1]]).int()
    with pytest.raises(InputError, match="uint8 attributes"):
        encode_vxz(coords, {"a": torch.zeros(2)})
    with pytest.raises(InputError, match="every voxel once"):
        encode_vxz(coords[[0, 0]], {})
    with pytest.raises(InputError, match="got -1 to 0"):
        encode_vxz(coords - 1, {})
    with pytest.raises(InputError, match="cannot be called 'ptr'"):
        encode_vxz(coords, {"ptr": torch.zeros(2, dtype=torch.uint8)})
    with pytest.raises(InputError, match="power of two"):
        VxzOptions(chunk_size=100)
    with pytest.raises(InputError, match=r"missing\.vxz"):
        read_vxz("missing.vxz")
