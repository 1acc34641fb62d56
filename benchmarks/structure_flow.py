"""One full-size structure-flow forward against its bare matrix products and attention calls, replayed alone.

    uv run python -m benchmarks structure_flow [--device cuda] [--blocks 24]

What a forward costs beyond the replay is everything else: norms, modulation, activations, residuals, reshapes.
"""

import torch
import torch.nn.functional as F

from benchmarks.measure import Report, alternate, matmul_peak
from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.nn.precision import cast_torso

CONTEXT_TOKENS = 1374


def replay(config: StructureFlowConfig, device: torch.device, dtype: torch.dtype):
    """A function that only multiplies and attends, with the shapes of one forward (context projected beforehand)."""
    tokens, width, heads = config.resolution**3, config.model_channels, config.num_heads
    x = torch.randn(tokens, width, device=device, dtype=dtype)
    hidden = torch.randn(tokens, int(width * config.mlp_ratio), device=device, dtype=dtype)
    linears = [torch.randn(n, width, device=device, dtype=dtype) / 32 for n in (3 * width, width, width, width)]
    expand, contract = (
        torch.randn(s, device=device, dtype=dtype) / 32 for s in ((4 * width, width), (width, 4 * width))
    )
    biases = [torch.zeros(n, device=device, dtype=dtype) for n in (3 * width, width, width, width, 4 * width, width)]
    adaln, adaln_bias = (torch.randn(s, device=device, dtype=dtype) for s in ((6 * width, width), (6 * width,)))
    q = torch.randn(1, heads, tokens, width // heads, device=device, dtype=dtype)
    kv = torch.randn(1, heads, CONTEXT_TOKENS, width // heads, device=device, dtype=dtype)

    def run() -> None:
        for _ in range(config.num_blocks):
            F.linear(x[:1], adaln, adaln_bias)
            for weight, bias in zip(linears, biases, strict=False):
                F.linear(x, weight, bias)
            F.scaled_dot_product_attention(q, q, q)
            F.scaled_dot_product_attention(q, kv, kv)
            F.linear(x, expand, biases[4])
            F.linear(hidden, contract, biases[5])

    return run


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
    """Prints a row for each precision: forward, replay, part of the peak (a product `peak_size` wide)."""
    config = StructureFlowConfig(
        resolution=tokens_aside, model_channels=width, num_heads=width // 64, num_blocks=blocks
    )
    report.table("dtype", "forward s", "replay s", "forward / replay", "of matmul peak")
    for dtype in (torch.float32, torch.bfloat16):
        flow = StructureFlow(config).to(device).eval()
        cast_torso(flow.torso, dtype)
        x, t = torch.randn(1, 8, *[tokens_aside] * 3, device=device), torch.tensor([500.0], device=device)
        context = flow.project_context(torch.randn(1, CONTEXT_TOKENS, config.cond_channels, device=device))
        calls = [lambda: flow(x, t, context), replay(config, torch.device(device), dtype)]
        forward, bare = alternate(calls, repeats)
        tokens = tokens_aside**3
        per_block = 2 * tokens * 14 * width**2 + 4 * tokens * (tokens + CONTEXT_TOKENS) * width
        used = per_block * blocks / forward / matmul_peak(device, dtype, peak_size)
        name = str(dtype).removeprefix("torch.")
        report.row(name, f"{forward:.2f}", f"{bare:.2f}", f"**{forward / bare:.3f}**", f"{used:.0%}")
        report.ratio(f"{name}: forward / replay", forward / bare)
