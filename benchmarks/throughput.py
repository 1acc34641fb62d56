"""Our attention and sparse convolution against the device's measured matrix products, in each precision of use there.

uv run python -m benchmarks throughput [--device cuda] [--tokens 4096 16384] [--voxels 20000 200000]
"""

import torch

from benchmarks.measure import Report, matmul_peak, seconds
from benchmarks.sparse_conv import sphere_voxels
from scenewright.sparse.attention import Sequences, attention
from scenewright.sparse.conv import sparse_conv
from scenewright.sparse.kernel_map import submanifold_map
from scenewright.sparse.tensor import VoxelSet

QUICK = {"tokens": (256,), "voxels": (500,), "widths": (16,), "peak_size": 256}


@torch.no_grad()
def section(
    report: Report,
    *,
    device: str = "cpu",
    tokens: tuple[int, ...] = (4096,),
    voxels: tuple[int, ...] = (20_000,),
    widths: tuple[int, ...] = (64, 256),
    peak_size: int = 2048,
) -> None:
    """Prints a row for each operation, size and precision; `peak_size` is the side of the square products."""
    where = torch.device(device)
    report.table("what", "dtype", "size", "ms", "of matmul peak", "peak memory MB")
    # No CPU of ours multiplies in float16 any faster than it converts.
    for dtype in (torch.float32, torch.bfloat16, *([torch.float16] if where.type != "cpu" else [])):
        peak = matmul_peak(where, dtype, peak_size)
        kind = str(dtype).removeprefix("torch.")

        def row(what: str, size: str, operations: float, took: float, kind=kind, peak=peak) -> None:
            memory = torch.cuda.max_memory_allocated(where) / 1e6 if where.type == "cuda" else 0.0
            share = operations / took / peak
            report.row(what, kind, size, f"{1000 * took:.2f}", f"{share:.0%}", f"{memory:.0f}")
            report.ratio(f"{what}, {size}, {kind}: peak / reached", 1 / share)

        for count in tokens:
            q, one = torch.randn(count, 16, 64, device=where, dtype=dtype), Sequences((count,))
            took = seconds(lambda q=q, rows=one: attention(q, q, q, rows))
            row("attention", f"{count} tokens x 16 x 64", 4 * count**2 * 16 * 64, took)
        for count in voxels:
            coords = sphere_voxels(count).to(where)
            kernel_map = submanifold_map(VoxelSet(coords))
            pairs = sum(len(source) for source in kernel_map.sources)
            for width in widths:
                feats = torch.randn(len(coords), width, device=where, dtype=dtype)
                weight = torch.randn(27, width, width, device=where, dtype=dtype) / width
                took = seconds(lambda f=feats, w=weight, m=kernel_map: sparse_conv(f, w, None, m))
                row("sparse convolution", f"{len(coords)} voxels x {width}", 2 * pairs * width**2, took)
