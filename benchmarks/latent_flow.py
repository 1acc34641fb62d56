"""One full-width forward of each backbone's latent flow against its bare matrix products and attention, called alone.

    uv run python -m benchmarks latent_flow [--device cuda] [--blocks 24]

Random weights; TRELLIS's flow carries voxels to half as fine tokens and back by sparse convolutions, TRELLIS.2's is a
transformer on its tokens. Costs beyond the bare calls are everything else: gathering and adding rows, norms,
modulation, rotation, activations, residuals.
"""

from dataclasses import replace
from functools import partial

import torch

from benchmarks.bare import bare_calls
from benchmarks.measure import Report, alternate
from benchmarks.sparse_conv import sphere_voxels
from scenewright.backbones.trellis1.config import SLatFlowConfig
from scenewright.backbones.trellis1.slat_flow import SLatFlow
from scenewright.backbones.trellis2.config import SHAPE_FLOW_512
from scenewright.backbones.trellis2.latent_flow import LatentFlow
from scenewright.nn.precision import cast_torso
from scenewright.nn.sparse_conv import SparseConv3d
from scenewright.sparse.tensor import SparseTensor

CONTEXT_TOKENS = 1374
QUICK = {"blocks": 1, "width": 64, "voxels": 200, "tokens": 50, "repeats": 1}


@torch.no_grad()
def section(
    report: Report,
    *,
    device: str = "cpu",
    blocks: int = 2,
    width: int = 0,
    voxels: int = 7_700,
    tokens: int = 2_500,
    repeats: int = 5,
) -> None:
    """Prints a row for each flow and precision; `width` 0 is the published one."""
    torch.manual_seed(0)
    first, second = SLatFlowConfig(num_blocks=blocks), replace(SHAPE_FLOW_512, num_blocks=blocks)
    if width:
        first = replace(first, model_channels=width, num_heads=width // 64, io_channels=(width // 8,))
        second = replace(second, model_channels=width, num_heads=width // 64)
    report.table("flow", "rows", "dtype", "forward s", "bare calls s", "forward / bare")
    for name, flow, count in (("TRELLIS", SLatFlow(first), voxels), ("TRELLIS.2", LatentFlow(second), tokens)):
        flow.to(device).eval()
        for parameter in flow.parameters():
            parameter.normal_(std=0.02)
        coords = sphere_voxels(count).to(device)
        x = SparseTensor(torch.randn(len(coords), flow.config.in_channels, device=device), coords)
        t = torch.tensor([500.0], device=device)
        tokens_of_picture = torch.randn(1, CONTEXT_TOKENS, flow.config.cond_channels, device=device)
        for dtype in (torch.float32, torch.bfloat16):
            cast_torso(flow.torso, dtype)
            for module in flow.modules():
                if isinstance(module, SparseConv3d):
                    module.after_fill("weight")  # as when it is loaded
            context = flow.project_context(tokens_of_picture)
            forward = partial(flow, x, t, context)
            ours, bare = alternate([forward, bare_calls(flow, forward)], repeats)
            short = str(dtype).removeprefix("torch.")
            report.row(name, f"{len(coords):,}", short, f"{ours:.2f}", f"{bare:.2f}", f"**{ours / bare:.3f}**")
            report.ratio(f"{name}, {short}: forward / bare", ours / bare)
