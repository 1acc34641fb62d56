"""Decoding in parts gives the surface of the single pass: every face once, none lost."""

import pytest
import torch
import torch.nn.functional as F

from scenewright.backbones.trellis2.shape_vae import ShapeFields
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.systems.genrecon.joint_decode import (
    Box,
    cells_in_box,
    decode_joint_structure,
    decode_parts,
    joined_surface,
    merged_latent,
    partition,
)
from scenewright.systems.genrecon.lattice import ChunkLattice

SIDE, FACTOR = 6, 2
TRANSLATIONS = torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [-0.5, 0.5, 0], [1.0, 0.5, 0]])


def scene() -> tuple[ChunkLattice, SparseTensor]:
    generator = torch.Generator().manual_seed(2)
    lattice = ChunkLattice.from_translations(TRANSLATIONS, SIDE)
    cells = [torch.rand(SIDE, SIDE, SIDE, generator=generator).gt(0.4).nonzero() for _ in TRANSLATIONS]
    return lattice, merged_latent(lattice, cells, [torch.randn(len(rows), 3, generator=generator) for rows in cells])


def toy_shape(z: SparseTensor) -> tuple[ShapeFields, tuple]:
    """Every cell becomes FACTOR^3 voxels with fields that depend on the cell's feature and the voxel's place."""
    child = torch.cartesian_prod(*[torch.arange(FACTOR)] * 3)
    coords = F.pad((z.coords[:, None, 1:] * FACTOR + child).flatten(0, 1), (1, 0)).int()
    h = z.feats.repeat_interleave(FACTOR**3, 0) + (0.7 * coords[:, 1:].float()).sin()
    return ShapeFields(VoxelSet(coords, 1), h.sigmoid(), h, F.softplus(h[:, 0])), ()


def toy_texture(z: SparseTensor, pyramid: tuple) -> SparseTensor:
    fields, _ = toy_shape(z)
    return SparseTensor(fields.dual_vertices.repeat(1, 2), fields.voxels)


def surface(boxes: list[Box]):
    lattice, latent = scene()
    parts = decode_parts(
        latent, toy_shape, boxes, voxels_per_cell=FACTOR, margin=1, texture=latent, decode_texture=toy_texture
    )
    return joined_surface(list(parts), lattice, SIDE * FACTOR)


def everything() -> list[Box]:
    cells = scene()[1].coords[:, 1:]
    return [(cells.amin(0), cells.amax(0) + 1)]


@pytest.mark.parametrize("max_cells", [20, 60, 150])
def test_parts_own_every_cell_once(max_cells: int) -> None:
    cells = scene()[1].coords[:, 1:]
    boxes = partition(cells, max_cells=max_cells, margin=1)
    assert len(boxes) > 1
    assert (torch.stack([cells_in_box(cells, box) for box in boxes]).sum(0) == 1).all()


@pytest.mark.parametrize("max_cells", [20, 60, 150])
def test_parts_give_the_surface_of_the_single_pass(max_cells: int) -> None:
    whole, coords, materials = surface(everything())
    parts, part_coords, part_materials = surface(partition(scene()[1].coords[:, 1:], max_cells=max_cells, margin=1))
    torch.testing.assert_close(parts.vertices, whole.vertices)
    assert torch.equal(_sorted_rows(parts.faces), _sorted_rows(whole.faces))
    assert torch.equal(part_coords, coords)
    torch.testing.assert_close(part_materials, materials)
    assert len(whole.faces) > 500


def test_overlapping_chunks_agree_on_occupancy() -> None:
    latents = torch.randn(2, 3, 4, 4, 4)
    logits = decode_joint_structure(
        lambda canvas: F.interpolate(canvas.sum(1, keepdim=True), scale_factor=4), latents, TRANSLATIONS[:2], 8
    )
    assert logits.shape == (2, 1, 8, 8, 8)
    assert torch.equal(logits[0, :, 4:], logits[1, :, :4])


def _sorted_rows(faces: torch.Tensor) -> torch.Tensor:
    return faces.unique(dim=0)
