"""Colours of whole models in voxels against the models' own textures, read here by other means."""

from pathlib import Path

import pytest
import torch
import trimesh

from scenewright.geometry.color import srgb_from_linear
from scenewright.geometry.ovoxel.voxelize import fit_unit_cube
from scenewright.geometry.ovoxel.voxelize_object import object_to_ovoxel
from scenewright.io.glb import load_glb
from scenewright.types import Mesh

FURNITURE = Path(__file__).parents[2] / "data" / "furniture"
RESOLUTION = 128


def source_colors(part: Mesh, faces: torch.Tensor, barycentric: torch.Tensor) -> torch.Tensor:
    """Display-encoded colours, 0 to 255, at points of a part: its factor times its texture, bilinear and repeated."""
    factor = srgb_from_linear(torch.tensor(part.material.base_color_factor[:3]))
    if part.material.base_color_texture is None:
        return (255 * factor).expand(len(faces), 3)
    image = part.material.base_color_texture[..., :3].float()
    height, width = image.shape[:2]
    uv = (barycentric[..., None] * part.uv[part.faces.long()[faces]]).sum(1)
    x, y = uv[:, 0] * width - 0.5, uv[:, 1] * height - 0.5
    left, top = x.floor().long(), y.floor().long()
    right_share, low_share = (x - left)[:, None], (y - top)[:, None]

    def row(y: torch.Tensor) -> torch.Tensor:
        y = y % height
        return image[y, left % width] * (1 - right_share) + image[y, (left + 1) % width] * right_share

    return factor * (row(top) * (1 - low_share) + row(top + 1) * low_share)


def surface_samples(parts: list[Mesh], count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random points [M, 3] of an object in the cube, in proportion to area, and their colours [M, 3]."""
    fitted = fit_unit_cube(torch.cat([part.vertices for part in parts]))[0]
    pieces = fitted.split([len(part.vertices) for part in parts])
    surfaces = [
        trimesh.Trimesh(piece.numpy(), part.faces.numpy(), process=False)
        for piece, part in zip(pieces, parts, strict=True)
    ]
    whole = sum(surface.area for surface in surfaces)
    points, colors = [], []
    for surface, part in zip(surfaces, parts, strict=True):
        place, face = trimesh.sample.sample_surface(surface, int(count * surface.area / whole) + 1000, seed=0)
        share = torch.from_numpy(trimesh.triangles.points_to_barycentric(surface.triangles[face], place)).float()
        points.append(torch.from_numpy(place).float())
        colors.append(source_colors(part, torch.from_numpy(face), share))
    return torch.cat(points), torch.cat(colors)


def border_points(parts: list[Mesh], spacing: float) -> torch.Tensor:
    """Points [M, 3] on the borders of textured parts in the cube: edges of one face, where a chart of uv ends."""
    fitted = fit_unit_cube(torch.cat([part.vertices for part in parts]))[0]
    points = [torch.empty(0, 3)]
    for piece, part in zip(fitted.split([len(part.vertices) for part in parts]), parts, strict=True):
        if part.material.base_color_texture is None:
            continue
        edges = part.faces.long()[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).sort(1)[0]
        edges, uses = edges.unique(dim=0, return_counts=True)
        start, stop = piece[edges[uses == 1]].unbind(1)
        steps = ((stop - start).norm(dim=1) / spacing).ceil().long() + 1
        of_edge = torch.arange(len(steps)).repeat_interleave(steps)
        share = (torch.arange(len(of_edge)) - (steps.cumsum(0) - steps)[of_edge]) / (steps[of_edge] - 1).clamp(min=1)
        points.append(start[of_edge].lerp(stop[of_edge], share[:, None]))
    return torch.cat(points)


def cells_of(points: torch.Tensor) -> torch.Tensor:
    return keys(((points + 0.5) * RESOLUTION).long().clamp(0, RESOLUTION - 1))


def keys(cells: torch.Tensor) -> torch.Tensor:
    return (cells.long() * torch.tensor([RESOLUTION**2, RESOLUTION, 1])).sum(1)


def largest_around(values: torch.Tensor) -> torch.Tensor:
    """The largest of [K, C] in each cell's 27, as a voxel also sees triangles that cross its neighbours."""
    volume = values.T.reshape(1, -1, RESOLUTION, RESOLUTION, RESOLUTION)
    return torch.nn.functional.max_pool3d(volume, 3, 1, 1)[0].reshape(values.shape[1], -1).T


# A veneered bedside table (wood texture of 256^2, wrapped), a table of eight flat colours, and a deck chair whose
# cloth (256^2, 3 texels to a voxel) has stripes of nine voxels: few of its voxels see one colour only.
@pytest.mark.parametrize(
    ("name", "least"), [("b0_bedsidetable2", 15_000), ("b0_technicaltable1", 15_000), ("b0_deckchair", 1_500)]
)
def test_colours_of_furniture_are_those_of_its_textures_within_quantisation(name, least):
    parts = [part for scene_object in load_glb(FURNITURE / f"{name}.glb").objects for part in scene_object.parts]
    voxels = object_to_ovoxel(parts, RESOLUTION)
    points, colors = surface_samples(parts, 400_000)
    cell = cells_of(points)
    index = cell[:, None].expand(-1, 3)
    low = torch.full((RESOLUTION**3, 3), 1e4).scatter_reduce_(0, index, colors, "amin")
    high = torch.full((RESOLUTION**3, 3), -1e4).scatter_reduce_(0, index, colors, "amax")
    spread = (largest_around(high) + largest_around(-low)).amax(1)
    count = torch.bincount(cell, minlength=RESOLUTION**3)
    mean = torch.zeros(RESOLUTION**3, 3).index_add_(0, cell, colors) / count.clamp(min=1)[:, None]
    # A voxel reads a triangle's plane where its centre projects to, up to half its diagonal beyond the triangle. Past
    # the border of a chart that is texture which no surface shows, filtered with what lies round it.
    border = torch.zeros(RESOLUTION**3, 1)
    border[cells_of(border_points(parts, 0.1 / RESOLUTION))] = 1
    is_inner = largest_around(border)[:, 0] == 0

    of_voxel = keys(voxels.grid.coords)
    is_smooth = (count[of_voxel] >= 3) & (spread[of_voxel] <= 4) & is_inner[of_voxel]
    assert int(is_smooth.sum()) > least
    error = (voxels.materials["base_color"].float() - mean[of_voxel]).abs().amax(1)[is_smooth]
    # Bytes are truncated: half a level on average and up to one, and up to four levels of texture lie in a voxel.
    assert float(error.median()) < 0.7
    assert float(error.quantile(0.99)) < 1.5
    assert float(error.max()) < 4
