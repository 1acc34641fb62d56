"""Peak memory and time of decoding a full-size TRELLIS.2 object, with random weights and a real object's voxels.

    python -m benchmarks trellis2_decode_memory [--mesh chair.glb] [--resolution 1024] [--dtype bfloat16]

The published decoders (474 M parameters each) run one after the other, as the pipeline runs them, on the pyramid of
the given mesh. Figures: the process's peak resident memory (on CUDA: peak allocated), weights included.
`--last-steps 1` runs only the last doubling, where the peak is, with the weights of all levels in memory: minutes less.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from benchmarks.measure import Report
from scenewright.backbones.trellis2.config import SHAPE_DECODER, TEXTURE_DECODER
from scenewright.backbones.trellis2.decoding import decode_materials, object_surface
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder
from scenewright.backbones.trellis2.sparse_unet import Pyramid, SparseUNetDecoder
from scenewright.backbones.trellis2.texture_vae import TextureDecoder
from scenewright.geometry.ovoxel.dual_grid import mesh_to_dual_grid
from scenewright.geometry.ovoxel.voxelize import fit_unit_cube
from scenewright.io.scene_file import load_scene
from scenewright.machine import peak_memory_bytes
from scenewright.nn.precision import cast_torso
from scenewright.sparse.subdivision import grouped_by_parent
from scenewright.sparse.tensor import SparseTensor, VoxelSet
from scenewright.types import Mesh

GIB = 2**30


def object_pyramid(path: Path, name: str | None, resolution: int, device: torch.device) -> Pyramid:
    """Pyramid of the voxels of one object of a file."""
    objects = [item for item in load_scene(path).objects if item.parts and name in (None, item.name)]
    parts = objects[0].parts
    starts = torch.tensor([0, *(len(part.vertices) for part in parts[:-1])]).cumsum(0).tolist()
    vertices = fit_unit_cube(torch.cat([part.vertices.float() for part in parts]))[0]
    faces = torch.cat([part.faces.long() + start for part, start in zip(parts, starts, strict=True)])
    coords = mesh_to_dual_grid(Mesh(vertices, faces), resolution).coords
    voxels = VoxelSet(torch.nn.functional.pad(coords, (1, 0)).int().to(device))
    pyramid = []
    for _ in range(4):
        pyramid.insert(0, grouped_by_parent(voxels))
        voxels = pyramid[0].coarse
    return tuple(pyramid)


def random_network(
    network_class: type[nn.Module], config: object, dtype: torch.dtype, device: torch.device
) -> nn.Module:
    with torch.device("meta"):
        network = network_class(config)
    cast_torso(network.torso, dtype)
    network.to_empty(device=device)
    for parameter in network.parameters():
        parameter.data.normal_(std=max(parameter[0].numel(), 1) ** -0.5 if parameter.ndim > 1 else 0.1)
    return network.eval().requires_grad_(False)


def run_last_steps(decoder: SparseUNetDecoder, steps: int, device: torch.device) -> None:
    """Makes the decoder start at a finer level; what it leaves out stays in memory."""
    skipped = len(decoder.blocks) - 1 - steps
    if skipped:
        decoder.unused = decoder.blocks[:skipped]
        decoder.blocks = decoder.blocks[skipped:]
        decoder.from_latent = nn.Linear(32, decoder.config.model_channels[skipped], device=device)


MESH = Path(__file__).parents[1] / "tests/data/furniture/b0_deckchair.glb"
QUICK = {"resolution": 32, "last_steps": 1}


@torch.no_grad()
def section(
    report: Report,
    *,
    mesh: Path = MESH,
    name: str = "",
    resolution: int = 512,
    dtype: str = "float32",
    device: str = "cpu",
    last_steps: int = 1,
) -> None:
    """Prints a row for each stage; `name` is an object of the file, `last_steps` how many doublings run, of four."""
    where, precision = torch.device(device), getattr(torch, dtype)

    @contextmanager
    def stage(title: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        report.row(title, f"{time.perf_counter() - begin:.1f}", f"{peak_memory_bytes(where) / GIB:.2f}")

    pyramid = object_pyramid(mesh, name or None, resolution, where)
    counts = [len(pyramid[0].coarse), *(len(division.fine) for division in pyramid)]
    report(f"{mesh.name} at {resolution}^3, {dtype}, voxels from coarse to fine: {counts}.")
    report.table("stage", "s", "peak so far, GiB")
    pyramid = pyramid[-last_steps:]
    start = pyramid[0].coarse
    latent = SparseTensor(torch.randn(len(start), 32, device=where), start)

    with stage("shape decoder: weights"):
        decoder = random_network(ShapeDecoder, SHAPE_DECODER, precision, where)
        run_last_steps(decoder, last_steps, where)
    with stage("shape decoder: features"):
        fields = decoder.fields(decoder(latent, pyramid))
    with stage("mesh"):
        surface = object_surface(fields.dual_grids(resolution)[0])
    del decoder, fields
    with stage("texture decoder: weights"):
        decoder = random_network(TextureDecoder, TEXTURE_DECODER, precision, where)
        run_last_steps(decoder, last_steps, where)
    with stage("texture decoder: materials"):
        decode_materials(decoder, latent, pyramid, resolution)
    report(f"\nMesh of {len(surface.faces):,} faces.")
    report.ratio("peak / 8 GB", peak_memory_bytes(where) / 8e9)
