"""Stages of a run written to a file and read back: equal in every tensor, asked at the same points the same values."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from scenewright.errors import InputError
from scenewright.geometry.mesh.surface_color import AttributeField, Placed, SplatField, VoxelField
from scenewright.geometry.rotation import compose_similarity
from scenewright.io.data_file import load_data, save_data
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.assembly.decoding import RawObject
from scenewright.systems.assembly.structures import LayoutErrors, PlacedStructures
from scenewright.systems.mini.picture_colors import OverlaidField, picture_field
from scenewright.types import Camera, Gaussians, SparseVoxels
from tests.geometry.shapes import icosphere

POINTS = torch.rand(40, 3, generator=torch.Generator().manual_seed(0)) - 0.5


def assert_same(one: object, other: object) -> None:
    """Equality of what `save_data` takes, tensor by tensor."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype
    elif isinstance(one, Image.Image):
        assert one.mode == other.mode
        assert np.array_equal(np.array(one), np.array(other))
    elif isinstance(one, SparseTensor):
        assert torch.equal(one.coords, other.coords)
        assert torch.equal(one.feats, other.feats)
        assert one.batch_size == other.batch_size
    elif is_dataclass(one):
        assert type(one) is type(other)
        for item in fields(one):
            assert_same(getattr(one, item.name), getattr(other, item.name))
    elif isinstance(one, Mapping):
        assert_same(tuple(one.items()), tuple(other.items()))
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
    else:
        assert one == other


def voxel_field() -> VoxelField:
    coords = torch.randint(0, 8, (50, 3), generator=torch.Generator().manual_seed(1)).unique(dim=0)
    return VoxelField(SparseVoxels(coords, 8, {"base_color": (coords + 0.5) / 8, "roughness": coords[:, :1] / 8}))


def splats() -> Gaussians:
    draw = torch.Generator().manual_seed(2)
    quaternions = torch.nn.functional.normalize(torch.randn(30, 4, generator=draw), dim=1)
    means, sh = torch.rand(30, 3, generator=draw) - 0.5, torch.randn(30, 1, 3, generator=draw)
    return Gaussians(means, torch.full((30, 3), 0.1), quaternions, torch.rand(30, generator=draw), sh)


def overlaid_field() -> OverlaidField:
    picture = Image.fromarray(np.full((16, 16, 3), (200, 40, 40), dtype=np.uint8))
    ball = icosphere(2, 0.4)
    return OverlaidField(voxel_field(), picture_field(ball.vertices, picture), ball, 0.9, (1.1, 1.0, 0.5))


@pytest.mark.parametrize(
    "field",
    [
        voxel_field(),
        SplatField(splats(), 4),
        overlaid_field(),
        Placed(overlaid_field(), compose_similarity(torch.eye(3), torch.tensor([0.1, 0, 0]), 0.5)),
    ],
)
def test_a_raw_surface_with_its_field_comes_back_and_colours_the_same(field: AttributeField, tmp_path: Path) -> None:
    before = field.at(POINTS)
    raw = (RawObject(icosphere(1), field, splats()), None)
    again = load_data(save_data(tmp_path / "raw.safetensors", raw), tuple)
    assert_same(raw, again)
    assert torch.equal(again[0].field.at(POINTS), before)


def test_structures_and_latents_come_back(tmp_path: Path) -> None:
    structures = PlacedStructures(
        coords=(torch.tensor([[1, 2, 3]], dtype=torch.int32), torch.zeros(0, 3, dtype=torch.int32)),
        resolution=16,
        world_from_object=torch.eye(4).expand(2, 4, 4),
        tokens=torch.rand(1, 2, 5, 8),
        pictures=(Image.new("RGB", (4, 3), "red"), Image.new("RGB", (4, 3))),
        camera=Camera(torch.eye(3), torch.eye(4), 4, 3),
        confidence=(0.5, None),
        notes=("one",),
        layout_errors=LayoutErrors(heading=0.1),
        solidity=(torch.rand(16, 16, 16), torch.rand(16, 16, 16)),
    )
    assert_same(structures, load_data(save_data(tmp_path / "s.safetensors", structures), PlacedStructures))
    latents = (SparseTensor(torch.rand(2, 4), VoxelSet(torch.tensor([[0, 1, 2, 3], [1, 0, 0, 0]]).int(), 3)), 512)
    assert_same(latents, load_data(save_data(tmp_path / "l.safetensors", latents), tuple))


def test_a_tensor_held_twice_is_stored_once(tmp_path: Path) -> None:
    field = overlaid_field()
    shared = save_data(tmp_path / "shared.safetensors", RawObject(field.surface, field))
    copied = save_data(tmp_path / "copied.safetensors", RawObject(icosphere(2, 0.4), field))
    assert shared.stat().st_size < copied.stat().st_size


def test_what_cannot_be_stored_or_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"function at '\.1'"):
        save_data(tmp_path / "f.safetensors", (1, lambda points: points))
    path = save_data(tmp_path / "ball.safetensors", icosphere(1))
    with pytest.raises(InputError, match="to hold a RawObject, got a Mesh"):
        load_data(path, RawObject)
    for content in ('{"class": "subprocess:Popen", "fields": {}}', '{"class": "scenewright.io.glb:glb_bytes"}'):
        save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors", metadata={"data": content})
        with pytest.raises(InputError, match="not data that this version reads"):
            load_data(tmp_path / "other.safetensors", object)
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match=r"broken\.safetensors"):
        load_data(tmp_path / "broken.safetensors", object)
