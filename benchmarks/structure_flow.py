"""One full-size structure-flow forward against its bare matrix products and attention, called alone.

    uv run python -m benchmarks structure_flow [--device cuda] [--blocks 24]

What a forward costs beyond the bare calls is everything else: norms, modulation, activations, residuals, reshapes.
"""

from functools import partial

import torch

from benchmarks.bare import bare_calls
from benchmarks.measure import Report, alternate, matmul_peak
from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.nn.precision import cast_torso

CONTEXT_TOKENS = 1374
QUICK = {"blocks": 1, "width": 64, "tokens_aside": 4, "repeats": 1, "peak_size": 256}


@torch.no_grad()
def section(
    report: Report,
    *,
    device: str = "cpu",
    blocks: int = 6,
    width: int = 1024,
    tokens_aside: int = 16,
    repeats: int = 3,
    peak_size: int = 2048,
) -> None:
    """Prints a row for each precision: forward, bare calls, part of the peak (a product `peak_size` wide)."""
    config = StructureFlowConfig(
        resolution=tokens_aside, model_channels=width, num_heads=width // 64, num_blocks=blocks
    )
    report.table("dtype", "forward s", "bare calls s", "forward / bare", "of matmul peak")
    for dtype in (torch.float32, torch.bfloat16):
        flow = StructureFlow(config).to(device).eval()
        cast_torso(flow.torso, dtype)
        x, t = torch.randn(1, 8, *[tokens_aside] * 3, device=device), torch.tensor([500.0], device=device)
        context = flow.project_context(torch.randn(1, CONTEXT_TOKENS, config.cond_channels, device=device))
        whole = partial(flow, x, t, context)
        forward, bare = alternate([whole, bare_calls(flow, whole)], repeats)
        tokens = tokens_aside**3
        per_block = 2 * tokens * 14 * width**2 + 4 * tokens * (tokens + CONTEXT_TOKENS) * width
        used = per_block * blocks / forward / matmul_peak(device, dtype, peak_size)
        name = str(dtype).removeprefix("torch.")
        report.row(name, f"{forward:.2f}", f"{bare:.2f}", f"**{forward / bare:.3f}**", f"{used:.0%}")
        report.ratio(f"{name}: forward / bare", forward / bare)
