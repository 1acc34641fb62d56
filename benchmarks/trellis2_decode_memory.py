"""Peak memory and time of decoding a full-size TRELLIS.2 object, with random weights and a real object's voxels.

    python -m benchmarks.trellis2_decode_memory chair.glb --resolution 1024 --dtype float32

The published decoders (474 M parameters each) run one after the other, as the pipeline runs them, on the pyramid of
the given mesh. Figures: the process's peak resident memory (on CUDA: peak allocated), weights included.
`--last-steps 1` runs only the last doubling, where the peak is, with the weights of all levels in memory: minutes less.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from benchmarks.measure import machine
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


@contextmanager
def stage(name: str, device: torch.device) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    print(f"| {name} | {time.perf_counter() - begin:.1f} | {peak_memory_bytes(device) / GIB:.2f} |", flush=True)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mesh", type=Path)
    parser.add_argument("--object", help="name of the object in the file; default: the first")
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--last-steps", type=int, default=4, choices=[1, 2, 3, 4], help="doublings to run, of four")
    options = parser.parse_args()
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)

    print(machine())
    print("| stage | s | peak so far, GiB |\n|---|---|---|")
    with stage("imports and voxelisation", device):
        pyramid = object_pyramid(options.mesh, options.object, options.resolution, device)
    counts = [len(pyramid[0].coarse), *(len(division.fine) for division in pyramid)]
    print(f"voxels, coarse to fine: {counts}; {options.mesh.name} at {options.resolution}, {options.dtype}", flush=True)
    pyramid = pyramid[-options.last_steps :]
    start = pyramid[0].coarse
    latent = SparseTensor(torch.randn(len(start), 32, device=device), start)

    with stage("shape decoder: weights", device):
        decoder = random_network(ShapeDecoder, SHAPE_DECODER, dtype, device)
        run_last_steps(decoder, options.last_steps, device)
    with stage("shape decoder: features", device):
        fields = decoder.fields(decoder(latent, pyramid))
    with stage("mesh", device):
        surface = object_surface(fields.dual_grids(options.resolution)[0])
    print(f"mesh: {len(surface.vertices)} vertices, {len(surface.faces)} faces", flush=True)
    del decoder, fields
    with stage("texture decoder: weights", device):
        decoder = random_network(TextureDecoder, TEXTURE_DECODER, dtype, device)
        run_last_steps(decoder, options.last_steps, device)
    with stage("texture decoder: materials", device):
        decode_materials(decoder, latent, pyramid, options.resolution)


if __name__ == "__main__":
    main()
